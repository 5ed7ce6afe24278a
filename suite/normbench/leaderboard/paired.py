"""Statistics of paired differences, for many comparisons at once.

Differences are arrays of shape (..., n): n seeds along the last dimension, positive where the new
method is better. What cannot be computed, such as a spread of one seed, is nan.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import lru_cache
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from normbench.statistics import ROUNDING

Floats = NDArray[np.float64]

ALL_SIGNS = 14
RANDOM_SIGNS = 9_999
_SIGN_SEED = 0
_TIE = 1e-9
_MOST_NUMBERS = 4_000_000


def t_test(differences: Floats) -> tuple[Floats, Floats]:
    r"""Return t and the one-sided p that the mean difference is above 0.

    .. math:: t = \frac{\bar d}{s_d / \sqrt n}

    with n - 1 degrees of freedom, as :func:`normbench.paired_t_test`; p of the other side is 1 - p.
    """
    from scipy.special import stdtr

    n = differences.shape[-1]
    mean, error = differences.mean(-1), standard_error(differences)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.asarray(np.where(error > 0, mean / error, np.nan), dtype=np.float64)
    return t, np.asarray(stdtr(n - 1, -t), dtype=np.float64)


def standard_error(values: Floats) -> Floats:
    """Return the standard error of the mean along the last dimension; nan below two values."""
    n = values.shape[-1]
    if n < 2:
        return np.full(values.shape[:-1], np.nan)
    return np.asarray(values.std(-1, ddof=1) / np.sqrt(n))


def t_interval(values: Floats, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Return both ends of the two-sided t interval of the mean along the last dimension."""
    n = values.shape[-1]
    if n < 2:
        empty = np.full(values.shape[:-1], np.nan)
        return empty, empty
    margin = _t_quantile(n - 1, confidence) * standard_error(values)
    mean = values.mean(-1)
    return mean - margin, mean + margin


def mean_interval(values: Collection[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return the t interval of the mean of two values or more, as :func:`t_interval` does."""
    n, mean = len(values), fmean(values)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    margin = _t_quantile(n - 1, confidence) * spread / math.sqrt(n)
    return mean - margin, mean + margin


@lru_cache(maxsize=256)
def _t_quantile(freedom: int, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def sign_flip(differences: Floats) -> Floats:
    r"""Return the exact one-sided p that the differences are symmetric about 0.

    .. math:: p = P(\textstyle\sum_i s_i d_i \ge \sum_i d_i), \qquad s_i = \pm 1

    over all 2^n signs up to n = 14; beyond, over 9 999 random ones and the one observed. Sums that
    agree within 1e-9 of the sum of the sizes count as equal: rounding would break ties.
    """
    flat = differences.reshape(-1, differences.shape[-1])
    step = max(1, _MOST_NUMBERS // len(_signs(flat.shape[-1])))
    parts = [_sign_flip(flat[i : i + step]) for i in range(0, len(flat), step)]
    return np.concatenate(parts or [np.empty(0)]).reshape(differences.shape[:-1])


def _sign_flip(flat: Floats) -> Floats:
    n = flat.shape[-1]
    least = flat.sum(-1) - _TIE * np.abs(flat).sum(-1)
    extreme = (flat @ _signs(n).T >= least[:, None]).sum(-1)
    found = extreme / 2**n if n <= ALL_SIGNS else (extreme + 1) / (RANDOM_SIGNS + 1)
    return np.asarray(found, dtype=np.float64)


@lru_cache(maxsize=32)
def _signs(n: int) -> Floats:
    """Return sign vectors as rows: all of them, or a fixed random sample."""
    if n <= ALL_SIGNS:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)
    drawn = np.random.default_rng(_SIGN_SEED).integers(0, 2, size=(RANDOM_SIGNS, n))
    return np.asarray(1.0 - 2.0 * drawn, dtype=np.float64)


def signed_ranks(differences: Floats) -> Floats:
    """Return the ranks of the sizes with the signs of the differences; zeros stay 0.

    :func:`sign_flip` of them is Wilcoxon's exact signed-rank test, ties and zeros allowed for as in
    J. W. Pratt, 1959.
    """
    sizes = np.round(np.abs(differences), 12)
    below = (sizes[..., None] > sizes[..., None, :]).sum(-1)
    equal = (sizes[..., None] == sizes[..., None, :]).sum(-1)
    return np.asarray(np.sign(differences) * (sizes > 0) * (below + (equal + 1) / 2))


def win_rate(differences: Floats) -> Floats:
    """Return the share of pairs that the new method wins; a tie counts a half."""
    return np.asarray(((differences > 0) + 0.5 * (differences == 0)).mean(-1))


def correlation(new: Floats, base: Floats) -> Floats:
    """Return Pearson's correlation of paired scores; nan where either does not vary."""
    new, base = new - new.mean(-1, keepdims=True), base - base.mean(-1, keepdims=True)
    spread = np.sqrt((new**2).sum(-1) * (base**2).sum(-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(spread > 0, (new * base).sum(-1) / spread, np.nan))


def all_equal(differences: Floats, largest: float) -> NDArray[np.bool_]:
    """Return whether all differences are the same, up to the rounding of scores up to *largest*."""
    spread = differences.max(-1) - differences.min(-1)
    return np.asarray(spread <= ROUNDING * max(largest, np.finfo(float).tiny))


def divergence_bound(n: int, confidence: float = 0.95) -> float:
    """Return the upper bound of the share of seeds that diverge when none of *n* did."""
    return float(1.0 - (1.0 - confidence) ** (1.0 / n))


def standardised(differences: Floats) -> Floats:
    """Return Hedges' g of paired differences: mean over spread, corrected for small n."""
    n = differences.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = differences.mean(-1) / differences.std(-1, ddof=1)
    return np.asarray(ratio * (1.0 - 3.0 / (4.0 * (n - 1) - 1.0)))
