"""Whether methods differ on problems like these: each problem is one observation.

From six problems on: Friedman's test over all methods, then exact signed-rank tests of each pair
with Holm's correction. J. Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets,
2006; A. Benavoli et al., Should We Really Use Post-Hoc Tests Based on Mean-Ranks?, 2016,
arXiv:1505.02288.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from normbench.leaderboard.families import holm
from normbench.leaderboard.paired import Floats, sign_flip, signed_ranks
from normbench.leaderboard.ranks import average_ranks

LEAST_TO_TEST = 6
LEAST_FOR_CD = 8
_GRID = np.linspace(-9.0, 9.0, 2001)


@dataclass(frozen=True, kw_only=True)
class Friedman:
    """What Friedman's test and the tests of pairs found.

    Attributes:
        statistic: Chi-squared with one degree of freedom less than methods, corrected for ties.
        p: That all methods rank alike.
        mean_ranks: Of each method, 1 is best.
        pairs: Holm's two-sided p for each pair of methods, by their places.
        critical_difference: Of mean ranks by Nemenyi at 5 %; None below eight problems.
    """

    statistic: float
    p: float
    mean_ranks: tuple[float, ...]
    pairs: dict[tuple[int, int], float]
    critical_difference: float | None


def friedman(scores: Floats) -> Friedman | None:
    """Test methods over problems; None below six problems or three methods.

    Args:
        scores: Mean score of each method (rows) on each problem (columns), larger is better.
    """
    methods, problems = scores.shape
    if problems < LEAST_TO_TEST or methods < 3:
        return None
    ranks = average_ranks(scores)
    statistic, p = _chi_squared(ranks)
    return Friedman(
        statistic=statistic,
        p=p,
        mean_ranks=tuple(float(rank) for rank in ranks.mean(1)),
        pairs=pairwise(scores),
        critical_difference=(
            critical_difference(methods, problems) if problems >= LEAST_FOR_CD else None
        ),
    )


def _chi_squared(ranks: Floats) -> tuple[float, float]:
    from scipy.special import chdtrc

    methods, problems = ranks.shape
    between = problems * ((ranks.mean(1) - (methods + 1) / 2) ** 2).sum()
    within = ((ranks - (methods + 1) / 2) ** 2).sum() / (problems * (methods - 1))
    if within == 0:
        return 0.0, 1.0
    statistic = float(between / within)
    return statistic, float(chdtrc(methods - 1, statistic))


def pairwise(scores: Floats) -> dict[tuple[int, int], float]:
    """Return Holm's two-sided p of exact signed-rank tests for each pair of methods."""
    pairs = list(combinations(range(len(scores)), 2))
    differences = np.stack([scores[i] - scores[j] for i, j in pairs])
    ranks = signed_ranks(differences)
    one_sided = np.minimum(sign_flip(ranks), sign_flip(-ranks))
    adjusted = holm(np.minimum(2 * one_sided, 1.0))
    return {pair: float(p) for pair, p in zip(pairs, adjusted, strict=True)}


def critical_difference(methods: int, problems: int, alpha: float = 0.05) -> float:
    r"""Return Nemenyi's critical difference of mean ranks.

    .. math:: CD = q_\alpha \sqrt{\frac{k (k + 1)}{6 N}}

    with q the upper quantile of the studentized range of k methods over √2, for N problems.
    """
    quantile = range_quantile(1 - alpha, methods) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * problems)))


def range_quantile(probability: float, methods: int) -> float:
    r"""Return the quantile of the range of k standard normal numbers.

    .. math:: P(R \le r) = k \int \varphi(z) (\Phi(z) - \Phi(z - r))^{k - 1} dz

    scipy.stats has it too, and takes a second to import.
    """
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _range_share(middle, methods) > probability else (middle, high)
    return high


def _range_share(width: float, methods: int) -> float:
    from scipy.special import ndtr

    density = np.exp(-(_GRID**2) / 2) / np.sqrt(2 * np.pi)
    inside = (ndtr(_GRID) - ndtr(_GRID - width)) ** (methods - 1)
    return float(methods * (density * inside).sum() * (_GRID[1] - _GRID[0]))
