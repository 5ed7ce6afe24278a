r"""How much each hyper-parameter matters, from the trials of one sweep.

Diverged trials have no score that could be averaged with others; they are left out here and counted
by :mod:`normbench.tuning.divergence`. Three numbers for each hyper-parameter:

- Spearman's rank correlation of its value with the score, positive where larger values did better.
- The share of the score's variance that it explains alone, the first-order index
  :math:`\operatorname{Var}(\operatorname{E}[y \mid x_j]) / \operatorname{Var}(y)`, with the
  conditional mean taken as a parabola in the (log) value, or as the mean of each choice:

  .. math:: S_j = 1 - \frac{\text{RSS} / (n - p)}{\text{TSS} / (n - 1)}

  with p coefficients; below 0 it is 0. The degrees of freedom make it unbiased where the
  hyper-parameter has no effect. fANOVA on a random forest (F. Hutter et al., ICML 2014) divides by
  the variance of its own fit instead, and so hands out pure noise as importance at the sizes of a
  sweep. Shapes sharper than a parabola are understated; interactions belong to no S_j.
- How wide the good region is; see :mod:`normbench.tuning.good`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normbench.descriptions import Metric
from normbench.statistics import CONFIDENCE
from normbench.tuning.divergence import Divergence, divergence_along
from normbench.tuning.good import GoodRegion, good_region
from normbench.tuning.places import place
from normbench.tuning.space import Axis, Space
from normbench.tuning.study import Trial

LEAST_TRIALS = 16
"""Below so many finished trials no share of variance is given: it would hardly be known."""
LEAST_CORRELATED = 5
_RESAMPLES = 1000
_TERMS = 2
_LEAST_UNEXPLAINED = 1e-9


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """How much one hyper-parameter matters.

    Attributes:
        name: The hyper-parameter.
        finished: Trials that did not diverge, on which the first two numbers rest.
        correlation: Spearman's rank correlation of value and quality; None for choices, below
            :data:`LEAST_CORRELATED` trials, or if either is constant.
        correlation_interval: Its 95 % interval (D. G. Bonett and T. A. Wright, 2000).
        share: Share of variance; None below :data:`LEAST_TRIALS` trials, or if all scores are
            equal.
        share_interval: Its 95 % bootstrap interval.
        good: The good region; None if every trial diverged.
        divergence: Where trials diverged.
    """

    name: str
    finished: int
    correlation: float | None
    correlation_interval: tuple[float, float] | None
    share: float | None
    share_interval: tuple[float, float] | None
    good: GoodRegion | None
    divergence: Divergence

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as strict JSON values."""
        intervals = {
            name: None if interval is None else list(interval)
            for name, interval in (
                ("correlation_interval", self.correlation_interval),
                ("share_interval", self.share_interval),
            )
        }
        return {
            **vars(self),
            **intervals,
            "good": self.good and self.good.to_dict(),
            "divergence": self.divergence.to_dict(),
        }


def sensitivities(space: Space, trials: Sequence[Trial], metric: Metric) -> tuple[Sensitivity, ...]:
    """Return how much each axis of *space* matters, from *trials* that have ended."""
    return tuple(sensitivity_along(axis, trials, metric) for axis in space)


def sensitivity_along(axis: Axis, trials: Sequence[Trial], metric: Metric) -> Sensitivity:
    """Return how much *axis* matters, from *trials* that have ended."""
    sign = 1.0 if metric.direction == "max" else -1.0
    finished = [trial for trial in trials if trial.score is not None]
    x = np.array([place(axis, trial.values[axis.word]) for trial in finished])
    y = np.array([sign * trial.score for trial in finished if trial.score is not None])
    correlation = rank_correlation(x, y) if axis.numeric else None
    share = explained_share(x, y, ordered=axis.numeric)
    return Sensitivity(
        name=axis.word,
        finished=len(finished),
        correlation=correlation,
        correlation_interval=_correlation_interval(correlation, len(finished)),
        share=share,
        share_interval=None if share is None else _share_interval(x, y, ordered=axis.numeric),
        good=good_region(axis, trials, metric),
        divergence=divergence_along(axis, trials),
    )


