"""The larger of the activations and a number for each channel, several times faster than torch's.

In a backward pass ``torch.maximum`` turns comparisons into masks and reduces a gradient of the size
of the activations to that of the row. Neither is needed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normbench_plugins.norms.moments import spread, wide


def row_maximum(values: Tensor, row: Tensor) -> Tensor:
    """Return max(*values*, *row*), bit for bit ``torch.maximum``'s.

    At a tie the whole gradient is *row*'s, as a ReLU's is at 0; ``torch.maximum`` gives each half.

    Args:
        values: (N, C, ...).
        row: A number for each channel, (C,) or (1, C), or for each of every example, (N, C).

    Returns:
        The shape, dtype and memory format of *values*.
    """
    result: Tensor = _RowMaximum.apply(values, row)
    return result


class _RowMaximum(torch.autograd.Function):
    """What does not pass to the values is the row's: a difference of sums, which needs no mask."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, row: Tensor) -> Tensor:
        ctx.save_for_backward(values, row)
        return torch.maximum(values, spread(row.to(values.dtype), values))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        values, row = ctx.saved_tensors
        above = values.detach() - spread(row.detach().to(values.dtype), values)
        # The same selection as a mask's, vectorized: a product with a mask is ten times slower.
        passed = torch.ops.aten.threshold_backward(gradient, above, 0.0)
        if not ctx.needs_input_grad[1]:
            return passed, None
        kept = _channel_sums(gradient) - _channel_sums(passed)
        return passed, kept.sum_to_size(row.shape).to(row.dtype)


def _channel_sums(values: Tensor) -> Tensor:
    """Return the sum over positions, (N, C), in the dtype of statistics."""
    dtype = wide(values)
    return values.to(dtype) if values.ndim == 2 else values.flatten(2).sum(2, dtype=dtype)
