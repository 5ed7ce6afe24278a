"""One method over several problems: normalised scores, their interquartile mean, and profiles.

These speak of the problems at hand, run again with other seeds; nothing is said of new problems.
R. Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021,
arXiv:2108.13264.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from normbench.leaderboard.paired import Floats

ROUNDS = 2_000
CONFIDENCE = 0.95
_SEED = 0


def normalised(scores: Floats, worst: float, reference: float) -> Floats:
    """Return scores on a scale where the *worst* is 0 and the *reference*'s mean is 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((scores - worst) / np.float64(reference - worst))


def interquartile_mean(values: Floats) -> float:
    """Return the mean of the middle half, with a quarter of the values cut at either end.

    Where a quarter of n is no whole number, the values at the cuts count in part.
    """
    ordered, n = np.sort(values.ravel()), values.size
    places = np.arange(n)
    weights = np.clip(np.minimum(places + 1 - n / 4, 3 * n / 4 - places), 0.0, 1.0)
    return float(ordered @ weights / weights.sum())


def stratified_interval(problems: Sequence[Floats]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the interquartile mean over all problems and seeds.

    Seeds are drawn again inside each problem, 2 000 times by a fixed generator.
    """
    generator = np.random.default_rng(_SEED)
    drawn = [
        scores[generator.integers(0, len(scores), size=(ROUNDS, len(scores)))]
        for scores in problems
    ]
    means = [interquartile_mean(scores) for scores in np.concatenate(drawn, axis=1)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def probability_of_improvement(new: Floats, base: Floats) -> float:
    """Return the share of pairs of one new and one base score in which the new one is larger.

    Ties count a half: the Mann-Whitney statistic over its maximum.
    """
    larger = (new[:, None] > base[None]).mean()
    equal = (new[:, None] == base[None]).mean()
    return float(larger + equal / 2)


def performance_profile(problems: Sequence[Floats], levels: Floats) -> Floats:
    """Return the share of runs above each level, averaged over problems with equal weight."""
    shares = [(scores[:, None] > levels[None]).mean(0) for scores in problems]
    return np.asarray(np.mean(shares, axis=0))


def cost_profile(costs: Floats, ratios: Floats) -> Floats:
    """Return for each method the share of problems solved within *ratios* of the cheapest method.

    E. Dolan and J. Moré, Benchmarking Optimization Software with Performance Profiles, 2002,
    arXiv:cs/0102001.

    Args:
        costs: Methods by problems; infinite where the target was missed.
        ratios: Such as 1, 2, 4.
    """
    least = costs.min(0)
    with np.errstate(invalid="ignore"):
        relative = costs / least
    solved: NDArray[np.bool_] = np.isfinite(costs)[..., None] & (relative[..., None] <= ratios)
    return np.asarray(solved.mean(1))
