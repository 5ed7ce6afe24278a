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
from normbench.leaderboard.paired import Floats, t_test

DRAWS = 200_000
_BATCH = 20_000
_SEED = 0


def check_stages(stages: Sequence[int]) -> tuple[int, ...]:
    """Return the declared numbers of seeds.

    Raises:
        UsageError: If there are none, they do not grow, or the first is below two.
    """
    declared = tuple(stages)
    growing = all(early < late for early, late in pairwise(declared))
    if not declared or declared[0] < 2 or not growing:
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
    several comparisons stays valid too. The probability is that of 200 000 drawn sequences, never
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


@lru_cache(maxsize=8)
def _smallest_of_looks(stages: tuple[int, ...]) -> Floats:
    """Return the smallest p of all looks at drawn differences of mean 0, sorted."""
    generator = np.random.default_rng(_SEED)
    parts = []
    for _ in range(DRAWS // _BATCH):
        drawn = generator.standard_normal((_BATCH, stages[-1]))
        parts.append(np.min([t_test(drawn[:, :n])[1] for n in stages], axis=0))
    return np.sort(np.concatenate(parts))
