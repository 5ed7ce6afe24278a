"""Normalization of groups of channels within one example: the arithmetic of GN, LN, IN, RMS, FRN.

Torch's own kernels for the first three are not used after convolutions. On CUDA they turn
channels_last activations into contiguous ones; on the processor those for channels_last subtract
the square of a mean from a mean of squares, which is wrong by 1e-3 where the mean is 30 deviations
from 0 (torch 2.15, float32). The code here is made of element-wise operations and reductions that
keep the layout, and runs unchanged on every device. On CUDA it gives way to the kernels of
:mod:`normbench_plugins.norms.fused_groups` where they can: the same formula in less than half of
the memory traffic in float32, by count, and in a seventh or less in bfloat16.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from normbench import UsageError
from normbench_plugins.norms.fused_groups import fused_backward, fused_forward, is_fused
from normbench_plugins.norms.moments import channel_means, over_groups, spread, wide


def normalise_groups(
    inputs: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    groups: int,
    eps: float | Tensor,
    *,
    unbiased: bool = False,
) -> Tensor:
    """Return γ·(x - μ)/√(σ² + eps) + β with μ and σ² of each example's groups of channels.

    Args:
        inputs: x, (N, C, ...). Channels c·C/G to (c + 1)·C/G - 1 are group c.
        weight: γ, (C,), or None for 1.
        bias: β, (C,), or None for 0.
        groups: G, a divisor of C.
        eps: Added to σ²; may be a tensor that trains.
        unbiased: Divide by one value less in σ², as an estimate of the variance would.

    Returns:
        The shape, dtype and memory format of *inputs*.

    Raises:
        UsageError: If a group holds a single value, which has no variance.
    """
    size = group_size(inputs, groups)
    factor = size / (size - 1) if unbiased else 1.0
    return _apply(inputs, weight, bias, eps, groups, True, factor)


def group_size(inputs: Tensor, groups: int) -> int:
    """Return how many values of *inputs* (N, C, ...) each of an example's groups holds.

    Raises:
        UsageError: If it is one, which has no variance.
    """
    size = prod(inputs.shape[1:]) // groups
    if size == 1:
        raise UsageError(
            f"a norm over {groups} groups received shape {tuple(inputs.shape)}: a group then holds "
            "one value, which has no variance. Expected two values or more. Leave this site out "
            "with --sites, or use fewer groups."
        )
    return size


def rescale_groups(
    inputs: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    groups: int,
    eps: float | Tensor,
) -> Tensor:
    """Return γ·x/√(ν² + eps) + β with ν² the mean of x² over each example's groups of channels.

    Arguments and result are those of :func:`normalise_groups`; a single value is allowed.
    """
    return _apply(inputs, weight, bias, eps, groups, False, 1.0)


def _apply(
    inputs: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float | Tensor,
    groups: int,
    centre: bool,
    factor: float,
) -> Tensor:
    dtype = wide(inputs)
    scale = None if weight is None else weight.to(dtype).contiguous()
    shift = None if bias is None else bias.to(dtype).contiguous()
    if is_fused(inputs, groups):
        eps = eps.to(dtype) if isinstance(eps, Tensor) else eps
        fused: Tensor = _FusedGroups.apply(inputs, scale, shift, eps, groups, centre, factor)
        return fused
    return _plain(inputs, scale, shift, eps, groups, centre, factor)


def _plain(
    inputs: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float | Tensor, *how: Any
) -> Tensor:
    fresh = partial(inputs.new_full, (inputs.shape[1],), dtype=wide(inputs))
    scale = fresh(fill_value=1.0) if weight is None else weight
    shift = fresh(fill_value=0.0) if bias is None else bias
    result: Tensor = _NormaliseGroups.apply(inputs, scale, shift, eps, *how)
    return result


class _FusedGroups(torch.autograd.Function):
    """The formula and its gradient as one kernel each; a second derivative takes the plain code."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float | Tensor,
        *how: Any,
    ) -> Tensor:
        outputs, means, inverses = fused_forward(inputs, weight, bias, eps, *how)
        trained_eps = eps if isinstance(eps, Tensor) else None
        ctx.save_for_backward(inputs, weight, bias, trained_eps, means, inverses)
        ctx.eps, ctx.how = None if trained_eps is not None else eps, how
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, bias, eps, means, inverses = ctx.saved_tensors
        needed = ctx.needs_input_grad[:4]
        if torch.is_grad_enabled():
            given = (inputs, weight, bias, ctx.eps if eps is None else eps)
            return *_differentiable(given, needed, gradient, ctx.how), None, None, None
        saved = (inputs, weight, means, inverses)
        toward, sums = fused_backward(gradient, *saved, *ctx.how, affine=any(needed[1:]))
        aligned, total = sums.sum(1) if any(needed[1:]) else (None, None)
        return (
            toward,
            aligned if needed[1] else None,
            total if needed[2] else None,
            _toward_eps(sums[0], weight, inverses, eps) if needed[3] else None,
            None,
            None,
            None,
        )


