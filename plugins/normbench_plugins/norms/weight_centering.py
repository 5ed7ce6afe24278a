"""Weight centring: each output channel's weight without its mean.

The layer that the code of Beyond BatchNorm calls WeightCentered (E. S. Lubana, R. P. Dick and
H. Tanaka, NeurIPS 2021, arXiv:2106.05956).
"""

from __future__ import annotations

from torch import Tensor, nn

from normbench import Fitting, Site
from normbench_plugins.norms.parametrized import (
    WeightParametrization,
    centred,
    layer_acted_on,
)


class WeightCentering(WeightParametrization):
    r"""Subtract from each output channel's weight its mean.

    .. math:: W'_o = W_o - \mu_o

    ::

        conv = WeightCentering.apply_to(nn.Conv2d(3, 16, 3))

    It has no parameters, and no scale of the weight is lost in it.

    Args:
        features: O, the output channels.
        transposed_groups: Groups of a transposed convolution; 0 for other layers.
    """

    def compute(self, weight: Tensor, dims: tuple[int, ...]) -> Tensor:
        """Return W' over *dims*."""
        return centred(weight, dims)


def fit(site: Site) -> Fitting:
    """Centre the weight of the layer at *site*.

    Raises:
        UsageError: If the site has no layer.
    """
    weight = WeightCentering.of(layer_acted_on(site, "weight_centering"))
    return Fitting(norm=nn.Identity(), weight=weight)
