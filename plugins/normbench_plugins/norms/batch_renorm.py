"""Batch renormalization.

Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized Models, S. Ioffe,
NeurIPS 2017, arXiv:1702.03275. The schedule of its limits counts training steps, as in the paper:
the first 5000 are plain batch normalization, so short trainings need other values.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench import Fitting, Site
from normbench_plugins.norms.moments import keep_layout, moments, over_batch, spread, wide
from normbench_plugins.norms.running import RunningNorm


class BatchRenorm(RunningNorm):
    r"""Normalize by the batch, corrected towards the running statistics.

    .. math:: y = \gamma \Bigl(\frac{x - \mu}{\sigma} r + d\Bigr) + \beta, \qquad
        r = \mathrm{clip}_{[1/R, R]} \frac{\sigma}{\bar\sigma}, \quad
        d = \mathrm{clip}_{[-D, D]} \frac{\mu - \bar\mu}{\bar\sigma}

    with μ and σ = √(σ² + ε) (biased) of the batch over (N, H, W); r and d are constants to the
    gradient. Then μ̄ ← (1 - m)·μ̄ + m·μ, and σ̄ likewise from σ. In evaluation
    y = γ·(x - μ̄)/σ̄ + β.

    The limits grow with the training steps: R = 1 and D = 0 for *plain_steps*, then linearly to
    *r_max* within *r_ramp_steps* and to *d_max* within *d_ramp_steps*, at once where that is 0.
    Since r and d depend on the scale of the weight before, that weight is scale invariant in its
    gradient only: each output channel's is orthogonal to it.

    Buffers ``running_mean`` (start 0) and ``running_std`` (start 1): (C,); ``steps``: a number.

    Shapes: (N, C), (N, C, L), (N, C, H, W), with *sequence* (N, T, C); the output as the input.
    γ (``weight``, start 1) and β (``bias``, start 0): (C,).

    Args:
        features: C.
        eps: ε, added to the variance.
        momentum: m, the share of the batch in the running statistics, in [0, 1].
        r_max: Final R, at least 1.
        d_max: Final D, at least 0.
        plain_steps: Training steps without correction.
        r_ramp_steps: Training steps after those until R is *r_max*.
        d_ramp_steps: Training steps after those until D is *d_max*.
        sequence: Channels come last.
        scale_init: Initial γ.
        shift_init: Initial β.
    """

    running_mean: Tensor
    running_std: Tensor
    steps: Tensor

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        momentum: float = 0.01,
        *,
        r_max: float = 3.0,
        d_max: float = 5.0,
        plain_steps: int = 5000,
        r_ramp_steps: int = 35000,
        d_ramp_steps: int = 20000,
        sequence: bool = False,
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        super().__init__(
            features,
            eps,
            momentum,
            starts={"running_mean": 0.0, "running_std": 1.0},
            sequence=sequence,
            scale_init=scale_init,
            shift_init=shift_init,
        )
        self.r_max, self.d_max = r_max, d_max
        self.plain_steps, self.r_ramp_steps, self.d_ramp_steps = (
            plain_steps,
            r_ramp_steps,
            d_ramp_steps,
        )
        self.register_buffer("steps", torch.tensor(0))

    def reset_parameters(self) -> None:
        """Set γ, β, the running statistics and the step to their initial values."""
        super().reset_parameters()
        self.steps.zero_()

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return γ·(x̂·r + d) + β, and in training move the running statistics.

        Raises:
            UsageError: If a training batch has a single value for each channel.
        """
        self.refuse_single_values(inputs)
        if not self.training:
            return self._by_running_statistics(inputs)
        r, d = self._corrections(inputs)
        scale, shift = self.weight * r, torch.addcmul(self.bias, self.weight, d)
        return F.batch_norm(inputs, None, None, scale, shift, training=True, eps=self.eps)

    def _by_running_statistics(self, inputs: Tensor) -> Tensor:
        values = inputs.to(wide(inputs))
        scale = self.weight / self.running_std
        shift = torch.addcmul(self.bias, self.running_mean, scale, value=-1)
        outputs = torch.addcmul(spread(shift, values), values, spread(scale, values))
        return keep_layout(outputs.to(inputs.dtype), inputs)

    @torch.no_grad()
    def _corrections(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return r and d, (C,), then count the step and move the running statistics."""
        mean, variance = moments(inputs.to(wide(inputs)), over_batch)
        mean, deviation = mean.view(-1), (variance + self.eps).sqrt().view(-1)
        largest = 1.0 + (self.r_max - 1.0) * self._progress(self.r_ramp_steps)
        furthest = self.d_max * self._progress(self.d_ramp_steps)
        r = (deviation / self.running_std).clamp(1.0 / largest, largest)
        d = ((mean - self.running_mean) / self.running_std).clamp(-furthest, furthest)
        self.steps += 1
        self.move(running_mean=mean, running_std=deviation)
        return r, d

    def _progress(self, ramp: int) -> Tensor:
        """Return how far a limit is on its way of *ramp* steps, in [0, 1]."""
        # On the device: a step count read on the host would stall it.
        passed = (self.steps - self.plain_steps).to(self.running_std.dtype)
        return (passed / ramp).clamp(0.0, 1.0) if ramp else (passed >= 0).to(passed.dtype)


def fit(
    site: Site,
    *,
    eps: float = 1e-5,
    momentum: float = 0.01,
    r_max: float = 3.0,
    d_max: float = 5.0,
    plain_steps: int = 5000,
    r_ramp_steps: int = 35000,
    d_ramp_steps: int = 20000,
) -> Fitting:
    """Put a batch renorm at *site*; the gradient sees every output channel as scale invariant."""
    norm = BatchRenorm(
        site.features,
        eps,
        momentum,
        r_max=r_max,
        d_max=d_max,
        plain_steps=plain_steps,
        r_ramp_steps=r_ramp_steps,
        d_ramp_steps=d_ramp_steps,
        sequence=site.kind != "conv",
    )
    return Fitting(norm=norm, groups=norm.invariant_groups)
