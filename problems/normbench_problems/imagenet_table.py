"""The test problems on ImageNet; free of torch."""

from __future__ import annotations

from normbench import Problem, Source, Training
from normbench_problems.references import CLASSIFICATION, UNMEASURED, accuracy

_RESNET = Source(
    title="Deep Residual Learning for Image Recognition, He et al., CVPR 2016",
    reference="arXiv:1512.03385",
    deviations=(
        UNMEASURED,
        "Epochs and augmentation are torchvision's reference training: 90 epochs, a random "
        "resized crop and a flip.",
        "Initial values are torch's own, as in arXiv:2006.13382; network.init=kaiming_fan_out "
        "gives torchvision's.",
        "The official validation part serves as the test part, as its test labels are not public.",
    ),
)
# Published optimizers lie 0.1 to 1 point apart, seeds 0.1 to 0.2; on 50 000 test images one run's
# sampling error is a fifth of a point.
IMAGENET = accuracy(1000, 0.005)


def _resnet(depth: int) -> Problem:
    return Problem(
        name=f"imagenet_resnet{depth}",
        summary=f"ResNet-{depth} on ImageNet; unmeasured",
        source=_RESNET,
        factory=CLASSIFICATION,
        dataset="imagenet",
        network=f"resnet{depth}",
        network_parameters={"classes": 1000, "stem": "large"},
        norm="batch_norm",
        training=Training(
            batch_size=256,
            epochs=90,
            weight_decay=1e-4,
            augmentation=("random_resized_crop", "flip"),
        ),
        metric=IMAGENET,
    )


IMAGENET_PROBLEMS: tuple[Problem, ...] = (_resnet(18), _resnet(50))
