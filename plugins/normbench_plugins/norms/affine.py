"""What norms with a trained scale and shift for each channel have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from normbench import Role, UsageError


class AffineNorm(nn.Module):
    """y = γ·x̂ + β, with x̂ the normalized input and γ, β one number for each channel.

    A subclass defines ``normalise(inputs)`` for inputs of shape (N, C, ...). Statistics are taken
    in float32, or in float64 where the input is float64; the output has the input's dtype and
    memory format, and so has the gradient. A subclass without γ or β says so by ``has_scale`` or
    ``has_shift``; the parameter is then None.

    Shapes: (N, C), (N, C, L), (N, C, H, W) and so on, the output as the input. γ and β: (C,).

    Args:
        features: C.
        eps: Added to the variance, in units of the input squared.
        sequence: Channels come last, as in (N, T, C); each position is normalized as a row of
            (N·T, C).
        scale_init: Initial γ.
        shift_init: Initial β.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    parameter_roles: ClassVar[Mapping[str, Role]] = {
        "weight": Role.NORM_SCALE,
        "bias": Role.NORM_SHIFT,
    }
    centres: ClassVar[bool] = True
    has_scale: ClassVar[bool] = True
    has_shift: ClassVar[bool] = True

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        *,
        sequence: bool = False,
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.features = features
        self.eps = eps
        self.sequence = sequence
        self.scale_init = scale_init
        self.shift_init = shift_init
        self._register("weight", present=self.has_scale)
        self._register("bias", present=self.has_shift)
        AffineNorm.reset_parameters(self)  # not a subclass's, whose buffers come later

    @property
    def invariant_groups(self) -> int | None:
        """Number of equal groups of channels that may be rescaled before the norm, or None."""
        return self.features

    def reset_parameters(self) -> None:
        """Set γ and β to their initial values, 1 and 0 unless said otherwise."""
        for parameter, start in ((self.weight, self.scale_init), (self.bias, self.shift_init)):
            if parameter is not None:
                nn.init.constant_(parameter, start)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return *inputs* normalized, scaled and shifted.

        Raises:
            UsageError: If the channels are not where they should be, or if there are too few values
                to take a statistic of.
        """
        dim = inputs.ndim - 1 if self.sequence else 1
        if inputs.ndim < 2 or inputs.shape[dim] != self.features:
            raise self._wrong_shape(inputs)
        if self.sequence and inputs.ndim > 2:
            return self.normalise(inputs.flatten(0, -2)).view(inputs.shape)
        return self.normalise(inputs)

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x̂ + β for *inputs* of shape (N, C, ...)."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Return channels and eps for the printed module."""
        return f"{self.features}, eps={self.eps}"

    def _register(self, name: str, *, present: bool) -> None:
        parameter = nn.Parameter(torch.empty(self.features)) if present else None
        self.register_parameter(name, parameter)

    def _wrong_shape(self, inputs: Tensor) -> UsageError:
        expected = f"(N, T, {self.features})" if self.sequence else f"(N, {self.features}, ...)"
        return UsageError(
            f"{self} received shape {tuple(inputs.shape)}: expected {expected}. "
            "Construct it with the number of channels of the layer before it."
        )
