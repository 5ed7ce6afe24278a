"""Suites: the cells of each paper's tables, one YAML file each beside this one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from normbench import Source, Suite, hookimpl

_FOLDER = Path(__file__).parent
_SOURCES = {
    "beyond_batchnorm": Source(
        title="Beyond BatchNorm (Lubana, Dick, Tanaka 2021)", reference="arXiv:2106.05956"
    ),
    "bn_init": Source(
        title="Revisiting Batch Norm Initialization (Davis, Frank 2022)",
        reference="arXiv:2110.13989",
    ),
    "dissect_bn": Source(
        title="DissectBatchNorm", reference="https://github.com/Vanessa-Ts/DissectBatchNorm"
    ),
    "spherical": Source(
        title="Spherical Perspective on Learning with Normalization Layers (Roburin et al. 2022)",
        reference="arXiv:2006.13382",
    ),
    "group_norm_study": Source(
        title="GroupNorm, B. Franke", reference="https://github.com/BeFranke/GroupNorm"
    ),
    "normbench": Source(title="normbench"),
    "deepobs": Source(
        title="DeepOBS (Schneider, Balles, Hennig 2019)", reference="arXiv:1903.05499"
    ),
}


def _suite(name: str, source: str, summary: str) -> Suite:
    return Suite(
        name=name, summary=summary, source=_SOURCES[source], file=str(_FOLDER / f"{name}.yaml")
    )


@hookimpl
def normbench_suites() -> Sequence[Suite]:
    """Offer the suites of this package."""
    return (
        _suite(
            "beyond_batchnorm",
            "beyond_batchnorm",
            "eleven norms and eight group sizes, over plain and residual networks on CIFAR-100",
        ),
        _suite(
            "bn_init",
            "bn_init",
            "initial γ and its learning rate, over residual networks on CIFAR-10",
        ),
        _suite(
            "dissect_bn",
            "dissect_bn",
            "what trains in batch norm, and at which sites of 3c3d and All-CNN-C",
        ),
        _suite(
            "spherical",
            "spherical",
            "seven optimizers, four of them on spheres, on CIFAR, SVHN and ImageNet",
        ),
        _suite(
            "group_norm_study",
            "group_norm_study",
            "group against batch norm at batch sizes 2 to 32, on CIFAR-10",
        ),
        _suite(
            "digits_factorial",
            "normbench",
            "four norms and four optimizers on digits, minutes on a processor",
        ),
        _suite("deepobs_small", "deepobs", "DeepOBS's small set with its three optimizers"),
        _suite("deepobs_large", "deepobs", "DeepOBS's large set with its three optimizers"),
    )
