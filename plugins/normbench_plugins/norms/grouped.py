"""Normalization of groups of channels within one example: the arithmetic of GN, LN, IN, RMS, FRN.

Stock CUDA kernels for the first three turn channels_last activations into contiguous ones. The code
here is made of element-wise operations and reductions that keep the layout, and runs unchanged on
every device.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from normbench import UsageError
from normbench_plugins.norms.moments import channel_means, over_groups, spread, wide


def normalise_groups(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float | Tensor,
    *,
    unbiased: bool = False,
) -> Tensor:
    """Return γ·(x - μ)/√(σ² + eps) + β with μ and σ² of each example's groups of channels.

    Args:
        inputs: x, (N, C, ...). Channels c·C/G to (c + 1)·C/G - 1 are group c.
        weight: γ, (C,).
        bias: β, (C,).
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
    inputs: Tensor, weight: Tensor, bias: Tensor | None, groups: int, eps: float | Tensor
) -> Tensor:
    """Return γ·x/√(ν² + eps) + β with ν² the mean of x² over each example's groups of channels.

    Arguments and result are those of :func:`normalise_groups`; a single value is allowed, and β
    may be None.
    """
    shift = torch.zeros_like(weight) if bias is None else bias
    return _apply(inputs, weight, shift, eps, groups, False, 1.0)


def _apply(inputs: Tensor, weight: Tensor, bias: Tensor, eps: float | Tensor, *how: Any) -> Tensor:
    dtype = wide(inputs)
    result: Tensor = _NormaliseGroups.apply(inputs, weight.to(dtype), bias.to(dtype), eps, *how)
    return result


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
