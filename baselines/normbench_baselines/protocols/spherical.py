"""The rules of Spherical Perspective on Learning with Normalization Layers."""

from __future__ import annotations

from collections.abc import Mapping

from normbench import Protocol, Rules, Source, Value
from normbench_baselines.protocols.beyond_batchnorm import ALL_ROLES

_TRAINING: Mapping[str, Value] = {"problem.batch_size": 128, "problem.epochs": 405}
_CIFAR: Mapping[str, Value] = {**_TRAINING, "problem.augmentation": ("pad_crop:4", "flip")}
_ONE_SPHERE_A_CHANNEL: Mapping[str, Value] = {"channel_dims": (0,)}

SPHERICAL = Protocol(
    name="spherical",
    summary="Spherical Perspective: 405 epochs, drops at thirds, best epoch on 5 % validation",
    source=Source(
        title="Spherical Perspective on Learning with Normalization Layers (Roburin, "
        "de Mont-Marin, Bursuc, Marlet, Pérez, Aubry 2022), github.com/ymontmarin/adamsrt",
        reference="arXiv:2006.13382",
        licence="MIT",
        deviations=(
            "Validation examples are not augmented, and the split is stratified.",
            "CIFAR-100 is normalized by normbench's statistics; the code's differ in the fourth "
            "digit.",
            "Metrics count every example once; the code averages batch means.",
            "Every seed draws its own initial values and order; the code fixes seed 0.",
            "The number of seeds is not published; five are normbench's choice.",
            "Spheres follow the norm's true scale invariance; the code's are output channels.",
            "On ImageNet 5 % are held out too, and the problem's epochs are trained; the code "
            "selects on the test part.",
        ),
    ),
    rules=Rules(
        seeds=5,
        validation_share=0.05,
        validation_driven_by="fixed",
        drop_last=False,
        schedule="step",
        schedule_per="epoch",
        milestones=(135 / 405, 225 / 405, 315 / 405),
        step_factor=0.1,
        select="best",
        decayed_roles=ALL_ROLES,
    ),
    words={
        "cifar10": _CIFAR,
        "cifar100": _CIFAR,
        "svhn": {
            **_TRAINING,
            "problem.augmentation": (),
            "protocol.input_scaling": "none",
        },
    },
    published=dict.fromkeys(("adam_s", "adam_srt", "sgd_mrt", "adam_g"), _ONE_SPHERE_A_CHANNEL),
)
