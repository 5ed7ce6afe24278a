"""The equivalence test of paired differences: two one-sided t-tests.

A comparison of the two one-sided tests procedure and the power approach for assessing the
equivalence of average bioavailability, D. J. Schuirmann, Journal of Pharmacokinetics and
Biopharmaceutics 15, 1987.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normbench.leaderboard.paired import all_equal, mean_interval
from normbench.leaderboard.staged import equivalence_p

ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class EquivalenceTest:
    """What two one-sided paired t-tests found.

    Attributes:
        n: Pairs.
        difference: Mean of new - base.
        interval: Ends of its two-sided 90 % confidence interval.
        margin: Largest difference that counts as none.
        p: The larger of the p of the two tests.
    """

    n: int
    difference: float
    interval: tuple[float, float]
    margin: float
    p: float

    @property
    def equivalent(self) -> bool:
        """Whether the mean difference is shown to lie within the margin, at the 5 % level."""
        return self.p < ALPHA

    @property
    def different(self) -> bool:
        """Whether the whole interval lies beyond the margin."""
        low, high = self.interval
        return low > self.margin or high < -self.margin


def equivalence_test(
    new: Sequence[float], base: Sequence[float], *, margin: float
) -> EquivalenceTest:
    """Test whether *new* is on average within *margin* of *base*, pair by pair.

    Where all differences are equal there is no error: p is 0 within the margin and 1 elsewhere.

    Args:
        new: Finite scores of the method in question, one a pair; two or more.
        base: Those of the reference, in the same order.
        margin: In the scores' unit.
    """
    one, other = np.asarray(new, dtype=float), np.asarray(base, dtype=float)
    differences = one - other
    mean = float(differences.mean())
    if all_equal(differences, float(np.abs([one, other]).max())):
        p = 0.0 if abs(mean) < margin else 1.0
        return EquivalenceTest(
            n=len(new), difference=mean, interval=(mean, mean), margin=margin, p=p
        )
    return EquivalenceTest(
        n=len(new),
        difference=mean,
        interval=mean_interval(list(map(float, differences)), 1 - 2 * ALPHA),
        margin=margin,
        p=float(equivalence_p(differences, margin)),
    )
