"""Weight normalization, and the scaled ReLU that goes with it.

Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural Networks,
T. Salimans and D. P. Kingma, NeurIPS 2016, arXiv:1602.07868. ε, γ = 1 at the start and the scaled
ReLU follow Beyond BatchNorm, E. S. Lubana, R. P. Dick and H. Tanaka, NeurIPS 2021,
arXiv:2106.05956; there is no data-dependent initialization.
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
    inverse_length,
    layer_acted_on,
)

RELU_GAIN = math.sqrt(2.0 * math.pi / (math.pi - 1.0))
RELU_MEAN = math.sqrt(0.5 / math.pi)


class ScaledReLU(nn.Module):
    r"""Apply a ReLU whose output has mean 0 and variance 1 for inputs drawn from N(0, 1).

    .. math:: y = g \, (\max(x, 0) - \mu), \qquad
        g = \sqrt{\tfrac{2 \pi}{\pi - 1}}, \quad \mu = \sqrt{\tfrac{1}{2 \pi}}

    From Normalization Propagation, D. Arpit, Y. Zhou, B. U. Kota and V. Govindaraju, ICML 2016,
    arXiv:1603.01431.

    Shapes: any, the output as the input.

    Args:
        gain: g. Beyond BatchNorm computes it and μ with π in single precision.
        mean: μ.
    """

    def __init__(self, gain: float = RELU_GAIN, mean: float = RELU_MEAN) -> None:
        super().__init__()
        self.gain = gain
        self.mean = mean

    def forward(self, inputs: Tensor) -> Tensor:
        """Return *inputs* rectified, shifted and scaled."""
        # rsub with a negative factor is the one operation that scales and shifts in a single pass.
        return torch.rsub(inputs.relu(), -self.gain * self.mean, alpha=-self.gain)


class WeightNorm(WeightParametrization):
    r"""Give each output channel's weight a length of its own.

    .. math:: W'_o = \gamma_o \frac{W_o}{\lVert W_o \rVert_2 + \epsilon}

    ::

        conv = WeightNorm.apply_to(nn.Conv2d(3, 16, 3))

    Shapes: as :class:`~normbench_plugins.norms.parametrized.WeightParametrization`. γ (``scale``,
    start 1): (O,).

    Args:
        features: O, the output channels.
        eps: ε, added to the length, in units of the weight.
        scale_init: Initial γ.
        transposed_groups: Groups of a transposed convolution; 0 for other layers.
    """

    parameter_roles: ClassVar[Mapping[str, Role]] = {"scale": Role.NORM_SCALE}

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        *,
        scale_init: float = 1.0,
        transposed_groups: int = 0,
    ) -> None:
        super().__init__(features, transposed_groups=transposed_groups)
        self.eps = eps
        self.scale_init = scale_init
        self.scale = nn.Parameter(torch.empty(features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set γ to its initial value."""
        nn.init.constant_(self.scale, self.scale_init)

    def compute(self, weight: Tensor, dims: tuple[int, ...]) -> Tensor:
        """Return W' over *dims*."""
        inverse = inverse_length(weight, dims, self.eps)
        return weight * (inverse * self.scale.view_as(inverse))

    def extra_repr(self) -> str:
        """Return channels and eps for the printed module."""
        return f"{super().extra_repr()}, eps={self.eps}"


def fit(site: Site, *, eps: float = 1e-5, scaled_relu: bool = True) -> Fitting:
    """Put a weight norm on the layer at *site*; each of its output channels may be rescaled.

    Args:
        site: A site that a layer feeds, or that feeds one.
        eps: Added to the length.
        scaled_relu: Put the scaled ReLU in the place of the network's activation.

    Raises:
        UsageError: If the site has no layer.
    """
    weight = WeightNorm.of(layer_acted_on(site, "weight_norm"), eps=eps)
    return Fitting(
        norm=nn.Identity(),
        weight=weight,
        activation=ScaledReLU() if scaled_relu else None,
        groups=weight.invariant_groups,
    )
