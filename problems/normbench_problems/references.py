"""Sources, deviations and metrics that several problems share; free of torch."""

from __future__ import annotations

from normbench import Metric, Source

CLASSIFICATION = "normbench.tasks:Classification"
CROP_AND_FLIP = ("pad_crop:4", "flip")

DEEPOBS = Source(
    title="DeepOBS, Schneider, Balles and Hennig, ICLR 2019",
    reference="arXiv:1903.05499",
    licence="MIT",
)
UNMEASURED = "Unmeasured: its data were not at hand, so nobody has trained it here."
SPLIT = "Validation examples are held out of the train part; test examples are never dropped."
L2 = "The L2 term acts on weights through the gradient and is not part of the reported loss."


def accuracy(classes: int, smallest_difference: float, target: float | None = None) -> Metric:
    """Return test accuracy as a metric, with chance as its worst score."""
    return Metric(
        name="test_accuracy",
        direction="max",
        worst=1 / classes,
        smallest_difference=smallest_difference,
        target=target,
    )
