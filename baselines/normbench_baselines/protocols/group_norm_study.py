"""The rules of a study of group against batch normalization over batch sizes."""

from __future__ import annotations

from normbench import Protocol, Rules, Source

GROUP_NORM_STUDY = Protocol(
    name="group_norm_study",
    summary="GroupNorm study: learning rate 0.1·B/32, drops every 30 of 100 epochs, seeds 1 to 5",
    source=Source(
        title="GroupNorm, B. Franke, github.com/BeFranke/GroupNorm (TensorFlow 2.4)",
        deviations=(
            "Training examples are shuffled; the code trains in one fixed order.",
            "Test images are left alone; Keras pads them and shrinks them back.",
            "Each image has a crop of its own; the code draws one for a batch.",
            "Crops are padded with black, before images are normalized; the code pads with the "
            "mean.",
            "Blocks are He et al.'s; the code puts the ReLU before the norm, leaves the norm out "
            "of projections, and starts the last γ of a block at 0 with group norm alone.",
            "Initial values are drawn for each layer; the code's seeded initialisers give layers "
            "of the same shape the same values.",
            "There is no validation part, as in the source: the last epoch is reported.",
        ),
    ),
    rules=Rules(
        seeds=5,
        first_seed=1,
        validation_share=0.0,
        drop_last=False,
        schedule="step",
        schedule_per="epoch",
        milestones=(0.3, 0.6, 0.9),
        step_factor=0.1,
        lr_batch_size=32,
        decayed_roles=("weight", "bias"),
    ),
    words={
        "cifar10": {
            "problem.batch_size": 32,
            "problem.epochs": 100,
            "problem.weight_decay": 2e-4,
            "problem.augmentation": ("pad_crop:4", "flip"),
        },
    },
    published={
        "*": {
            "protocol.shuffle": False,
            "protocol.evaluation_view": "shrunk",
            "protocol.crop_per": "batch",
        },
        "cifar10_resnet20": {
            "network.activation_order": "before_norm",
            "network.shortcut": "projection_without_norm",
            "network.init": "keras",
        },
        "batch_norm": {"norm.eps": 1e-3, "norm.momentum": 0.01},
        "group_norm": {
            "network.zero_last_scale": True,
            "protocol.decayed_roles": ("weight", "bias", "norm_scale", "norm_shift"),
        },
    },
)
