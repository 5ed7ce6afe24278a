"""Filter response normalization with its thresholded linear unit.

Filter Response Normalization Layer: Eliminating Batch Dependence in the Training of Deep Neural
Networks, S. Singh and S. Krishnan, CVPR 2020, arXiv:1911.09737. ε is fixed at the paper's 1e-6;
Beyond BatchNorm (arXiv:2106.05956) lets one ε for each layer train from 1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from normbench import Fitting, Role, Site
from normbench_plugins.norms.affine import AffineNorm
from normbench_plugins.norms.grouped import rescale_groups
from normbench_plugins.norms.moments import keep_layout
from normbench_plugins.norms.row_maximum import row_maximum


class FilterResponseNorm(AffineNorm):
    r"""Divide each channel of each example by the root mean square of its positions.

    .. math:: y = \gamma \frac{x}{\sqrt{\nu^2 + |\epsilon|}} + \beta, \qquad
        \nu^2 = \mathrm{mean}(x^2)

    with the mean over (H, W) of one channel of one example. On maps of one position x/ν is the sign
    of x; only an ε of the order of x² keeps more of it.

    Shapes: (N, C, L), (N, C, H, W); the output as the input. γ (``weight``, start 1) and β
    (``bias``, start 0): (C,); ε where it trains (``trained_eps``, start *eps*): (1,).

    Args:
        features: C.
        eps: ε, or where it starts.
        learn_eps: Let one ε for the layer train.
        scale_init: Initial γ.
        shift_init: Initial β.
    """

    parameter_roles: ClassVar[Mapping[str, Role]] = {
        **AffineNorm.parameter_roles,
        "trained_eps": Role.NORM_OTHER,
    }
    centres: ClassVar[bool] = False

    def __init__(
        self,
        features: int,
        eps: float = 1e-6,
        *,
        learn_eps: bool = False,
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        super().__init__(features, eps, scale_init=scale_init, shift_init=shift_init)
        trained = nn.Parameter(torch.full((1,), eps)) if learn_eps else None
        self.register_parameter("trained_eps", trained)

    def reset_parameters(self) -> None:
        """Set γ, β and, where it trains, ε to their initial values."""
        super().reset_parameters()
        if self.trained_eps is not None:
            nn.init.constant_(self.trained_eps, self.eps)

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x/√(ν² + |ε|) + β."""
        eps = self.eps if self.trained_eps is None else self.trained_eps.abs()
        return rescale_groups(inputs, self.weight, self.bias, self.features, eps)


class ThresholdedLinearUnit(nn.Module):
    """y = max(x, τ), with one τ for each channel that trains.

    Shapes: (N, C, ...), the output as the input. τ (``threshold``, start 0): (C,).

    Args:
        features: C.
    """

    parameter_roles: ClassVar[Mapping[str, Role]] = {"threshold": Role.NORM_OTHER}

    def __init__(self, features: int) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.zeros(features))

    def reset_parameters(self) -> None:
        """Set τ to 0."""
        nn.init.zeros_(self.threshold)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return max(*inputs*, τ); at a tie the gradient is τ's, as a ReLU has none at 0."""
        return keep_layout(row_maximum(inputs, self.threshold), inputs)

    def extra_repr(self) -> str:
        """Return the channels for the printed module."""
        return f"{len(self.threshold)}"


def fit(site: Site, *, eps: float = 1e-6, learn_eps: bool = False) -> Fitting:
    """Put a filter response norm at *site*, and its unit wherever an activation follows.

    Behind a residual sum the unit acts on the sum. Every output channel may be rescaled.
    """
    follows = site.activation_follows or site.sum_follows
    norm = FilterResponseNorm(site.features, eps, learn_eps=learn_eps)
    return Fitting(
        norm=norm,
        activation=ThresholdedLinearUnit(site.features) if follows else None,
        groups=norm.invariant_groups,
    )
