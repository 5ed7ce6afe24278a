"""Where norms over groups of channels run as one kernel: on CUDA, for channels_last activations.

The kernels are torch operators, so that compilers and CUDA graphs take them as they are. Everything
else, float64 and second derivatives among it, is left to :mod:`normbench_plugins.norms.grouped`.
Triton is imported on the first use on a GPU. Where it is missing, has no C compiler or cannot
build for this GPU, the log says so once and the plain code is used; ``NORMBENCH_NORM_KERNELS=0``
in the environment asks for the plain code.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
from torch import Tensor

DEVICES = frozenset({"cuda"})
DTYPES = frozenset({torch.float32, torch.bfloat16, torch.float16})
MOST_MEMBERS = 4096  # Channels of a group that fit into one tile
MOST_VALUES = 2**31 - 2**14  # Of an example, so that places in it are 32-bit numbers

_log = logging.getLogger("normbench.norms")
_working: dict[int, bool] = {}
_operators = torch.library.Library("normbench", "FRAGMENT")


def is_fused(inputs: Tensor, groups: int) -> bool:
    """Return whether *inputs* (N, C, ...) with this many groups are left to the kernels."""
    return (
        inputs.device.type in DEVICES
        and inputs.dtype in DTYPES
        and _channels_are_last(inputs)
        and inputs.shape[1] // groups <= MOST_MEMBERS
        and 0 < inputs.numel() <= inputs.shape[0] * MOST_VALUES
        and kernels_work(inputs.device.index or 0)
    )


def _channels_are_last(inputs: Tensor) -> bool:
    if inputs.ndim == 2:
        return inputs.is_contiguous()
    return inputs.ndim == 4 and inputs.is_contiguous(memory_format=torch.channels_last)


def kernels_work(index: int) -> bool:
    """Return whether GPU *index* of this process runs the kernels; tried once."""
    if index not in _working:
        sample = torch.ones(1, 2, device=torch.device("cuda", index))
        if type(sample) is not Tensor:
            return True  # shapes alone are asked for: nothing runs, and nothing can be tried
        _working[index] = _try_out(sample)
    return _working[index]


def _try_out(sample: Tensor) -> bool:
    if os.environ.get("NORMBENCH_NORM_KERNELS") == "0":
        return False
    reason = _refusal(sample)
    if reason is not None:
        _log.warning("norms run as plain torch operations, not as fused kernels: %s", reason)
    return reason is None


def _refusal(sample: Tensor) -> str | None:
    """Return why the kernels do not run where *sample* (1, 2) is, or None if they do."""
    try:
        from normbench_plugins.norms import group_kernels as kernels
    except ImportError as error:
        return f"{error}. Install triton to have them."
    try:
        _, means, inverses = kernels.launch_normalise(sample, None, None, None, 1.0, 1, True, 1.0)
        kernels.launch_differentiate(sample, sample, None, means, inverses, 1, True, 1.0, False)
    except kernels.FAILURES as error:
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    return None


def _normalise(inputs: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    from normbench_plugins.norms import group_kernels

    return group_kernels.launch_normalise(inputs, *rest)


def _differentiate(gradient: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    from normbench_plugins.norms import group_kernels

    return group_kernels.launch_differentiate(gradient, *rest)


def _normalise_shapes(inputs: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    groups, centre = rest[4:6]
    inverses = inputs.new_empty((inputs.shape[0], groups), dtype=torch.float32)
    means = torch.empty_like(inverses) if centre else inverses.new_empty(0)
    return torch.empty_like(inputs), means, inverses


def _differentiate_shapes(_gradient: Tensor, inputs: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    inverses, affine = rest[2], rest[-1]
    sums = inverses.new_empty((2, *inputs.shape[:2]) if affine else (2, 0))
    return torch.empty_like(inputs), sums


def _offer(name: str, schema: str, launch: Any, shapes: Any) -> None:
    """Make *launch* the torch operator ``normbench::name``."""
    # Not torch.library.custom_op, whose first call imports the compiler, which takes seconds.
    _operators.define(name + schema)
    _operators.impl(name, launch, "CompositeExplicitAutograd")
    torch.library.register_fake(f"normbench::{name}", shapes, lib=_operators)


_offer(
    "normalise_groups",
    "(Tensor inputs, Tensor? weight, Tensor? bias, Tensor? eps_cell, float eps, int groups,"
    " bool centre, float factor) -> (Tensor, Tensor, Tensor)",
    _normalise,
    _normalise_shapes,
)
_offer(
    "differentiate_groups",
    "(Tensor gradient, Tensor inputs, Tensor? weight, Tensor means, Tensor inverses,"
    " int groups, bool centre, float factor, bool affine) -> (Tensor, Tensor)",
    _differentiate,
    _differentiate_shapes,
)


def fused_forward(
    inputs: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float | Tensor,
    groups: int,
    centre: bool,
    factor: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, μ and 1/√(σ² + eps) of the groups, (N, G); μ is empty without centring."""
    cell, number = (eps, 0.0) if isinstance(eps, Tensor) else (None, eps)
    result: tuple[Tensor, Tensor, Tensor] = torch.ops.normbench.normalise_groups(
        inputs, weight, bias, cell, number, groups, centre, factor
    )
    return result


def fused_backward(
    gradient: Tensor,
    inputs: Tensor,
    weight: Tensor | None,
    means: Tensor,
    inverses: Tensor,
    groups: int,
    centre: bool,
    factor: float,
    affine: bool,
) -> tuple[Tensor, Tensor]:
    """Return ∂x, and Σ ∂y·x̂ and Σ ∂y over positions, (2, N, C) if *affine*."""
    layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
    result: tuple[Tensor, Tensor] = torch.ops.normbench.differentiate_groups(
        gradient.contiguous(memory_format=layout),
        inputs,
        weight,
        means,
        inverses,
        groups,
        centre,
        factor,
        affine,
    )
    return result
