"""DeepOBS's rules: constant learning rate, seeds from 42, validation as large as the test part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from normbench import Protocol, Source, Value
from normbench_baselines.protocols.own import STANDARD

# Validation as large as the test part. The quadratic keeps all its points for training: DeepOBS
# draws its validation points beside them.
_CIFAR: Mapping[str, Value] = {
    "protocol.validation_share": 10_000 / 50_000,
    "problem.augmentation": ("pad_crop:2", "flip", "colour_jitter"),
}
_FASHION: Mapping[str, Value] = {"protocol.validation_share": 10_000 / 60_000}

DEEPOBS = Protocol(
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
            "Colour changes come in a fixed order; torchvision draws the order for each image.",
            "The learning rates that DeepOBS published were chosen on the test part, under "
            "TensorFlow 1; they are starting points, not tuned values.",
        ),
    ),
    rules=replace(STANDARD.rules, first_seed=42, schedule="constant"),
    words={
        "cifar10": _CIFAR,
        "cifar100": _CIFAR,
        "svhn": {
            "protocol.validation_share": 26_032 / 73_257,
            "problem.augmentation": ("pad_crop:2", "colour_jitter"),
        },
        "fmnist": _FASHION,
        "mnist": _FASHION,
        "quadratic_deep": {"protocol.validation_share": 0.0},
        "tolstoi": {"protocol.validation_share": 653_237 / 2_612_948},
    },
)
