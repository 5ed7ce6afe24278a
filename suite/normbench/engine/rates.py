"""The learning rate of each step: as numbers, or in tensors that a captured step reads itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from normbench.engine.transfer import send


class Rates(Protocol):
    """Sets the learning rates of an optimizer's groups, the initial ones times a factor a step."""

    def start_epoch(self, factors: Sequence[float]) -> None:
        """Take the factors of an epoch, one for each step."""
        ...

    def set(self, step: int) -> None:
        """Set the rates of *step* of the epoch from the host, outside of any capture."""
        ...

    def look_up(self, index: Tensor) -> None:
        """Set the rates of step *index*, (1,) on the device, by operations there."""
        ...

    def end_epoch(self) -> None:
        """Leave numbers in the groups, as checkpoints and evaluation expect."""
        ...


class NumberRates:
    """Rates as Python numbers, which every optimizer takes."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._bases = [float(group["lr"]) for group in optimizer.param_groups]
        self._factors: Sequence[float] = ()

    def start_epoch(self, factors: Sequence[float]) -> None:
        """See :class:`Rates`."""
        self._factors = factors

    def set(self, step: int) -> None:
        """See :class:`Rates`."""
        for group, base in zip(self._optimizer.param_groups, self._bases, strict=True):
            group["lr"] = base * self._factors[step]

    def look_up(self, index: Tensor) -> None:
        """Do nothing: the host has set them."""

    def end_epoch(self) -> None:
        """Do nothing: they are numbers."""


class TensorRates:
    """Rates in scalars on the device, read in each step from a table of the epoch.

    Args:
        optimizer: Takes tensors as learning rates.
        steps: Steps in an epoch.
        device: Where the parameters are.
        dtype: float32 on CUDA, the only one that torch's fused kernels read; with float64 the
            arithmetic is that of Python's numbers.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        steps: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._numbers = NumberRates(optimizer)
        self._bases = [float(group["lr"]) for group in optimizer.param_groups]
        self._optimizer, self._last = optimizer, 0
        self._table = torch.zeros((steps, len(self._bases)), dtype=dtype, device=device)
        self._rates = torch.zeros(len(self._bases), dtype=dtype, device=device)

    def start_epoch(self, factors: Sequence[float]) -> None:
        """See :class:`Rates`."""
        self._numbers.start_epoch(factors)
        self._last = len(factors) - 1
        rows = [[base * factor for base in self._bases] for factor in factors]
        send(torch.tensor(rows, dtype=torch.float64), self._table[: len(rows)])
        # Each epoch, since a checkpoint that is loaded brings groups of its own.
        for group, rate in zip(self._optimizer.param_groups, self._rates.unbind(), strict=True):
            group["lr"] = rate

    def set(self, step: int) -> None:
        """Do nothing: the device knows them."""

    def look_up(self, index: Tensor) -> None:
        """See :class:`Rates`."""
        self._rates.copy_(self._table.index_select(0, index).squeeze(0))

    def end_epoch(self) -> None:
        """See :class:`Rates`."""
        self._numbers.set(self._last)
