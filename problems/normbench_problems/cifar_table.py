"""The test problems on CIFAR-10 and CIFAR-100; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from normbench import Metric, Problem, Source, Training, Value
from normbench_problems.references import (
    CLASSIFICATION,
    CROP_AND_FLIP,
    DEEPOBS,
    L2,
    SPLIT,
    accuracy,
)

_LIGHT = (
    "Training images are padded by 4, cropped and flipped; DeepOBS pads by 2 and also changes "
    "their colours."
)
_NO_LENGTH = "DeepOBS gives no batch size and epochs; these are those of its cifar10_3c3d."
_AS_SPHERICAL = "Batch size and weight decay follow the experiments of arXiv:2006.13382."
_RESNET = Source(
    title="Deep Residual Learning for Image Recognition, He et al., CVPR 2016",
    reference="arXiv:1512.03385",
    deviations=(_AS_SPHERICAL,),
)
_VGG = Source(
    title="Very Deep Convolutional Networks for Large-Scale Image Recognition, Simonyan and "
    "Zisserman, ICLR 2015",
    reference="arXiv:1409.1556",
    deviations=(_AS_SPHERICAL,),
)
_BEYOND = Source(
    title="Beyond BatchNorm: Towards a Unified Understanding of Normalization in Deep Learning, "
    "Lubana, Dick and Tanaka, NeurIPS 2021",
    reference="arXiv:2106.05956",
    licence="MIT",
    deviations=(SPLIT, "Weight decay acts on weights alone."),
)

# Published CIFAR-10 tables order optimizers that lie half a point apart; on 10 000 test images one
# run's sampling error is about a quarter of a point.
CIFAR10 = accuracy(10, 0.005)
# On CIFAR-100 both gaps and spread between seeds are about twice as large.
CIFAR100 = accuracy(100, 0.01)
_METRICS = {10: CIFAR10, 100: CIFAR100}

_LONG = Training(batch_size=128, epochs=200, weight_decay=5e-4, augmentation=CROP_AND_FLIP)
_SHORT = Training(batch_size=256, epochs=60, weight_decay=1e-4, augmentation=("flip",))
_WIDE: Mapping[str, Value] = {
    "width": 32,
    "shortcut": "conv3x3",
    "init": "kaiming_conv",
    "bias": "weight_norms_only",
}


def _problem(
    classes: int,
    name: str,
    title: str,
    *,
    source: Source,
    training: Training,
    network: str = "",
    norm: str = "batch_norm",
    metric: Metric | None = None,
    **parameters: Value,
) -> Problem:
    """Return the problem ``cifar<classes>_<name>`` on the network of that name."""
    return Problem(
        name=f"cifar{classes}_{name}",
        summary=f"{title} on CIFAR-{classes}",
        source=source,
        factory=CLASSIFICATION,
        dataset=f"cifar{classes}",
        network=network or name,
        network_parameters={**parameters, **({} if classes == 10 else {"classes": classes})},
        norm=norm,
        training=training,
        metric=metric or _METRICS[classes],
    )


def _resnet(classes: int, depth: int) -> Problem:
    name, title = f"resnet{depth}", f"ResNet-{depth}"
    return _problem(classes, name, title, source=_RESNET, training=_LONG)


def _vgg16(classes: int) -> Problem:
    return _problem(classes, "vgg16", "VGG-16 with one dense layer", source=_VGG, training=_LONG)


def _plain(classes: int, depth: int) -> Problem:
    name, title = f"plain{depth}", f"plain CNN of {depth} convolutions"
    return _problem(classes, name, title, source=_BEYOND, training=_SHORT)


def _resnet56_wide(classes: int) -> Problem:
    return _problem(
        classes,
        "resnet56_wide",
        "ResNet-56 of twice the width with 3x3 shortcuts",
        network="resnet56",
        source=_BEYOND,
        training=_SHORT,
        **_WIDE,
    )


def _vgg_224(classes: int, depth: int) -> Problem:
    return _problem(
        classes,
        f"vgg{depth}_224",
        f"VGG-{depth} at 224 pixels",
        source=replace(
            DEEPOBS,
            deviations=(
                SPLIT,
                L2,
                "The L2 term acts on dense layers too; DeepOBS's on convolutions alone.",
                _LIGHT,
                _NO_LENGTH,
            ),
        ),
        norm="none",
        training=replace(_LONG, epochs=100),
    )


def _wrn(depth: int) -> Problem:
    return _problem(
        100,
        f"wrn{depth}4",
        f"WRN-{depth}-4",
        network=f"wrn_{depth}_4",
        source=replace(
            DEEPOBS,
            deviations=(
                SPLIT,
                L2,
                _LIGHT,
                "Batch size and epochs are those of DeepOBS's unreleased development branch.",
            ),
        ),
        training=replace(_LONG, epochs=160),
    )


CIFAR10_3C3D = _problem(
    10,
    "3c3d",
    "3c3d",
    network="net_3c3d",
    norm="none",
    source=replace(DEEPOBS, deviations=(SPLIT, L2, _LIGHT)),
    training=Training(batch_size=128, epochs=100, weight_decay=2e-3, augmentation=CROP_AND_FLIP),
    metric=replace(CIFAR10, target=0.82833),
)
CIFAR100_3C3D = _problem(
    100,
    "3c3d",
    "3c3d",
    network="net_3c3d",
    norm="none",
    source=replace(
        DEEPOBS,
        deviations=(
            SPLIT,
            L2,
            _LIGHT,
            "DeepOBS gives no batch size and epochs; these are DissectBatchNorm's.",
        ),
    ),
    training=Training(batch_size=256, epochs=350, weight_decay=2e-3, augmentation=CROP_AND_FLIP),
)
CIFAR100_ALLCNNC = _problem(
    100,
    "allcnnc",
    "All-CNN-C",
    norm="none",
    source=replace(DEEPOBS, deviations=(SPLIT, L2, _LIGHT)),
    training=Training(batch_size=256, epochs=350, weight_decay=5e-4, augmentation=CROP_AND_FLIP),
    metric=replace(CIFAR100, target=0.52560),
)
_WITHOUT_NORM = (
    CIFAR10_3C3D,
    CIFAR100_3C3D,
    CIFAR100_ALLCNNC,
    _vgg_224(10, 16),
    _vgg_224(10, 19),
    _vgg_224(100, 16),
    _vgg_224(100, 19),
)

CIFAR_PROBLEMS: tuple[Problem, ...] = (
    *(p for base in _WITHOUT_NORM for p in (base, base.twin(f"{base.name}_bn", "batch_norm"))),
    *(_resnet(10, depth) for depth in (20, 56, 18, 34, 50, 101, 152)),
    *(_resnet(100, depth) for depth in (20, 56, 18, 34, 50)),
    *(_vgg16(classes) for classes in (10, 100)),
    *(_wrn(depth) for depth in (16, 40)),
    *(_plain(classes, depth) for classes in (10, 100) for depth in (10, 20, 40)),
    *(_resnet56_wide(classes) for classes in (10, 100)),
)
