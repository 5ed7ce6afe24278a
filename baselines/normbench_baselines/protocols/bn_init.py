"""The rules of Revisiting Batch Norm Initialization: cosine schedule, a fixed validation part."""

from __future__ import annotations

from collections.abc import Mapping

from normbench import Protocol, Rules, Source, Value

_CIFAR: Mapping[str, Value] = {
    "problem.batch_size": 128,
    "problem.epochs": 180,
    "problem.weight_decay": 1e-4,
    "problem.augmentation": ("flip",),
}

BN_INIT = Protocol(
    name="bn_init",
    summary="Revisiting BN Initialization: 180 epochs, cosine, fixed 45k/5k split, seeds 1 to 15",
    source=Source(
        title="Revisiting Batch Norm Initialization (Davis, Frank 2022), "
        "github.com/osu-cvl/revisiting-bn-init",
        reference="arXiv:2110.13989",
        deviations=(
            "The dense layer starts at torch's own values, as a comment in the code intends; the "
            "code's are 2.45 times as large.",
            "Images without a norm of the input are normalized by normbench's statistics; the "
            "source's differ in the fourth digit.",
            "Losses are means over examples; the code averages batch means.",
            "A reduced learning rate of γ ends at 1e-7 of its own start; the code's ends at 1e-8.",
            "Random streams are normbench's own, keyed by the source's MD5 seeds; the split is "
            "scikit-learn's, and equal to the source's.",
        ),
    ),
    rules=Rules(
        seeds=15,
        first_seed=1,
        seed_rule="md5",
        validation_share=0.1,
        validation_rule="train_test_split",
        validation_driven_by="fixed",
        drop_last=False,
        schedule="cosine",
        schedule_per="epoch",
        final_factor=1e-7,
        select="best",
    ),
    words={"*": {"network.init": "kaiming_conv"}, "cifar10": _CIFAR, "cifar100": _CIFAR},
    published={"*": {"network.init": "kaiming"}},
)
