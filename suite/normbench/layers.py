"""Layers that networks share and torch lacks: randomness of a run's own, TF-style padding."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it


class Stochastic(nn.Module):
    """A layer that draws random numbers in its forward pass.

    The engine gives it the run's generator, so what it draws depends on the run alone and not on
    what else the process does. Without one it draws from torch's global generator.

    Attributes:
        in_evaluation: Whether it draws in evaluation too. What an example gets then depends on the
            batch it is in, so the size of evaluation batches is fixed.
    """

    in_evaluation: ClassVar[bool] = False
    generator: torch.Generator | None = None


def bind_generator(network: nn.Module, generator: torch.Generator | None) -> None:
    """Make every stochastic layer of *network* draw from *generator*."""
    for module in network.modules():
        if isinstance(module, Stochastic):
            module.generator = generator


class Dropout(Stochastic):
    """Zero each number with probability *rate* in training and scale the rest by 1/(1 - rate).

    Args:
        rate: Probability in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        """Return *inputs* with a fresh mask; unchanged in evaluation."""
        if not self.training or self.rate == 0.0:
            return inputs
        keep = 1.0 - self.rate
        mask = torch.empty_like(inputs).bernoulli_(keep, generator=self.generator)
        return inputs * mask.div_(keep)

    def extra_repr(self) -> str:
        """Return the rate for the printed module."""
        return f"rate={self.rate}"


class GaussianNoise(Stochastic):
    """Return mean + ε·scale with ε drawn from N(0, 1), in training and in evaluation."""

    in_evaluation = True

    def forward(self, mean: Tensor, scale: Tensor) -> Tensor:
        """Return a sample of the shape of *mean*."""
        noise = torch.empty_like(mean).normal_(generator=self.generator)
        return mean + noise * scale


class SamePad2d(nn.Module):
    """Pad (N, C, H, W) so that a window of *kernel* at *stride* gives ceil(H / stride) rows.

    TensorFlow's SAME rule: the odd pixel goes to the right and the bottom.

    Args:
        kernel: Window size.
        stride: Window stride.
        value: What to pad with; -inf before a maximum.
    """

    def __init__(self, kernel: int, stride: int = 1, value: float = 0.0) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride
        self.value = value

    def forward(self, inputs: Tensor) -> Tensor:
        """Return *inputs* padded; the same tensor where no padding is needed."""
        top, bottom = self._amounts(inputs.shape[-2])
        left, right = self._amounts(inputs.shape[-1])
        if not (top or bottom or left or right):
            return inputs
        return F.pad(inputs, (left, right, top, bottom), value=self.value)

    def _amounts(self, size: int) -> tuple[int, int]:
        windows = -(-size // self.stride)
        total = max((windows - 1) * self.stride + self.kernel - size, 0)
        return total // 2, total - total // 2

    def extra_repr(self) -> str:
        """Return the window for the printed module."""
        return f"kernel={self.kernel}, stride={self.stride}, value={self.value}"