def rank_correlation(places: NDArray[np.float64], qualities: NDArray[np.float64]) -> float | None:
    """Return Spearman's rank correlation, None where it does not exist or rests on too little."""
    if len(places) < LEAST_CORRELATED or not np.ptp(places) or not np.ptp(qualities):
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(places, qualities).statistic)


def _correlation_interval(correlation: float | None, count: int) -> tuple[float, float] | None:
    if correlation is None:
        return None
    from scipy.special import ndtri

    if abs(correlation) >= 1:
        return correlation, correlation
    spread = math.sqrt((1 + correlation**2 / 2) / (count - 3))
    half = float(ndtri((1 + CONFIDENCE) / 2)) * spread
    return math.tanh(math.atanh(correlation) - half), math.tanh(math.atanh(correlation) + half)


def explained_share(
    places: NDArray[np.float64], qualities: NDArray[np.float64], *, ordered: bool = True
) -> float | None:
    """Return the share of the variance of *qualities* that *places* explain alone, in [0, 1].

    Args:
        places: Place of each trial along the axis, in [0, 1].
        qualities: Score of each trial.
        ordered: Whether places have an order, or are only names.

    Returns:
        The share; None below :data:`LEAST_TRIALS` trials or without variance.
    """
    if len(places) < LEAST_TRIALS or not np.ptp(qualities):
        return None
    return _clipped(_adjusted(_design(places, ordered), qualities))


def _design(places: NDArray[np.float64], ordered: bool) -> NDArray[np.float64]:
    """Return the columns whose combination is the conditional mean."""
    levels = np.unique(places)
    if not ordered:
        return np.asarray(places[:, None] == levels[None, :], dtype=np.float64)
    terms = min(_TERMS, len(levels) - 1)
    columns = np.polynomial.legendre.legvander(2 * places - 1, terms)
    return np.asarray(columns, dtype=np.float64)


def _adjusted(design: NDArray[np.float64], qualities: NDArray[np.float64]) -> float:
    """Return 1 minus the residual over the total variance, each by its degrees of freedom."""
    count = len(qualities)
    coefficients, _, rank, _ = np.linalg.lstsq(design, qualities)
    residual = float(np.sum((qualities - design @ coefficients) ** 2))
    total = float(np.sum((qualities - qualities.mean()) ** 2))
    if not total or count <= rank:
        return 0.0
    return 1 - (residual / (count - int(rank))) / (total / (count - 1))


def _share_interval(
    places: NDArray[np.float64], qualities: NDArray[np.float64], *, ordered: bool
) -> tuple[float, float]:
    """Return the percentile interval over resampled trials, less the mean bias of resampling.

    A resample holds some trials twice and so seems better explained than it is; hence the shift. It
    is made on the logarithm of the share left unexplained. In simulated sweeps of 16 to 40 trials
    the interval held the true share in 90 to 100 % of cases.
    """
    design = _design(places, ordered)
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, len(qualities), (_RESAMPLES, len(qualities)))
    left = [_unexplained(design[rows], qualities[rows]) for rows in drawn]
    tail = (1 - CONFIDENCE) / 2
    shift = _unexplained(design, qualities) - float(np.mean(left))
    high, low = (float(end) + shift for end in np.quantile(left, (tail, 1 - tail)))
    return _clipped(1 - math.exp(low)), _clipped(1 - math.exp(high))


def _unexplained(design: NDArray[np.float64], qualities: NDArray[np.float64]) -> float:
    return math.log(max(1 - _adjusted(design, qualities), _LEAST_UNEXPLAINED))


def _clipped(share: float) -> float:
    return min(max(share, 0.0), 1.0)
