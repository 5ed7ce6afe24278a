"""Batch normalization.

Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift,
S. Ioffe and C. Szegedy, ICML 2015, arXiv:1502.03167. The running variance follows torch: it is the
unbiased estimate, although the batch itself is normalized by the biased one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench import Fitting, Site, UsageError
from normbench_plugins.norms.affine import AffineNorm


class BatchNorm(AffineNorm):
    r"""Normalize each channel over the batch and all positions.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    In training μ and σ² (biased, dividing by the M values of a channel) are the batch's, taken over
    (N, H, W), and the running statistics move towards them:

    .. math::
        \bar\mu \leftarrow (1 - m) \bar\mu + m \mu, \qquad
        \bar\sigma^2 \leftarrow (1 - m) \bar\sigma^2 + m \sigma^2 \tfrac{M}{M - 1}

    In evaluation they are the running ones. Buffers ``running_mean`` (start 0) and ``running_var``
    (start 1): (C,).

    Shapes: (N, C), (N, C, L), (N, C, H, W), with *sequence* (N, T, C); the output as the input.
    γ (``weight``, start 1) and β (``bias``, start 0): (C,).

    Args:
        features: C.
        eps: ε, added to the variance.
        momentum: m, the share of the batch in the running statistics, in [0, 1].
        sequence: Channels come last.
        scale_init: Initial γ.
        shift_init: Initial β.
    """

    running_mean: Tensor
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
            features, eps, sequence=sequence, scale_init=scale_init, shift_init=shift_init
        )
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def reset_parameters(self) -> None:
        """Set γ, β and the running statistics to their initial values."""
        super().reset_parameters()
        self.running_mean.zero_()
        self.running_var.fill_(1.0)

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x̂ + β, and in training move the running statistics.

        Raises:
            UsageError: If a training batch has a single value for each channel.
        """
        if self.training and inputs.numel() == self.features:
            raise UsageError(
                f"batch_norm received a training batch of shape {tuple(inputs.shape)}: one value "
                "for each channel has no variance. Raise problem.batch_size to 2 or more, or keep "
                "protocol.drop_last=true if this is a last partial batch."
            )
        return F.batch_norm(
            inputs,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        """Return channels, eps and momentum for the printed module."""
        return f"{super().extra_repr()}, momentum={self.momentum}"


def fit(site: Site, *, eps: float = 1e-5, momentum: float = 0.1) -> Fitting:
    """Put a batch norm at *site*; every output channel of the weight before it may be rescaled."""
    norm = BatchNorm(site.features, eps, momentum, sequence=site.kind != "conv")
    return Fitting(norm=norm, groups=site.features)
