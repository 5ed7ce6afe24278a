"""Scaled weight standardization.

Characterizing Signal Propagation to Close the Performance Gap in Unnormalized ResNets, A. Brock,
S. De and S. L. Smith, ICLR 2021, arXiv:2101.08692. As in Beyond BatchNorm (E. S. Lubana, R. P. Dick
and H. Tanaka, NeurIPS 2021, arXiv:2106.05956), ε is added to σ and not to the variance, and the
factors α and β that track the variance of residual blocks are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from normbench import Fitting, Role, Site
from normbench_plugins.norms.parametrized import (
    WeightParametrization,
    centred,
    inverse_length,
    layer_acted_on,
)

RELU_GAIN = 1.7128585504496627


class ScaledWeightStandardization(WeightParametrization):
    r"""Standardize each output channel's weight so that a layer keeps its input's variance.

    .. math:: W'_o = \frac{g \, \gamma_o}{\sqrt{K}} \, \frac{W_o - \mu_o}{\sigma_o + \epsilon}

    with μ and σ (biased) over the K numbers of an output channel, its fan-in.

    ::

        conv = ScaledWeightStandardization.apply_to(nn.Conv2d(3, 16, 3))

    Shapes: as :class:`~normbench_plugins.norms.parametrized.WeightParametrization`. γ (``scale``,
    start 1): (O,).

    Args:
        features: O, the output channels.
        eps: ε, added to σ, in units of the weight.
        gain: g, one over the standard deviation of the activation's output for N(0, 1) inputs;
            √(2π/(π - 1)) for a ReLU.
        scale_init: Initial γ.
        transposed_groups: Groups of a transposed convolution; 0 for other layers.
    """

    parameter_roles: ClassVar[Mapping[str, Role]] = {"scale": Role.NORM_SCALE}

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        gain: float = RELU_GAIN,
        *,
        scale_init: float = 1.0,
        transposed_groups: int = 0,
    ) -> None:
        super().__init__(features, transposed_groups=transposed_groups)
        self.eps = eps
        self.gain = gain
        self.scale_init = scale_init
        self.scale = nn.Parameter(torch.empty(features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set γ to its initial value."""
        nn.init.constant_(self.scale, self.scale_init)

    def compute(self, weight: Tensor, dims: tuple[int, ...]) -> Tensor:
        """Return W' over *dims*."""
        # √K·σ is the length of the centred weight, which takes one pass where σ takes several.
        distance = centred(weight, dims)
        root = math.sqrt(weight.numel() / self.features)
        inverse = inverse_length(distance, dims, self.eps * root)
        return distance * (inverse * self.scale.view_as(inverse) * self.gain)

    def extra_repr(self) -> str:
        """Return channels, eps and gain for the printed module."""
        return f"{super().extra_repr()}, eps={self.eps}, gain={self.gain:g}"


def fit(site: Site, *, eps: float = 1e-5, gain: float = RELU_GAIN) -> Fitting:
    """Standardize the weight of the layer at *site*; each output channel may be rescaled.

    Raises:
        UsageError: If the site has no layer.
    """
    layer = layer_acted_on(site, "scaled_weight_standardization")
    weight = ScaledWeightStandardization.of(layer, eps=eps, gain=gain)
    return Fitting(norm=nn.Identity(), weight=weight, groups=weight.invariant_groups)
