"""The test problems on SVHN; free of torch."""

from __future__ import annotations

from dataclasses import replace

from normbench import Metric, Problem, Source, Training
from normbench_problems.references import CLASSIFICATION, DEEPOBS, L2, SPLIT, UNMEASURED, accuracy

_LIGHT = "Training images are cropped; DeepOBS also changes their colours."
_BRANCH = "Batch size and epochs are those of DeepOBS's unreleased development branch."
_SPHERICAL = Source(
    title="Spherical Perspective on Learning with Normalization Layers, Roburin et al., "
    "Neurocomputing 2022",
    reference="arXiv:2006.13382",
    licence="MIT",
    deviations=("Images are normalized; training ends after 160 epochs instead of 405.",),
)
# Published optimizers lie 0.2 to 0.6 points apart, seeds 0.1 to 0.2; on 26 032 test images one
# run's sampling error is about an eighth of a point.
SVHN = accuracy(10, 0.003)


def _problem(
    name: str,
    title: str,
    *,
    source: Source,
    training: Training,
    network: str = "",
    norm: str = "batch_norm",
    metric: Metric = SVHN,
) -> Problem:
    """Return the problem ``svhn_<name>`` on the network of that name."""
    return Problem(
        name=f"svhn_{name}",
        summary=f"{title} on SVHN; unmeasured",
        source=replace(source, deviations=(UNMEASURED, *source.deviations)),
        factory=CLASSIFICATION,
        dataset="svhn",
        network=network or name,
        norm=norm,
        training=training,
        metric=metric,
    )


_BARE = Training(batch_size=128, epochs=160, weight_decay=5e-4)
_CROPPED = replace(_BARE, augmentation=("pad_crop:2",))

SVHN_3C3D = _problem(
    "3c3d",
    "3c3d",
    network="net_3c3d",
    norm="none",
    source=replace(DEEPOBS, deviations=(SPLIT, L2, _LIGHT, _BRANCH)),
    training=replace(_CROPPED, epochs=100, weight_decay=2e-3),
)

SVHN_PROBLEMS: tuple[Problem, ...] = (
    SVHN_3C3D,
    SVHN_3C3D.twin("svhn_3c3d_bn", "batch_norm"),
    _problem("resnet18", "ResNet-18", source=_SPHERICAL, training=_BARE),
    _problem("vgg16", "VGG-16 with one dense layer", source=_SPHERICAL, training=_BARE),
    _problem(
        "wrn164",
        "WRN-16-4",
        network="wrn_16_4",
        source=replace(DEEPOBS, deviations=(SPLIT, L2, _LIGHT)),
        training=_CROPPED,
        metric=replace(SVHN, target=0.95020),
    ),
)
