"""Mean centering: batch normalization without the division.

Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural Networks,
T. Salimans and D. P. Kingma, NeurIPS 2016, arXiv:1602.07868, section 4, "mean-only batch
normalization". Beyond BatchNorm (arXiv:2106.05956) names mean centering among its layers without
defining it. There is a shift but no scale: nothing is divided by, so a scale would only repeat what
the weight before it can already express.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from normbench import Fitting, Site
from normbench_plugins.norms.moments import channel_means, keep_layout, over_batch, spread, wide
from normbench_plugins.norms.running import RunningNorm


class MeanCentering(RunningNorm):
    r"""Subtract the mean of each channel over the batch and all positions.

    .. math:: y = x - \mu + \beta, \qquad \bar\mu \leftarrow (1 - m) \bar\mu + m \mu

    with μ of a channel over (N, H, W) in training, and the running μ̄ in evaluation. Buffer
    ``running_mean`` (start 0): (C,).

    Shapes: (N, C), (N, C, L), (N, C, H, W), with *sequence* (N, T, C); the output as the input.
    β (``bias``, start 0): (C,). There is no γ.

    Args:
        features: C.
        momentum: m, the share of the batch in the running mean, in [0, 1].
        sequence: Channels come last.
        shift_init: Initial β.
    """

    has_scale: ClassVar[bool] = False

    running_mean: Tensor

    def __init__(
        self,
        features: int,
        momentum: float = 0.1,
        *,
        sequence: bool = False,
        shift_init: float = 0.0,
    ) -> None:
        super().__init__(
            features,
            0.0,
            momentum,
            starts={"running_mean": 0.0},
            sequence=sequence,
            shift_init=shift_init,
        )

    @property
    def invariant_groups(self) -> int | None:
        """None: rescaling what arrives changes the output."""
        return None

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return x - μ + β, and in training move the running mean.

        Raises:
            UsageError: If a training batch has a single value for each channel.
        """
        self.refuse_single_values(inputs)
        values = inputs.to(wide(inputs))
        mean = self.running_mean
        if self.training:
            mean = over_batch(channel_means(values))
            self.move(running_mean=mean)
        outputs = values + spread(self.bias - mean, values)
        return keep_layout(outputs.to(inputs.dtype), inputs)

    def extra_repr(self) -> str:
        """Return channels and momentum for the printed module."""
        return f"{self.features}, momentum={self.momentum}"


def fit(site: Site, *, momentum: float = 0.1) -> Fitting:
    """Put a mean centering at *site*; the scale of the weight before it passes through."""
    norm = MeanCentering(site.features, momentum, sequence=site.kind != "conv")
    return Fitting(norm=norm, groups=norm.invariant_groups)
