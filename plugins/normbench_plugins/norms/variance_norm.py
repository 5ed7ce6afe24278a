"""Variance normalization: batch normalization that keeps the mean.

Beyond BatchNorm: Towards a Unified Understanding of Normalization in Deep Learning, E. S. Lubana,
R. P. Dick and H. Tanaka, NeurIPS 2021, arXiv:2106.05956. As in its code the variance is the centred
one, although the mean is not subtracted, and the running variance is the biased estimate.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from normbench import Fitting, Site
from normbench_plugins.norms.moments import keep_layout, moments, over_batch, spread, wide
from normbench_plugins.norms.running import RunningNorm


class VarianceNorm(RunningNorm):
    r"""Divide each channel by its standard deviation over the batch and all positions.

    .. math:: y = \gamma \frac{x}{\sqrt{\sigma^2 + \epsilon}} + \beta, \qquad
        \bar\sigma^2 \leftarrow (1 - m) \bar\sigma^2 + m \sigma^2

    with σ² (biased, about the mean) of a channel over (N, H, W) in training, and the running σ̄² in
    evaluation. Buffer ``running_var`` (start 1): (C,).

    Shapes: (N, C), (N, C, L), (N, C, H, W), with *sequence* (N, T, C); the output as the input.
    γ (``weight``, start 1) and β (``bias``, start 0): (C,).

    Args:
        features: C.
        eps: ε, added to the variance.
        momentum: m, the share of the batch in the running variance, in [0, 1].
        sequence: Channels come last.
        scale_init: Initial γ.
        shift_init: Initial β.
    """

    centres: ClassVar[bool] = False

    running_var: Tensor

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        sequence: bool = False,
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        super().__init__(
            features,
            eps,
            momentum,
            starts={"running_var": 1.0},
            sequence=sequence,
            scale_init=scale_init,
            shift_init=shift_init,
        )

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x/√(σ² + ε) + β, and in training move the running variance.

        Raises:
            UsageError: If a training batch has a single value for each channel.
        """
        self.refuse_single_values(inputs)
        values = inputs.to(wide(inputs))
        variance = self.running_var
        if self.training:
            _, variance = moments(values, over_batch)
            self.move(running_var=variance)
        scale = self.weight * (variance + self.eps).rsqrt()
        outputs = torch.addcmul(spread(self.bias, values), values, spread(scale, values))
        return keep_layout(outputs.to(inputs.dtype), inputs)


def fit(site: Site, *, eps: float = 1e-5, momentum: float = 0.1) -> Fitting:
    """Put a variance norm at *site*; every output channel before it may be rescaled."""
    norm = VarianceNorm(site.features, eps, momentum, sequence=site.kind != "conv")
    return Fitting(norm=norm, groups=norm.invariant_groups)
