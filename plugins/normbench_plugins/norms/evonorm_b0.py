"""EvoNorm B0: normalization and nonlinearity in one, from the batch.

Evolving Normalization-Activation Layers, H. Liu, A. Brock, K. Simonyan and Q. V. Le, NeurIPS 2020,
arXiv:2004.02967. Beyond BatchNorm (arXiv:2106.05956) takes the unbiased instance variance, and the
layer behind residual sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from normbench import Fitting, Role, Site
from normbench_plugins.norms.affine import AffineNorm
from normbench_plugins.norms.groups import is_unbiased
from normbench_plugins.norms.moments import (
    keep_layout,
    moments,
    over_batch,
    over_positions,
    pooled,
    spread,
    unbiased,
    wide,
)
from normbench_plugins.norms.nonlinear import place
from normbench_plugins.norms.row_maximum import row_maximum
from normbench_plugins.norms.running import RunningNorm


class EvoNormB0(RunningNorm):
    r"""Divide each channel by the larger of its batch deviation and a line of its own value.

    .. math::
        y = \gamma \frac{x}{\max\{\sqrt{\sigma_b^2 + \epsilon},\;
            v x + \sqrt{\sigma_i^2 + \epsilon}\}} + \beta, \qquad
        \bar\sigma_b^2 \leftarrow (1 - m) \bar\sigma_b^2 + m \sigma_b^2

    with σ_b² (biased) of a channel over (N, H, W) in training and the running one in evaluation,
    and σ_i² of a channel of one example over (H, W), always the input's own. On maps of one
    position σ_i² is 0. Rescaling a channel's weight rescales both sides of the maximum, so each
    output channel is scale invariant. Buffer ``running_var`` (start 1): (C,).

    Shapes: (N, C), (N, C, L), (N, C, H, W); the output as the input. γ (``weight``, start 1), β
    (``bias``, start 0) and v (``slope``, start 1): (C,).

    Args:
        features: C.
        eps: ε, added to both variances.
        momentum: m, the share of the batch in the running variance, in [0, 1].
        variance: σ_i²: ``biased`` divides by the number of positions, ``unbiased`` by one less.
        scale_init: Initial γ.
        shift_init: Initial β.

    Raises:
        UsageError: If *variance* is neither.
    """

    parameter_roles: ClassVar[Mapping[str, Role]] = {
        **AffineNorm.parameter_roles,
        "slope": Role.NORM_OTHER,
    }
    centres: ClassVar[bool] = False

    running_var: Tensor

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        variance: str = "biased",
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        super().__init__(
            features,
            eps,
            momentum,
            starts={"running_var": 1.0},
            scale_init=scale_init,
            shift_init=shift_init,
        )
        self.unbiased = is_unbiased(variance, "EvoNormB0")
        self.slope = nn.Parameter(torch.ones(features))

    def reset_parameters(self) -> None:
        """Set γ, β, v and the running variance to their initial values."""
        super().reset_parameters()
        nn.init.ones_(self.slope)

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x/max(...) + β, and in training move the running variance.

        Raises:
            UsageError: If a training batch has a single value for each channel.
        """
        self.refuse_single_values(inputs)
        values = inputs.to(wide(inputs))
        own, batch = self._variances(values)
        line = torch.addcmul(
            spread((own + self.eps).sqrt(), values), values, spread(self.slope, values)
        )
        divisor = row_maximum(line, (batch + self.eps).sqrt())
        outputs = torch.addcmul(
            spread(self.bias, values), values / divisor, spread(self.weight, values)
        )
        return keep_layout(outputs.to(inputs.dtype), inputs)

    def _variances(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return σ_i², (N, C), and σ_b², (1, C) or (C,), and in training move the running one."""
        mean, own = moments(values, over_positions)
        batch = self.running_var
        if self.training:
            _, batch = pooled(mean, own, over_batch)
            self.move(running_var=batch)
        return unbiased(own, prod(values.shape[2:])) if self.unbiased else own, batch


def fit(
    site: Site,
    *,
    eps: float = 1e-5,
    momentum: float = 0.1,
    variance: str = "biased",
    placement: str = "at_once",
) -> Fitting:
    """Put EvoNorm B0 at *site*, complete where an activation follows or is to be replaced."""
    norm = partial(EvoNormB0, site.features, eps, momentum, variance=variance)
    return place(site, norm, placement)
