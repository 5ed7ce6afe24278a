"""The paired t-test, for scores that the same seeds gave two methods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from normbench.errors import UsageError

CONFIDENCE = 0.95
ROUNDING = 1e-14  # differences of equal decimals such as 91.7 - 91.6 vary by this much


@dataclass(frozen=True, kw_only=True)
class PairedTTest:
    """What a one-sided paired t-test found.

    Attributes:
        n: Pairs.
        mean_difference: Mean of new - base, in the scores' unit.
        interval: Ends of its two-sided 95 % confidence interval.
        t: Statistic.
        degrees_of_freedom: n - 1.
        p: Probability of a t at least as large if the mean difference were 0.
    """

    n: int
    mean_difference: float
    interval: tuple[float, float]
    t: float
    degrees_of_freedom: int
    p: float

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"new - base = {self.mean_difference:.4g} on average over {self.n} pairs "
            f"(95 % interval {low:.4g} to {high:.4g}); t = {self.t:.4g} with "
            f"{self.degrees_of_freedom} degrees of freedom, one-sided p = {self.p:.4g}: "
            f"{self._verdict}"
        )

    @property
    def _verdict(self) -> str:
        if self.p <= 1 - CONFIDENCE:
            return "new is larger, significant at the 5 % level"
        return "no evidence at the 5 % level that new is larger"


def paired_t_test(new: Sequence[float], base: Sequence[float]) -> PairedTTest:
    r"""Test whether *new* is larger than *base* on average, pair by pair.

    .. math:: t = \frac{\bar d}{s_d / \sqrt n}, \qquad d_i = \text{new}_i - \text{base}_i

    with s_d the standard deviation over n - 1, and p the upper tail of Student's distribution with
    n - 1 degrees of freedom, as in Revisiting Batch Normalization Initialization, J. Davis and
    L. Frank, ECCV 2022, arXiv:2110.13989. Where smaller is better, as for losses, swap the two.

    Args:
        new: Scores of the method in question, one a seed.
        base: Scores of the reference with the same seeds, in the same order.

    Raises:
        UsageError: If the lengths differ, there are fewer than two pairs, a score is not finite, or
            all differences are equal.
    """
    from scipy.special import stdtr, stdtrit

    differences = _differences(new, base)
    n = len(differences)
    mean = math.fsum(differences) / n
    deviation = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1))
    error = deviation / math.sqrt(n)
    t = mean / error
    margin = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error
    return PairedTTest(
        n=n,
        mean_difference=mean,
        interval=(mean - margin, mean + margin),
        t=t,
        degrees_of_freedom=n - 1,
        p=float(stdtr(n - 1, -t)),
    )


def _differences(new: Sequence[float], base: Sequence[float]) -> list[float]:
    if len(new) != len(base):
        raise UsageError(
            f"paired_t_test received {len(new)} new scores and {len(base)} base scores: expected "
            "as many of both, one pair a seed. Leave out seeds that only one of them has."
        )
    if len(new) < 2:
        raise UsageError(
            f"paired_t_test received {len(new)} pairs: expected two or more. Run more seeds."
        )
    for name, scores in (("new", new), ("base", base)):
        for index, score in enumerate(scores):
            if not math.isfinite(score):
                raise UsageError(
                    f"paired_t_test received {name}[{index}]={score}: expected finite scores. Give "
                    "a diverged run the problem's worst score, or leave its pair out."
                )
    differences = [float(one) - float(other) for one, other in zip(new, base, strict=True)]
    largest = max(abs(score) for score in (*new, *base))
    if max(differences) - min(differences) <= ROUNDING * largest:
        raise UsageError(
            f"paired_t_test received {len(new)} pairs that all differ by {differences[0]:g}: "
            "expected differences that vary. There is no spread to judge them by; compare them "
            "as they are."
        )
    return differences
