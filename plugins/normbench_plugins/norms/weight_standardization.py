"""Weight standardization, with group norm on the activations.

Micro-Batch Training with Batch-Channel Normalization and Weight Standardization, S. Qiao, H. Wang,
C. Liu, W. Shen and A. Yuille, 2019, arXiv:1903.10520. As in the paper's formula σ is biased; the
authors' code divides by one less than the fan-in.
"""

from __future__ import annotations

import math

from torch import Tensor

from normbench import Fitting, Site
from normbench_plugins.norms import group_norm
from normbench_plugins.norms.parametrized import (
    WeightParametrization,
    centred,
    inverse_length,
    layer_acted_on,
)


class WeightStandardization(WeightParametrization):
    r"""Give each output channel's weight mean 0 and standard deviation 1.

    .. math:: W'_o = \frac{W_o - \mu_o}{\sigma_o + \epsilon}

    with μ and σ (biased) over all numbers of an output channel. There is no trained scale: a norm
    on the activations is to follow, which has one.

    ::

        conv = WeightStandardization.apply_to(nn.Conv2d(3, 16, 3))
        network = nn.Sequential(conv, GroupNorm(16), nn.ReLU())

    Args:
        features: O, the output channels.
        eps: ε, added to σ, in units of the weight.
        transposed_groups: Groups of a transposed convolution; 0 for other layers.
    """

    def __init__(self, features: int, eps: float = 1e-5, *, transposed_groups: int = 0) -> None:
        super().__init__(features, transposed_groups=transposed_groups)
        self.eps = eps

    def compute(self, weight: Tensor, dims: tuple[int, ...]) -> Tensor:
        """Return W' over *dims*."""
        distance = centred(weight, dims)
        root = math.sqrt(weight.numel() / self.features)
        return distance * (inverse_length(distance, dims, self.eps * root) * root)

    def extra_repr(self) -> str:
        """Return channels and eps for the printed module."""
        return f"{super().extra_repr()}, eps={self.eps}"


def fit(
    site: Site,
    *,
    num_groups: int = 8,
    group_size: int | None = None,
    eps: float = 1e-5,
    weight_eps: float = 1e-5,
) -> Fitting:
    """Standardize the weight of the layer at *site* and put a group norm at the site itself.

    Each output channel of that layer may be rescaled.

    Args:
        site: A site that a layer feeds, or that feeds one.
        num_groups: Groups of the group norm.
        group_size: Channels in a group; if given it decides, and *num_groups* does not.
        eps: Added to the variance of the activations.
        weight_eps: Added to the standard deviation of the weights.

    Raises:
        UsageError: If the site has no layer, or if the groups do not divide its channels.
    """
    layer = layer_acted_on(site, "weight_standardization")
    norm = group_norm.fit(site, num_groups=num_groups, group_size=group_size, eps=eps).norm
    weight = WeightStandardization.of(layer, eps=weight_eps)
    return Fitting(norm=norm, weight=weight, groups=weight.invariant_groups)
