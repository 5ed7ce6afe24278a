"""Normalization of groups of channels within one example: the arithmetic of GN, LN and IN.

Stock CUDA kernels for these three turn channels_last activations into contiguous ones. The code
here is made of element-wise operations and reductions that keep the layout, and runs unchanged on
every device.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from normbench import UsageError


def normalise_groups(
    inputs: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> Tensor:
    """Return γ·(x - μ)/√(σ² + eps) + β with μ and σ² of each example's groups of channels.

    Args:
        inputs: x, (N, C, ...). Channels c·C/G to (c + 1)·C/G - 1 are group c.
        weight: γ, (C,).
        bias: β, (C,).
        groups: G, a divisor of C.
        eps: Added to σ², the biased variance.

    Returns:
        The shape, dtype and memory format of *inputs*.

    Raises:
        UsageError: If a group holds a single value, so that the output would be constant.
    """
    if prod(inputs.shape[1:]) == groups:
        raise UsageError(
            f"a norm over {groups} groups received shape {tuple(inputs.shape)}: a group then holds "
            "one value and the output does not depend on the input. Expected two values or more. "
            "Leave this site out with --sites, or use fewer groups."
        )
    wide = _wide(inputs)
    result: Tensor = _NormaliseGroups.apply(inputs, weight.to(wide), bias.to(wide), groups, eps)
    return result


class _NormaliseGroups(torch.autograd.Function):
    """The formula with its gradient, so that only the input itself is kept for the backward pass.

    With r = 1/√(σ² + eps), d = x - μ, g = γ·∂y and m the values of a group, where Σ runs over a
    group: ∂x = r·g - (r/m)·Σg - (r³/m)·d·Σ(g·d).
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
    ) -> Tensor:
        values = inputs.to(_wide(inputs))
        mean, inverse, scratch = _statistics(values, groups, eps)
        scale = inverse * weight
        shift = torch.addcmul(bias, mean, scale, value=-1)
        # A large fresh buffer costs more than the arithmetic in it, so the statistics' is reused.
        outputs = torch.addcmul(_spread(shift, values), values, _spread(scale, values), out=scratch)
        ctx.save_for_backward(inputs, weight, mean, inverse)
        ctx.groups, ctx.eps = groups, eps
        return outputs.to(inputs.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, mean, inverse = ctx.saved_tensors
        values = inputs.to(_wide(inputs))
        gradient = gradient.to(values.dtype)
        again = torch.is_grad_enabled()
        if again:  # A second derivative flows through the statistics too.
            mean, inverse, _ = _statistics(values, ctx.groups, ctx.eps)
        product = values * gradient  # in this order: the first decides on the layout
        total = _channel_means(gradient)
        aligned = (_channel_means(product) - mean * total) * inverse
        slope = _group_means(weight * aligned, ctx.groups) * inverse * -inverse
        offset = torch.addcmul(
            _group_means(weight * total, ctx.groups) * -inverse, slope, mean, value=-1
        )
        result = torch.addcmul(
            _spread(offset, values),
            values,
            _spread(slope, values),
            out=None if again else product,
        ).addcmul_(gradient, _spread(weight * inverse, values))
        size = prod(inputs.shape[2:])
        return (
            result.to(inputs.dtype),
            aligned.sum(0) * size,
            total.sum(0) * size,
            None,
            None,
        )


def _statistics(values: Tensor, groups: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return μ and 1/√(σ² + eps) of every channel's group, (N, C), and a buffer to overwrite."""
    mean = _group_means(_channel_means(values), groups)
    distance = values - _spread(mean, values)
    squares = distance.square() if torch.is_grad_enabled() else distance.square_()
    variance = _group_means(_channel_means(squares), groups)
    return mean, (variance + eps).rsqrt(), squares


def _channel_means(values: Tensor) -> Tensor:
    """Return the mean over positions, (N, C)."""
    return values if values.ndim == 2 else values.mean(tuple(range(2, values.ndim)))


def _group_means(values: Tensor, groups: int) -> Tensor:
    """Return (N, C) with every channel holding the mean of its group.

    The copy matters: a broadcast view would make the operations that follow several times slower.
    """
    examples, features = values.shape
    if groups == features:
        return values
    members = values.view(examples, groups, -1)
    return members.mean(2, keepdim=True).expand_as(members).reshape(examples, -1).contiguous()


def _spread(statistic: Tensor, values: Tensor) -> Tensor:
    """Return *statistic* (N, C) with as many dimensions as *values*."""
    return statistic.view(*statistic.shape, *(1,) * (values.ndim - 2))


def _wide(inputs: Tensor) -> torch.dtype:
    """Return the dtype statistics are taken in: float64 for float64, float32 for all others."""
    return torch.promote_types(inputs.dtype, torch.float32)
