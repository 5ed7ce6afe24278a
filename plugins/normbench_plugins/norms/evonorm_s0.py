"""EvoNorm S0: normalization and nonlinearity in one, from each example alone.

Evolving Normalization-Activation Layers, H. Liu, A. Brock, K. Simonyan and Q. V. Le, NeurIPS 2020,
arXiv:2004.02967. The default is 8 groups, not the paper's 32, because the networks here start at 16
channels. Beyond BatchNorm (arXiv:2106.05956) uses 32, the unbiased variance, and the layer behind
residual sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from normbench import Fitting, Role, Site
from normbench_plugins.norms.affine import AffineNorm
from normbench_plugins.norms.grouped import group_size
from normbench_plugins.norms.groups import check_groups, check_site_groups, is_unbiased
from normbench_plugins.norms.moments import (
    keep_layout,
    moments,
    over_groups,
    spread,
    unbiased,
    wide,
)
from normbench_plugins.norms.nonlinear import place


class EvoNormS0(AffineNorm):
    r"""Gate each channel and divide by the deviation of its group within the example.

    .. math:: y = \gamma \frac{x\,\mathrm{sigmoid}(v x)}{\sqrt{\sigma^2 + \epsilon}} + \beta

    with σ² of one group of one example, over (C/G, H, W). Rescaling the weight before it changes
    the gate, so that weight is not scale invariant.

    Shapes: (N, C), (N, C, L), (N, C, H, W); the output as the input. γ (``weight``, start 1), β
    (``bias``, start 0) and v (``gate``, start 1): (C,).

    Args:
        features: C.
        num_groups: G, a divisor of C.
        eps: ε, added to the variance.
        variance: ``biased`` divides by the number of values of a group, ``unbiased`` by one less.
        scale_init: Initial γ.
        shift_init: Initial β.

    Raises:
        UsageError: If G does not divide C, or *variance* is neither.
    """

    parameter_roles: ClassVar[Mapping[str, Role]] = {
        **AffineNorm.parameter_roles,
        "gate": Role.NORM_OTHER,
    }
    centres: ClassVar[bool] = False

    def __init__(
        self,
        features: int,
        num_groups: int = 8,
        eps: float = 1e-5,
        *,
        variance: str = "biased",
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        check_groups("EvoNormS0", features, num_groups)
        super().__init__(features, eps, scale_init=scale_init, shift_init=shift_init)
        self.num_groups = num_groups
        self.unbiased = is_unbiased(variance, "EvoNormS0")
        self.gate = nn.Parameter(torch.ones(features))

    @property
    def invariant_groups(self) -> int | None:
        """None: rescaling what arrives changes the gate."""
        return None

    def reset_parameters(self) -> None:
        """Set γ, β and v to their initial values."""
        super().reset_parameters()
        nn.init.ones_(self.gate)

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x·sigmoid(v·x)/√(σ² + ε) + β; a group with a single value is refused."""
        size = group_size(inputs, self.num_groups)
        values = inputs.to(wide(inputs))
        _, variance = moments(values, partial(over_groups, groups=self.num_groups))
        if self.unbiased:
            variance = unbiased(variance, size)
        scale = self.weight * (variance + self.eps).rsqrt()
        gated = values * torch.sigmoid(values * spread(self.gate, values))
        outputs = torch.addcmul(spread(self.bias, values), gated, spread(scale, values))
        return keep_layout(outputs.to(inputs.dtype), inputs)

    def extra_repr(self) -> str:
        """Return channels, eps and groups for the printed module."""
        return f"{super().extra_repr()}, num_groups={self.num_groups}"


def fit(
    site: Site,
    *,
    num_groups: int = 8,
    eps: float = 1e-5,
    variance: str = "biased",
    placement: str = "at_once",
) -> Fitting:
    """Put EvoNorm S0 at *site*, complete where an activation follows or is to be replaced.

    Raises:
        UsageError: If the groups do not divide the channels, or a dense site's groups would hold
            one value.
    """
    check_site_groups(site, num_groups)
    norm = partial(EvoNormS0, site.features, num_groups, eps, variance=variance)
    return place(site, norm, placement)
