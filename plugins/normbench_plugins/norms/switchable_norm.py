"""Switchable normalization: a learned mixture of instance, layer and batch statistics.

Differentiable Learning-to-Normalize via Switchable Normalization, P. Luo, J. Ren, Z. Peng, R. Zhang
and J. Li, ICLR 2019, arXiv:1806.10779. Evaluation uses running statistics with a momentum, as in
``batch_norm``, where the paper averages the batch statistics of some more passes with fixed
weights; all variances are biased, as in the paper, in the running one too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from normbench import Fitting, Role, Site
from normbench_plugins.norms.affine import AffineNorm
from normbench_plugins.norms.moments import (
    keep_layout,
    moments,
    over_batch,
    over_groups,
    over_positions,
    pooled,
    spread,
    wide,
)
from normbench_plugins.norms.running import RunningNorm


class SwitchableNorm(RunningNorm):
    r"""Normalize by a mixture of the statistics of instance, layer and batch normalization.

    .. math:: y = \gamma \frac{x - \sum_k w_k \mu_k}{\sqrt{\sum_k w'_k \sigma_k^2 + \epsilon}} +
        \beta, \qquad w = \mathrm{softmax}(\lambda), \quad w' = \mathrm{softmax}(\lambda')

    with k over a channel of an example (H, W), an example (C, H, W) and a channel of the batch
    (N, H, W), in this order; variances are biased. In evaluation the batch's are the running ones.
    On inputs without positions a single value has no variance, and the first σ² is 0.

    Buffers ``running_mean`` (start 0) and ``running_var`` (start 1): (C,).

    Shapes: (N, C), (N, C, L), (N, C, H, W); the output as the input. γ (``weight``, start 1) and β
    (``bias``, start 0): (C,); λ (``mean_weights``, start 1) and λ' (``variance_weights``, start 1):
    (3,).

    Args:
        features: C.
        eps: ε, added to the mixed variance.
        momentum: m, the share of the batch in the running statistics, in [0, 1].
        scale_init: Initial γ.
        shift_init: Initial β.
    """

    parameter_roles: ClassVar[Mapping[str, Role]] = {
        **AffineNorm.parameter_roles,
        "mean_weights": Role.NORM_OTHER,
        "variance_weights": Role.NORM_OTHER,
    }

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        super().__init__(
            features,
            eps,
            momentum,
            starts={"running_mean": 0.0, "running_var": 1.0},
            scale_init=scale_init,
            shift_init=shift_init,
        )
        self.mean_weights = nn.Parameter(torch.ones(3))
        self.variance_weights = nn.Parameter(torch.ones(3))

    @property
    def invariant_groups(self) -> int | None:
        """One: only all channels together may be rescaled."""
        return 1

    def reset_parameters(self) -> None:
        """Set γ, β, the mixture's weights and the running statistics to their initial values."""
        super().reset_parameters()
        nn.init.ones_(self.mean_weights)
        nn.init.ones_(self.variance_weights)

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x̂ + β, and in training move the running statistics.

        Raises:
            UsageError: If a training batch has a single value for each channel.
        """
        self.refuse_single_values(inputs)
        values = inputs.to(wide(inputs))
        own = moments(values, over_positions)
        layer = pooled(*own, partial(over_groups, groups=1))
        batch = pooled(*own, over_batch) if self.training else self._running()
        mean = _mixed(self.mean_weights, own[0], layer[0], batch[0])
        variance = _mixed(self.variance_weights, own[1], layer[1], batch[1])
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = torch.addcmul(self.bias, mean, scale, value=-1)
        outputs = torch.addcmul(spread(shift, values), values, spread(scale, values))
        if self.training:
            self.move(running_mean=batch[0], running_var=batch[1])
        return keep_layout(outputs.to(inputs.dtype), inputs)

    def _running(self) -> tuple[Tensor, Tensor]:
        return self.running_mean, self.running_var


def _mixed(weights: Tensor, instance: Tensor, layer: Tensor, batch: Tensor) -> Tensor:
    shares = weights.softmax(0)
    return shares[0] * instance + shares[1] * layer + shares[2] * batch


def fit(site: Site, *, eps: float = 1e-5, momentum: float = 0.1) -> Fitting:
    """Put a switchable norm at *site*; only the whole weight before it may be rescaled."""
    norm = SwitchableNorm(site.features, eps, momentum)
    return Fitting(norm=norm, groups=norm.invariant_groups)
