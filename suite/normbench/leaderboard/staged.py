"""Seeds added in declared stages until there is an answer, without more false answers.

Whoever tests after 5, 10, 15 and 20 seeds and stops at the first p below alpha is wrong too often.
Here the p of all looks so far are turned into one that holds at every look: the probability that
the smallest p of *all* declared looks is as small when there is no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from normbench.errors import UsageError
from normbench.leaderboard.looks import LEAST_STAGE
from normbench.leaderboard.paired import Floats, sign_flip, t_test

DRAWS = 100_000
_BATCH = 20_000
_SEED = 0


def check_stages(stages: Sequence[int]) -> tuple[int, ...]:
    """Return the declared numbers of seeds.

    Raises:
        UsageError: If there are none, they do not grow, or the first is below two.
    """
    declared = tuple(stages)
    growing = all(early < late for early, late in pairwise(declared))
    if not declared or declared[0] < LEAST_STAGE or not growing:
        raise UsageError(
            f"the stages {', '.join(map(str, declared)) or '(none)'} cannot be tested: expected "
            "growing numbers of seeds from 2 on, such as 5,10,15,20."
        )
    return declared


def staged_p(looks: Sequence[Floats], stages: Sequence[int]) -> Floats:
    r"""Return the p values after the looks made so far, of any number of comparisons.

    .. math:: p = P\left(\min_{k \le K} P_k \le \min_{j \le \text{now}} p_j\right)

    with P_k the one-sided p of a paired t-test on the first n_k of normal differences of mean 0,
    for all K declared stages. Each is a valid p whenever one stops, so Holm's correction over
    several comparisons stays valid too. The probability is that of 100 000 drawn sequences, never
    above K times the smallest p, which bounds it for every noise.

    Args:
        looks: The one-sided p values at each look made, in their order; arrays of one shape.
        stages: All declared numbers of seeds.

    Raises:
        UsageError: If there are more looks than stages, or the stages do not grow.
    """
    declared = check_stages(stages)
    if not 1 <= len(looks) <= len(declared):
        raise UsageError(
            f"{len(looks)} looks were made at {len(declared)} declared stages: expected between 1 "
            f"and {len(declared)}. More seeds than declared cannot be tested."
        )
    smallest = np.min(np.stack(looks), axis=0)
    drawn = _smallest_of_looks(declared)
    below = np.searchsorted(drawn, smallest, side="right")
    share = (below + 1) / (len(drawn) + 1)
    return np.asarray(np.minimum(np.minimum(share, len(declared) * smallest), 1.0))


def p_of_looks(differences: Floats, stages: Sequence[int]) -> Floats:
    """Return the one-sided p that mean differences are above 0, at the last look at them.

    Without a stage reached, or with one stage alone, it is the t-test's.

    Args:
        differences: Of shape (..., n); those of each look come first.
        stages: All declared numbers of seeds; none if n was fixed.
    """
    reached = _reached(differences, stages)
    if len(stages) < 2 or not reached:
        return t_test(differences)[1]
    return staged_p([t_test(differences[..., :n])[1] for n in reached], stages)


def two_sided_p(differences: Floats, stages: Sequence[int] = ()) -> float:
    """Return the two-sided p of n differences at the last look; see :func:`p_of_looks`."""
    better = float(p_of_looks(differences, stages))
    # The t-test's p of the other side is what is left; that of several looks is not.
    worse = float(p_of_looks(-differences, stages)) if len(stages) > 1 else 1 - better
    return min(1.0, 2 * min(better, worse))


def flip_of_looks(differences: Floats, stages: Sequence[int]) -> Floats:
    """Return the exact sign-flip p at the last look; see :func:`p_of_looks`.

    The smallest one of all looks, times the number of declared stages: valid for every noise.
    """
    reached = _reached(differences, stages)
    if len(stages) < 2 or not reached:
        return sign_flip(differences)
    smallest = np.min([sign_flip(differences[..., :n]) for n in reached], axis=0)
    return np.asarray(np.minimum(len(stages) * smallest, 1.0))


def equivalence_p(differences: Floats, margin: float, stages: Sequence[int] = ()) -> Floats:
    """Return the p that mean differences are within ±*margin*: the larger of two one-sided ones.

    In stages each of the two is the one of :func:`p_of_looks`. Claiming it falsely takes a mean
    beyond one of the margins, and there the test against that margin is valid at every look.
    """
    above, below = (p_of_looks(margin + side * differences, stages) for side in (1, -1))
    return np.asarray(np.maximum(above, below))


def _reached(differences: Floats, stages: Sequence[int]) -> list[int]:
    return [n for n in stages if n <= differences.shape[-1]]


@lru_cache(maxsize=8)
def _smallest_of_looks(stages: tuple[int, ...]) -> Floats:
    """Return the smallest p of all looks at drawn differences of mean 0, sorted."""
    generator = np.random.default_rng(_SEED)
    parts = []
    for _ in range(DRAWS // _BATCH):
        drawn = generator.standard_normal((_BATCH, stages[-1]))
        parts.append(np.min([t_test(drawn[:, :n])[1] for n in stages], axis=0))
    return np.sort(np.concatenate(parts))
