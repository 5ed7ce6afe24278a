"""The protocols that come with normbench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from normbench import Protocol, Rules, Source, Value, hookimpl

STANDARD = Rules(
    seeds=10,
    first_seed=0,
    validation_share=0.1,
    validation_driven_by="seed",
    drop_last=True,
    schedule="cosine",
    schedule_per="step",
    final_factor=0.0,
    select="final",
    precision="tf32",
    deterministic=True,
)
QUICK = replace(STANDARD, seeds=5, epoch_share=0.1)
DEEPOBS = replace(STANDARD, first_seed=42, schedule="constant")

# Validation as large as the test part. The quadratic keeps all its points for training: DeepOBS
# draws its validation points beside them.
_CIFAR: Mapping[str, Value] = {
    "protocol.validation_share": 10_000 / 50_000,
    "problem.augmentation": ("pad_crop:2", "flip", "colour_jitter"),
}
_DEEPOBS_PER_DATASET: Mapping[str, Mapping[str, Value]] = {
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "fmnist": {"protocol.validation_share": 10_000 / 60_000},
    "quadratic_deep": {"protocol.validation_share": 0.0},
}


@hookimpl
def normbench_protocols() -> Sequence[Protocol]:
    """Offer the built-in protocols."""
    return (
        Protocol(
            name="standard",
            summary="10 paired seeds, cosine schedule, 10 % validation, final epoch",
            source=Source(title="normbench's own rules"),
            rules=STANDARD,
        ),
        Protocol(
            name="quick",
            summary="standard with 5 seeds and a tenth of the epochs, for a look",
            source=Source(title="normbench's own rules"),
            rules=QUICK,
            settings_from="standard",
        ),
        Protocol(
            name="deepobs",
            summary="DeepOBS: constant learning rate, seeds 42 to 51, validation as large as test",
            source=Source(
                title="DeepOBS: A Deep Learning Optimizer Benchmark Suite (Schneider, Balles, "
                "Hennig, 2019), version 1.2.0b0",
                reference="arXiv:1903.05499",
                licence="MIT",
                deviations=(
                    "Every validation and test example counts, once; DeepOBS drops the last "
                    "partial batch in evaluation too, so its metrics depend on the batch size.",
                    "Validation examples are never augmented, and never trained on; DeepOBS's "
                    "train-eval loader draws from them as well.",
                    "quadratic_deep has no validation part; DeepOBS draws 1000 points more for it.",
                    "The validation part is stratified, and drawn from the run's seed in a stream "
                    "of its own.",
                    "Evaluation consumes no randomness of training; in DeepOBS the evaluation "
                    "interval changes the run.",
                    "Losses leave out the L2 term; DeepOBS adds it in evaluation.",
                    "A diverged run ends where it diverges; DeepOBS 1.2 fills the rest of its "
                    "curves with the values before training.",
                    "Colour changes come in a fixed order; torchvision draws the order for each "
                    "image.",
                    "The learning rates that DeepOBS published were chosen on the test part, under "
                    "TensorFlow 1; they are starting points, not tuned values.",
                ),
            ),
            rules=DEEPOBS,
            per_problem=_DEEPOBS_PER_DATASET,
        ),
    )