def _differentiable(
    given: tuple[Any, ...], needed: tuple[bool, ...], gradient: Tensor, how: tuple[Any, ...]
) -> tuple[Tensor | None, ...]:
    """Return the gradients of the plain code as functions that may be differentiated again."""
    asked = [value for value, need in zip(given, needed, strict=True) if need]
    found = iter(torch.autograd.grad(_plain(*given, *how), asked, gradient, create_graph=True))
    return tuple(next(found) if need else None for need in needed)


def _toward_eps(aligned: Tensor, weight: Tensor | None, inverses: Tensor, eps: Tensor) -> Tensor:
    """Return -½·Σ γ·∂y·x̂/(σ² + eps) over everything, from each channel's Σ ∂y·x̂, (N, C)."""
    scaled = aligned if weight is None else aligned * weight
    groups = scaled.view(*inverses.shape, -1).sum(2)
    return (groups * inverses.square()).sum().mul(-0.5).to(eps.dtype).view_as(eps)


class _NormaliseGroups(torch.autograd.Function):
    """The formula with its gradient, so that only the input itself is kept for the backward pass.

    With r = 1/√(σ² + eps), d = x - μ, g = γ·∂y, m the values of a group, f the factor on the biased
    variance, and Σ over a group: ∂x = r·g - (r/m)·Σg - (f·r³/m)·d·Σ(g·d), ∂eps = -½·Σ(g·d)·r³
    summed over all groups. Without centring μ is 0 and the term in Σg is not there.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float | Tensor,
        groups: int,
        centre: bool,
        factor: float,
    ) -> Tensor:
        values = inputs.to(wide(inputs))
        statistics = partial(_statistics, groups=groups, centre=centre, factor=factor)
        mean, inverse, scratch = statistics(values, eps=eps)
        scale = inverse * weight
        shift = bias if mean is None else torch.addcmul(bias, mean, scale, value=-1)
        # A large fresh buffer costs more than the arithmetic in it, so the statistics' is reused.
        outputs = torch.addcmul(spread(shift, values), values, spread(scale, values), out=scratch)
        trained_eps = eps if isinstance(eps, Tensor) else None
        ctx.save_for_backward(inputs, weight, mean, inverse, trained_eps)
        ctx.eps, ctx.groups, ctx.factor = None if trained_eps is not None else eps, groups, factor
        ctx.statistics = statistics
        return outputs.to(inputs.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, mean, inverse, eps = ctx.saved_tensors
        values = inputs.to(wide(inputs))
        gradient = gradient.to(values.dtype)
        again = torch.is_grad_enabled()
        if again:  # A second derivative flows through the statistics too.
            mean, inverse, _ = ctx.statistics(values, eps=ctx.eps if eps is None else eps)
        # Centred before the product: the difference of two products would lose digits.
        distance = values if mean is None else values - spread(mean, values)
        fresh = None if again or mean is None else distance
        product = torch.mul(distance, gradient, out=fresh)  # the first decides on the layout
        aligned = channel_means(product) * inverse
        needs_total = mean is not None or ctx.needs_input_grad[2]
        total = channel_means(gradient) if needs_total else None
        slope = over_groups(weight * aligned, ctx.groups) * inverse * -inverse * ctx.factor
        spare = None if again else product
        if mean is None:
            result = torch.mul(values, spread(slope, values), out=spare)
        else:
            level = over_groups(weight * total, ctx.groups) * -inverse
            offset = spread(torch.addcmul(level, slope, mean, value=-1), values)
            result = torch.addcmul(offset, values, spread(slope, values), out=spare)
        result = result.addcmul_(gradient, spread(weight * inverse, values))
        size = prod(inputs.shape[2:])
        toward_eps = None
        if eps is not None:
            toward_eps = (weight * aligned * inverse.square()).sum() * (-0.5 * size)
            toward_eps = toward_eps.to(eps.dtype).view_as(eps)
        return (
            result.to(inputs.dtype),
            aligned.sum(0) * size,
            None if total is None else total.sum(0) * size,
            toward_eps,
            None,
            None,
            None,
        )


def _statistics(
    values: Tensor, eps: float | Tensor, *, groups: int, centre: bool, factor: float
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Return μ or None and 1/√(σ² + eps) of every channel's group, (N, C), and a spare buffer."""
    if not centre:
        squares = values.square()
        return None, (over_groups(channel_means(squares), groups) + eps).rsqrt(), squares
    mean = over_groups(channel_means(values), groups)
    distance = values - spread(mean, values)
    # Rounding has left a part of the mean behind, which counts where the mean is far from 0.
    mean = mean + over_groups(channel_means(distance), groups)
    squares = distance.square() if torch.is_grad_enabled() else distance.square_()
    variance = over_groups(channel_means(squares), groups) * factor
    return mean, (variance + eps).rsqrt(), squares
