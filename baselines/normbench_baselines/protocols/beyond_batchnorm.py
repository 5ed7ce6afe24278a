"""The rules of Beyond BatchNorm: 60 epochs, one drop, weight decay on every parameter."""

from __future__ import annotations

from collections.abc import Mapping

from normbench import Protocol, Rules, Source, Value

ALL_ROLES = ("weight", "bias", "norm_scale", "norm_shift", "norm_other", "gain")
_CIFAR: Mapping[str, Value] = {
    "problem.batch_size": 256,
    "problem.epochs": 60,
    "problem.weight_decay": 1e-4,
    "problem.augmentation": ("flip",),
}
_EVONORM: Mapping[str, Value] = {
    "norm.num_groups": 32,
    "norm.variance": "unbiased",
    "norm.placement": "after_addition",
}

BEYOND_BATCHNORM = Protocol(
    name="beyond_batchnorm",
    summary="Beyond BatchNorm: 60 epochs at batch 256, a drop after two thirds, flips only",
    source=Source(
        title="Beyond BatchNorm: Towards a Unified Understanding of Normalization in Deep Learning "
        "(Lubana, Dick, Tanaka 2021), github.com/EkdeepSLubana/BeyondBatchNorm",
        reference="arXiv:2106.05956",
        licence="MIT",
        deviations=(
            "The learning rate drops after 40 of 60 epochs, as written; the code drops it at 45.",
            "The learning rate grows with the batch size, as its comment says; the code divides.",
            "Warm-up, for filter response normalization alone, counts as part of the 60 epochs; as "
            "published too the drop comes at 45, not 46.25, and warm-up is the same at every batch "
            "size.",
            "Every batch size trains for 60 epochs; below 32 the code trains 10 at a constant "
            "rate: protocol.epochs=10 protocol.schedule=constant.",
            "The number of seeds is not published; five are normbench's choice.",
            "There is no validation part, as in the source: the last epoch is reported.",
        ),
    ),
    rules=Rules(
        seeds=5,
        validation_share=0.0,
        drop_last=False,
        input_scaling="half",
        schedule="step",
        milestones=(2 / 3,),
        step_factor=0.1,
        lr_batch_size=256,
        decayed_roles=ALL_ROLES,
    ),
    words={
        "cifar10": _CIFAR,
        "cifar100": _CIFAR,
        "filter_response_norm": {"protocol.warmup_epochs": 5.0},
    },
    published={
        "*": {"protocol.milestones": (0.75,), "protocol.lr_batch_rule": "inverse"},
        "batch_norm": {"norm.running_mean_init": 1.0, "norm.running_variance": "biased"},
        "group_norm": {"norm.num_groups": 32, "norm.variance": "unbiased"},
        "filter_response_norm": {"norm.learn_eps": True, "norm.eps": 1e-5},
        "evonorm_s0": _EVONORM,
        "evonorm_b0": {name: _EVONORM[name] for name in ("norm.variance", "norm.placement")},
    },
)
