"""How far a mean of ours is from a published one, and what can be said of it.

Our seeds and theirs have nothing in common, so nothing is paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import fmean, variance

from normbench.leaderboard.against import LEAST_FOR_INTERVAL
from normbench.publications import PublishedResult

_QUANTILE = 0.975


class Agreement(Enum):
    """What a difference between ours and theirs comes to."""

    AGREES = "agrees"
    COMPATIBLE = "compatible"
    CLOSE = "close"
    HIGHER = "higher"
    LOWER = "lower"
    UNSTABLE = "unstable"
    TOO_FEW = "too few seeds"
    MISSING = "not trained"


MEANINGS: dict[Agreement, str] = {
    Agreement.AGREES: "the whole interval lies within the smallest difference of interest",
    Agreement.COMPATIBLE: "the interval holds 0, so ours may equal theirs, and may not",
    Agreement.CLOSE: (
        "the interval leaves 0 out, but the means are no further apart than the smallest "
        "difference of interest"
    ),
    Agreement.HIGHER: "ours is higher by more than that, and the interval leaves 0 out",
    Agreement.LOWER: "ours is lower by more than that, and the interval leaves 0 out",
    Agreement.UNSTABLE: (
        "seeds of ours diverged and count with the worst score, so nothing is said of their mean"
    ),
    Agreement.TOO_FEW: f"fewer than {LEAST_FOR_INTERVAL} seeds of ours, or seeds that do not vary",
    Agreement.MISSING: "the store has no result of this row",
}


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Ours minus theirs.

    Attributes:
        difference: Of the means, in the metric's unit.
        interval: Its 95 % interval; None if our seeds do not allow one.
        covers: Whose seeds the interval is about: ``both``, or ``ours`` alone.
    """

    difference: float
    interval: tuple[float, float] | None = None
    covers: str = ""


def gap(ours: Sequence[float], theirs: PublishedResult) -> Gap:
    r"""Return how far the mean of *ours* is from the published one.

    Where the number of seeds and their spread are published, the interval is Welch's,

    .. math:: \bar x - \bar y \pm t_{0.975,\nu} \sqrt{s_x^2 / n + s_y^2 / m}, \qquad
        \nu = \frac{(s_x^2 / n + s_y^2 / m)^2}
                   {(s_x^2 / n)^2 / (n - 1) + (s_y^2 / m)^2 / (m - 1)},

    else it is the t interval of our mean alone, shifted by the published one.

    Args:
        ours: Our values, one or more.
        theirs: The published result.
    """
    difference = fmean(ours) - theirs.mean
    n = len(ours)
    own = variance(ours) / n if n >= LEAST_FOR_INTERVAL else 0.0
    # Identical seeds have no spread to judge a difference by; rounding may leave a trace of one.
    if math.sqrt(own * n) <= 1e-12 * max(map(abs, ours)):
        return Gap(difference=difference)
    other = their_error(theirs)
    if other is None:
        half = _quantile(n - 1) * math.sqrt(own)
        return Gap(difference=difference, interval=_around(difference, half), covers="ours")
    squared, m = other
    freedom = (own + squared) ** 2 / (own**2 / (n - 1) + squared**2 / (m - 1))
    half = _quantile(freedom) * math.sqrt(own + squared)
    return Gap(difference=difference, interval=_around(difference, half), covers="both")


def their_error(theirs: PublishedResult) -> tuple[float, int] | None:
    """Return the squared standard error of the published mean and its number of seeds.

    None if it cannot be told, since the spread, what it divides by, or the number is not published.
    """
    if len(theirs.values) > 1:
        return variance(theirs.values.values()) / len(theirs.values), len(theirs.values)
    n, sd = theirs.n, theirs.sd
    if n is None or n < 2 or sd is None or theirs.spread == "unknown":
        return None
    freedom = n - 1 if theirs.spread == "n" else n
    return sd**2 / freedom, n


def agreement(found: Gap, smallest: float, *, diverged: bool = False) -> Agreement:
    """Return the word for a difference.

    Args:
        found: Ours minus theirs.
        smallest: The smallest difference of interest, in the metric's unit; 0 if there is none.
        diverged: Whether some of our seeds did.
    """
    if diverged:
        return Agreement.UNSTABLE
    if found.interval is None:
        return Agreement.TOO_FEW
    low, high = found.interval
    if -smallest <= low and high <= smallest:
        return Agreement.AGREES
    if low <= 0 <= high:
        return Agreement.COMPATIBLE
    if abs(found.difference) <= smallest:
        return Agreement.CLOSE
    return Agreement.HIGHER if found.difference > 0 else Agreement.LOWER


def _around(middle: float, half: float) -> tuple[float, float]:
    return middle - half, middle + half


def _quantile(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, _QUANTILE))
