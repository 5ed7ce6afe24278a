"""What norms with batch statistics in training and running ones in evaluation have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from normbench import UsageError
from normbench_plugins.norms.affine import AffineNorm


class RunningNorm(AffineNorm):
    """A norm with running statistics, buffers of shape (C,) that no gradient sees.

    Args:
        features: C.
        eps: Added to the variance.
        momentum: m in running ← (1 - m)·running + m·batch, in [0, 1].
        starts: The buffers and what each starts at.
        sequence: Channels come last.
        scale_init: Initial γ.
        shift_init: Initial β.
    """

    lone_fix: ClassVar[str] = (
        "Raise problem.batch_size to 2 or more, or keep protocol.drop_last=true if this is a last "
        "partial batch."
    )

    def __init__(
        self,
        features: int,
        eps: float,
        momentum: float,
        *,
        starts: Mapping[str, float],
        sequence: bool = False,
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        super().__init__(
            features, eps, sequence=sequence, scale_init=scale_init, shift_init=shift_init
        )
        self.momentum = momentum
        self.starts = dict(starts)
        for name, start in self.starts.items():
            self.register_buffer(name, torch.full((features,), float(start)))

    def reset_parameters(self) -> None:
        """Set γ, β and the running statistics to their initial values."""
        super().reset_parameters()
        for name, start in self.starts.items():
            self.get_buffer(name).fill_(start)

    def move(self, **statistics: Tensor) -> None:
        """Move the running statistics of these names towards the batch's, (C,) or (1, C)."""
        for name, statistic in statistics.items():
            running = self.get_buffer(name)
            running.lerp_(statistic.detach().view(-1).to(running.dtype), self.momentum)

    def refuse_single_values(self, inputs: Tensor) -> None:
        """Refuse a training batch with one value for each channel.

        Raises:
            UsageError: With the fix.
        """
        if self.training and inputs.numel() == self.features:
            name = type(self).__name__
            raise UsageError(
                f"{name} received a training batch of shape {tuple(inputs.shape)}: one value for "
                f"each channel has no statistics. {self.lone_fix}"
            )

    def extra_repr(self) -> str:
        """Return channels, eps and momentum for the printed module."""
        return f"{super().extra_repr()}, momentum={self.momentum}"
