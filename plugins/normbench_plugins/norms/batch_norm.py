"""Batch normalization.

Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift,
S. Ioffe and C. Szegedy, ICML 2015, arXiv:1502.03167. By default the running variance follows torch:
it is the unbiased estimate, although the batch itself is normalized by the biased one. Keras and
Beyond BatchNorm (E. S. Lubana, R. P. Dick and H. Tanaka, NeurIPS 2021, arXiv:2106.05956) run the
biased one; the latter's code starts the running mean at 1. γ starts below 1 in Revisiting Batch
Normalization Initialization (J. Davis and L. Frank, ECCV 2022, arXiv:2110.13989).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench import Fitting, Site, UsageError
from normbench_plugins.norms.running import RunningNorm

RUNNING_VARIANCES = ("unbiased", "biased")


class BatchNorm(RunningNorm):
    r"""Normalize each channel over the batch and all positions.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    In training μ and σ² (biased, dividing by the M values of a channel) are the batch's, taken over
    (N, H, W), and the running statistics move towards them:

    .. math::
        \bar\mu \leftarrow (1 - m) \bar\mu + m \mu, \qquad
        \bar\sigma^2 \leftarrow (1 - m) \bar\sigma^2 + m \sigma^2 \tfrac{M}{M - 1}

    without the last factor where the running variance is to be ``biased``. In evaluation they are
    the running ones. Buffers ``running_mean`` (start 0) and ``running_var`` (start 1): (C,).

    Shapes: (N, C), (N, C, L), (N, C, H, W), with *sequence* (N, T, C); the output as the input.
    γ (``weight``, start 1) and β (``bias``, start 0): (C,).

    Args:
        features: C.
        eps: ε, added to the variance.
        momentum: m, the share of the batch in the running statistics, in [0, 1].
        sequence: Channels come last.
        scale_init: Initial γ.
        shift_init: Initial β.
        running_mean_init: What the running mean starts at.
        running_variance: Estimate that the running variance keeps, ``unbiased`` or ``biased``.

    Raises:
        UsageError: If *running_variance* is neither.
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
        running_mean_init: float = 0.0,
        running_variance: str = "unbiased",
    ) -> None:
        if running_variance not in RUNNING_VARIANCES:
            raise UsageError(
                f"BatchNorm received running_variance={running_variance!r}: expected one of "
                f"{', '.join(RUNNING_VARIANCES)}."
            )
        super().__init__(
            features,
            eps,
            momentum,
            starts={"running_mean": running_mean_init, "running_var": 1.0},
            sequence=sequence,
            scale_init=scale_init,
            shift_init=shift_init,
        )
        self.running_variance = running_variance

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·x̂ + β, and in training move the running statistics.

        Raises:
            UsageError: If a training batch has a single value for each channel.
        """
        self.refuse_single_values(inputs)
        if not self.training or self.running_variance == "unbiased":
            return self._kernel(inputs, self.running_mean, self.running_var, self.momentum)
        # With momentum 1 the kernel hands out the batch's statistics, its variance unbiased.
        mean, variance = torch.zeros_like(self.running_mean), torch.ones_like(self.running_var)
        outputs = self._kernel(inputs, mean, variance, 1.0)
        count = inputs.numel() // self.features
        self.move(running_mean=mean, running_var=variance * ((count - 1) / count))
        return outputs

    def _kernel(self, inputs: Tensor, mean: Tensor, variance: Tensor, momentum: float) -> Tensor:
        return F.batch_norm(
            inputs, mean, variance, self.weight, self.bias, self.training, momentum, self.eps
        )


def fit(
    site: Site,
    *,
    eps: float = 1e-5,
    momentum: float = 0.1,
    scale_init: float = 1.0,
    running_mean_init: float = 0.0,
    running_variance: str = "unbiased",
) -> Fitting:
    """Put a batch norm at *site*; every output channel of the weight before it may be rescaled."""
    norm = BatchNorm(
        site.features,
        eps,
        momentum,
        sequence=site.kind != "conv",
        scale_init=scale_init,
        running_mean_init=running_mean_init,
        running_variance=running_variance,
    )
    return Fitting(norm=norm, groups=norm.invariant_groups)
