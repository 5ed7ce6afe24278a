"""The rules of DissectBatchNorm: DeepOBS's data, a constant learning rate, no weight decay."""

from __future__ import annotations

from collections.abc import Mapping

from normbench import Protocol, Rules, Source, Value

_CIFAR: Mapping[str, Value] = {
    "problem.weight_decay": 0.0,
    "problem.augmentation": ("pad_crop:2", "flip", "colour_jitter"),
}
_KEPT_BIASES: Mapping[str, Value] = {"network.bias": "unless_centred_dense"}

DISSECT_BN = Protocol(
    name="dissect_bn",
    summary="DissectBatchNorm: constant learning rate, no weight decay, a fifth for validation",
    source=Source(
        title="DissectBatchNorm, github.com/Vanessa-Ts/DissectBatchNorm, on DeepOBS 1.2.0b0",
        deviations=(
            "Training and validation examples are disjoint; the code draws the split twice, so "
            "that 80 % of the validation part is trained on.",
            "A convolution before a batch norm has no bias, as intended; the code's removal misses "
            "it.",
            "γ and β that are fixed do not train at all; the code sets them back after each step.",
            "Evaluation sees every example once; the code drops last partial batches.",
            "The number of seeds is not published; ten are normbench's choice.",
        ),
    ),
    rules=Rules(
        seeds=10,
        validation_share=0.2,
        drop_last=True,
        schedule="constant",
    ),
    words={
        "cifar10": _CIFAR,
        "cifar100": _CIFAR,
        "cifar100_allcnnc": {"problem.epochs": 500, "network.bias_init": 0.0},
    },
    published={
        "*": {"protocol.validation_leak": True},
        "cifar10_3c3d": _KEPT_BIASES,
        "cifar100_3c3d": _KEPT_BIASES,
        "cifar100_allcnnc": _KEPT_BIASES,
    },
)
