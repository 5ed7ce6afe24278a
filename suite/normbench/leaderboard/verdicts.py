"""The one word that a comparison comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from normbench.leaderboard.against import LEAST_FOR_INTERVAL, LEAST_FOR_VERDICT, Comparison


class Verdict(StrEnum):
    """What a comparison with the reference comes to.

    - BETTER, WORSE: the corrected one-sided p of the paired t-test is below alpha, each side a
      family of its own; where seeds diverged to the side's favour see :func:`verdict_of`.
    - EQUIVALENT: the 1 - 2·alpha interval lies within ± the smallest difference of interest.
    - NO_EVIDENCE: none of these.
    - EXPLORATORY: below five pairs, seeds are missing, or something was chosen after looking.
    - TOO_FEW: below three pairs.
    - UNSTABLE: seeds diverged, and what is left to say depends on how they are counted.
    - DETERMINISTIC: all differences are equal, so there is no spread to judge them by.
    - REFERENCE: what the others are compared with.
    """

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    NO_EVIDENCE = "no evidence"
    EXPLORATORY = "exploratory"
    TOO_FEW = "too few"
    UNSTABLE = "unstable"
    DETERMINISTIC = "deterministic"
    REFERENCE = "reference"


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What bears on a verdict beside the numbers.

    Attributes:
        alpha: Probability of any false claim in a family.
        diverged: Whether a seed of the row diverged.
        reference_diverged: Whether a seed of the reference did.
        exploratory: Whether the row has missing seeds, or something was chosen after looking.
    """

    alpha: float
    diverged: bool = False
    reference_diverged: bool = False
    exploratory: bool = False


def verdict_of(found: Comparison, given: Circumstances) -> Verdict:
    """Return the verdict.

    A diverged seed counts with the problem's worst score, which makes differences skewed, so that a
    t-test alone is not believed when it speaks for a side of which seeds diverged: it takes the
    corrected exact sign-flip p as well.
    """
    if found.n < LEAST_FOR_INTERVAL:
        return Verdict.TOO_FEW
    if found.deterministic:
        diverged = given.diverged or given.reference_diverged
        return Verdict.UNSTABLE if diverged else Verdict.DETERMINISTIC
    if given.exploratory or found.n < LEAST_FOR_VERDICT:
        return Verdict.EXPLORATORY
    return _tested(found, given)


def _tested(found: Comparison, given: Circumstances) -> Verdict:
    sides = ((Verdict.BETTER, given.diverged), (Verdict.WORSE, given.reference_diverged))
    for side, (verdict, favoured_diverged) in enumerate(sides):
        # The p of an earlier look may be small for the side that the difference has left since.
        on_this_side = (found.difference > 0) == (verdict is Verdict.BETTER)
        significant = on_this_side and found.p_adjusted[side] < given.alpha
        confirmed = not favoured_diverged or found.flip_adjusted[side] < given.alpha
        if significant and confirmed:
            return verdict
    if given.diverged or given.reference_diverged:
        return Verdict.UNSTABLE
    return Verdict.EQUIVALENT if found.equivalent else Verdict.NO_EVIDENCE
