"""Where norms over groups of channels run as one kernel: on CUDA, for channels_last activations.

The kernels are torch operators, so that compilers and CUDA graphs take them as they are. Everything
else, float64 and second derivatives among it, is left to :mod:`normbench_plugins.norms.grouped`.
Triton is imported on the first use on a GPU, and a small sample is held against torch's own in
float64. Where Triton is missing, has no C compiler, cannot build for this GPU or computes something
else, the log says so once and the plain code is used; ``NORMBENCH_NORM_KERNELS=0`` in the
environment asks for the plain code.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

DEVICES = frozenset({"cuda"})
DTYPES = frozenset({torch.float32, torch.bfloat16, torch.float16})
MOST_MEMBERS = 4096  # Channels of a group that fit into one tile
MOST_VALUES = 2**31 - 2**14  # Of an example, so that places in it are 32-bit numbers
TOLERANCE = 1e-4  # Of a sample whose values are about 1; the kernels are off by some 1e-6

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
        device = torch.device("cuda", index)
        if type(torch.empty(0, device=device)) is not Tensor:
            return True  # shapes alone are asked for: nothing runs, and nothing can be tried
        _working[index] = _try_out(device)
    return _working[index]


def _try_out(device: torch.device) -> bool:
    if os.environ.get("NORMBENCH_NORM_KERNELS") == "0":
        return False
    reason = _refusal(device)
    if reason is not None:
        _log.warning("norms run as plain torch operations, not as fused kernels: %s", reason)
    return reason is None


def _refusal(device: torch.device) -> str | None:
    """Return why the kernels are not used on *device*, or None if they do what they should."""
    try:
        from normbench_plugins.norms import group_kernels as kernels
    except ImportError as error:
        return f"{error}. Install triton to have them."
    # Ten channels in two groups, so that lanes stay empty, as in most networks none do.
    inputs = torch.linspace(-1, 3, 2 * 10 * 3 * 3, device=device).sin().view(2, 3, 3, 10)
    inputs = inputs.movedim(3, 1)
    above, scale = inputs.cos(), torch.linspace(0.5, 1.5, 10, device=device)
    how = 2, True, 1.0
    try:
        outputs, *moments = kernels.launch_normalise(inputs, scale, scale, None, 1e-5, *how)
        found = kernels.launch_differentiate(above, inputs, scale, *moments, *how, True)
    except kernels.FAILURES as error:
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    off = _distance((outputs, *found), _expected(inputs, above, scale))
    return None if off < TOLERANCE else f"a sample is off by {off:.1e}"


def _expected(inputs: Tensor, above: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the kernels give for two groups, shifted by *scale* as well, in float64."""
    inputs, above, scale = (each.double() for each in (inputs, above, scale))
    with torch.enable_grad():
        inputs.requires_grad_()
        outputs = torch.nn.functional.group_norm(inputs, 2, scale, scale)
        (toward,) = torch.autograd.grad(outputs, inputs, above)
    unscaled = torch.nn.functional.group_norm(inputs.detach(), 2)
    sums = torch.stack([(above * unscaled).sum((2, 3)), above.sum((2, 3))])
    return outputs.detach(), toward, sums


def _distance(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference; infinity where a number is none."""
    differences = [(a - b).abs().max() for a, b in zip(found, expected, strict=True)]
    return float(torch.stack(differences).max().nan_to_num(nan=math.inf))


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
