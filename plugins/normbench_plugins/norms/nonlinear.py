"""Where a norm that contains its nonlinearity goes, and what is left of it elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from normbench import Fitting, Site
from normbench_plugins.norms.affine import AffineNorm
from normbench_plugins.norms.moments import keep_layout, spread


class Affine(AffineNorm):
    """y = γ·x + β: the part of a norm that remains where no nonlinearity may act.

    Shapes: (N, C), (N, C, L), (N, C, H, W); the output as the input. γ (``weight``, start 1) and β
    (``bias``, start 0): (C,).

    Args:
        features: C.
    """

    centres: ClassVar[bool] = False

    def __init__(self, features: int) -> None:
        super().__init__(features, 0.0)

    @property
    def invariant_groups(self) -> int | None:
        """None: rescaling what arrives changes the output."""
        return None

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x + β."""
        outputs = torch.addcmul(spread(self.bias, inputs), inputs, spread(self.weight, inputs))
        return keep_layout(outputs.to(inputs.dtype), inputs)

    def extra_repr(self) -> str:
        """Return the channels for the printed module."""
        return f"{self.features}"


def place(site: Site, make: Callable[[], AffineNorm], placement: str) -> Fitting:
    """Put a norm with its own nonlinearity at *site*, or what may stand there of it.

    Args:
        site: Where.
        make: Makes the complete norm, which replaces the network's activation too.
        placement: Where a residual sum or nothing follows, ``at_once`` leaves the affine part and
            the network's activation behind the sum. With ``after_addition`` the complete norm acts
            behind the sum instead of the activation, and nothing acts before it.
    """
    if site.activation_follows:
        norm = make()
        return Fitting(norm=norm, activation=nn.Identity(), groups=norm.invariant_groups)
    if placement == "at_once":
        return Fitting(norm=Affine(site.features))
    return Fitting(norm=nn.Identity(), activation=make() if site.sum_follows else None)
