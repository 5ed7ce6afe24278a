"""Means and variances that norms share, and the layout of their gradients.

A statistic is (N, C), one number for each channel of each example, or (1, C), one for each channel
of the batch. Means over positions come first, so that all further averaging is of small tensors:
this reads the activations less often than ``torch.var`` and is several times faster on a processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Average = Callable[[Tensor], Tensor]


def wide(inputs: Tensor) -> torch.dtype:
    """Return the dtype statistics are taken in: float64 for float64, float32 for all others."""
    return torch.promote_types(inputs.dtype, torch.float32)


def spread(statistic: Tensor, values: Tensor) -> Tensor:
    """Return *statistic* (N, C), (1, C) or (C,) shaped to act on *values* (N, C, ...)."""
    rows = statistic.unsqueeze(0) if statistic.ndim == 1 else statistic
    return rows.view(*rows.shape, *(1,) * (values.ndim - 2))


def channel_means(values: Tensor) -> Tensor:
    """Return the mean over positions, (N, C)."""
    return values if values.ndim == 2 else values.mean(tuple(range(2, values.ndim)))


def over_batch(statistic: Tensor) -> Tensor:
    """Return the mean over examples, (1, C)."""
    return statistic.mean(0, keepdim=True)


def over_positions(statistic: Tensor) -> Tensor:
    """Return *statistic* as it is: each channel of each example is a set of its own."""
    return statistic


def over_groups(statistic: Tensor, groups: int) -> Tensor:
    """Return (N, C) with every channel holding the mean of its group of neighbouring channels.

    The copy matters: a broadcast view would make the operations that follow several times slower.
    """
    examples, features = statistic.shape
    if groups == features:
        return statistic
    members = statistic.view(examples, groups, -1)
    return members.mean(2, keepdim=True).expand_as(members).reshape(examples, -1).contiguous()


def moments(values: Tensor, average: Average) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of *values* over the sets that *average* averages over.

    Both may be differentiated, the variance at a third of what autograd alone would cost.

    Args:
        values: (N, C, ...), in the dtype of the statistics.
        average: Maps means over positions, (N, C), to means over larger sets.
    """
    mean = average(channel_means(values))
    squares: Tensor = _SquaredDistance.apply(values, mean)
    return mean, average(squares)


def pooled(mean: Tensor, variance: Tensor, average: Average) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of larger sets, from those of their equal parts.

    Args:
        mean: Of the parts, (N, C).
        variance: Of the parts, biased, (N, C).
        average: Maps means of parts to means of sets.
    """
    whole = average(mean)
    return whole, average(variance + (mean - whole).square())


def unbiased(variance: Tensor, count: int) -> Tensor:
    """Return the unbiased estimate for a biased variance of *count* values; 0 stays 0 for one."""
    return variance * (count / max(count - 1, 1))


class _SquaredDistance(torch.autograd.Function):
    """Mean over positions of (x - μ)², (N, C), where μ is the mean of the set of each x.

    Over a whole set Σ(x - μ) is 0, so in a first derivative μ counts as a constant; only a second
    derivative has to know what it is made of.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, mean: Tensor) -> Tensor:
        ctx.save_for_backward(values, mean)
        return channel_means((values - spread(mean, values)).square_())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        values, mean = ctx.saved_tensors
        slope = gradient * (2 * gradient.numel() / values.numel())
        above = torch.addcmul(spread(-slope * mean, values), values, spread(slope, values))
        if not torch.is_grad_enabled():
            return above, None
        toward = -2 * gradient * (channel_means(values) - mean)
        return above, toward.sum_to_size(mean.shape)


def keep_layout(outputs: Tensor, inputs: Tensor) -> Tensor:
    """Return *outputs* so that gradients pass in the memory format of *inputs*, whatever arrives.

    Element-wise operations take their layout from the first operand, in a backward pass from the
    gradient: a contiguous one would leave all layers below out of channels_last.
    """
    result: Tensor = _KeepLayout.apply(outputs, _layout(inputs))
    return result


class _KeepLayout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, outputs: Tensor, layout: torch.memory_format) -> Tensor:
        ctx.layout = layout
        return outputs.view_as(outputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.contiguous(memory_format=ctx.layout), None


def _layout(inputs: Tensor) -> torch.memory_format:
    channels_last = inputs.ndim == 4 and inputs.stride(1) == 1 and not inputs.is_contiguous()
    return torch.channels_last if channels_last else torch.contiguous_format
