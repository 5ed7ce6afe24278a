"""Instance normalization.

Instance Normalization: The Missing Ingredient for Fast Stylization, D. Ulyanov, A. Vedaldi and
V. Lempitsky, 2016, arXiv:1607.08022. There are no running statistics: training and evaluation are
alike.
"""

from __future__ import annotations

from torch import Tensor

from normbench import Fitting, Site
from normbench_plugins.norms.affine import AffineNorm
from normbench_plugins.norms.grouped import normalise_groups


class InstanceNorm(AffineNorm):
    r"""Normalize each channel of each example over its positions.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    with μ and σ² (biased) over (H, W).

    Shapes: (N, C, L), (N, C, H, W), at least two positions; the output as the input.
    γ (``weight``, start 1) and β (``bias``, start 0): (C,).

    Args:
        features: C.
        eps: ε, added to the variance.
        scale_init: Initial γ.
        shift_init: Initial β.
    """

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        *,
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        super().__init__(features, eps, scale_init=scale_init, shift_init=shift_init)

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x̂ + β; a channel with a single position is refused."""
        return normalise_groups(inputs, self.weight, self.bias, self.features, self.eps)


def fit(site: Site, *, eps: float = 1e-5) -> Fitting:
    """Put an instance norm at *site*; every output channel before it may be rescaled."""
    norm = InstanceNorm(site.features, eps)
    return Fitting(norm=norm, groups=norm.invariant_groups)
