r"""What k trials of a sweep can be expected to find: the budget curve.

Of n trials, k are drawn without replacement, and the one that is best on validation is taken. With
the trials in order from best to worst, it is the r-th with probability

.. math:: P_k(r) = \binom{n-r}{k-1} \bigg/ \binom{n}{k}, \qquad
   P_k(\text{rank} \le r) = 1 - \binom{n-r}{k} \bigg/ \binom{n}{k},

so the expected validation score, the expected test score of the same trial, and the quantiles of
both are exact sums; nothing is simulated.

The curve is that of Show Your Work, J. Dodge et al., 2019, arXiv:1909.03004, who draw with
replacement. Showing Your Work Doesn't Always Work, R. Tang et al., 2020, arXiv:2004.13705, show
that estimator to be biased towards worse scores; drawing without replacement is not biased for
independent trials. Its price is a larger variance near k = n (Expected Validation Performance and
Estimation of a Random Variable's Maximum, J. Dodge et al., 2021, arXiv:2110.00613).

The band is the luck of which k of these n trials come first. It closes at k = n by construction and
says nothing of what another n trials, or other tuning seeds, would have found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from normbench.errors import UsageError
from normbench.statistics import CONFIDENCE

Direction = Literal["max", "min"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a number of trials finds.

    Attributes:
        trials: The number of trials, k.
        validation: Expected validation score of the best of them.
        interval: Central 95 % of that score over the draws; None for a realised budget.
        test: Expected test score of the trial that is best on validation; None without test scores.
        test_interval: Central 95 % of it over the draws.
    """

    trials: int
    validation: float
    interval: tuple[float, float] | None = None
    test: float | None = None
    test_interval: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the budget as strict JSON values."""
        return {
            "trials": self.trials,
            "validation": self.validation,
            "interval": _listed(self.interval),
            "test": self.test,
            "test_interval": _listed(self.test_interval),
        }


def ranked(scores: Sequence[float], direction: Direction) -> list[int]:
    """Return the indices of *scores* from best to worst; of equal ones the earlier comes first."""
    sign = -1.0 if direction == "max" else 1.0
    return sorted(range(len(scores)), key=lambda index: (sign * scores[index], index))


def rank_probabilities(trials: int, drawn: int) -> NDArray[np.float64]:
    """Return P(the best of *drawn* trials is the r-th best of all *trials*), r from 1 to *trials*.

    P(1) = k / n, and P(r + 1) = P(r) (n - r - k + 1) / (n - r), which neither overflows nor
    cancels.
    """
    rank = np.arange(1, trials)
    ratios = np.maximum(trials - rank - drawn + 1, 0) / (trials - rank)
    return np.concatenate(([1.0], np.cumprod(ratios))) * (drawn / trials)


def budget_curve(
    validation: Sequence[float], test: Sequence[float] | None, direction: Direction
) -> tuple[Budget, ...]:
    """Return what 1, 2, ..., n of n exchangeable trials find.

    Args:
        validation: Score of each trial, a diverged one's the metric's worst.
        test: Test score of each trial, in the same order; None if they have none.
        direction: Whether larger or smaller scores are better.

    Raises:
        UsageError: If there are no scores, not as many of both, or one is not finite.
    """
    _check(validation, test)
    order = ranked(validation, direction)
    best = np.array([validation[index] for index in order])
    chosen = None if test is None else np.array([test[index] for index in order])
    return tuple(_expected(best, chosen, k) for k in range(1, len(order) + 1))


def realised_curve(
    validation: Sequence[float], test: Sequence[float] | None, direction: Direction
) -> tuple[Budget, ...]:
    """Return what the first 1, 2, ..., n trials did find, in the order they were drawn in.

    This is all that can be said of trials that depend on earlier ones.

    Raises:
        UsageError: As :func:`budget_curve` does.
    """
    _check(validation, test)
    found = []
    for k in range(1, len(validation) + 1):
        best = ranked(validation[:k], direction)[0]
        found.append(
            Budget(
                trials=k,
                validation=float(validation[best]),
                test=None if test is None else float(test[best]),
            )
        )
    return tuple(found)


def _expected(best: NDArray[np.float64], chosen: NDArray[np.float64] | None, drawn: int) -> Budget:
    probabilities = rank_probabilities(len(best), drawn)
    return Budget(
        trials=drawn,
        validation=_mean(best, probabilities),
        interval=_interval(best, probabilities),
        test=None if chosen is None else _mean(chosen, probabilities),
        test_interval=None if chosen is None else _interval(chosen, probabilities),
    )


def _mean(values: NDArray[np.float64], probabilities: NDArray[np.float64]) -> float:
    return math.fsum((values * probabilities).tolist())


def _interval(
    values: NDArray[np.float64], probabilities: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the smallest values at which the distribution reaches the ends of its middle 95 %."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(probabilities[order])
    tail = (1 - CONFIDENCE) / 2
    # The sum of all may fall short of 1 by rounding.
    ends = np.searchsorted(reached, (tail - 1e-12, 1 - tail - 1e-12))
    low, high = values[order][np.minimum(ends, len(values) - 1)]
    return float(low), float(high)


def _check(validation: Sequence[float], test: Sequence[float] | None) -> None:
    if not validation:
        raise UsageError("a budget curve of 0 trials: expected one or more with a score.")
    if test is not None and len(test) != len(validation):
        raise UsageError(
            f"{len(validation)} validation scores and {len(test)} test scores: expected as many of "
            "both."
        )
    for score in (*validation, *(test or ())):
        if not math.isfinite(score):
            raise UsageError(
                f"a trial's score is {score}: expected finite scores. Give a diverged trial the "
                "metric's worst score."
            )


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)
