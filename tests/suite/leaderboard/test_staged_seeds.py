"""Seeds in declared stages: the p that holds at every look."""

from __future__ import annotations

import numpy as np
import pytest

from normbench import UsageError
from normbench.leaderboard.paired import t_test
from normbench.leaderboard.staged import staged_p

STAGES = (5, 10, 15, 20)


def test_one_stage_changes_nothing():
    """With a single declared stage the p is the t-test's, but for the error of drawing."""
    p = np.array([0.001, 0.01, 0.05, 0.5])

    assert pytest.approx(p, rel=0.06) == staged_p([p], (5,))


def test_p_lies_between_one_look_and_bonferroni():
    """Several looks cost something, never more than as many tests would."""
    p = np.array([0.002, 0.02, 0.2])
    found = staged_p([p], STAGES)

    assert (found > p).all()
    assert (found <= 4 * p).all()
    # Far below what was drawn, that many tests are the bound, and no p is 0.
    assert pytest.approx(4e-12) == staged_p([np.array(1e-12)], STAGES)


def test_smallest_p_of_all_looks_counts():
    """A later larger p takes nothing back, a later smaller one counts."""
    first, second = np.array([0.01]), np.array([0.3])

    assert staged_p([first], STAGES) == staged_p([first, second], STAGES)
    assert staged_p([second, first], STAGES) == staged_p([first], STAGES)


def test_stopping_at_the_first_small_p_is_as_rare_as_alpha():
    """Of 4000 sequences without any difference, 5 % ever look better; 11 % would uncorrected."""
    drawn = np.random.default_rng(99).standard_normal((4000, 20))
    looks = [t_test(drawn[:, :n])[1] for n in STAGES]
    ever = np.min([staged_p(looks[: k + 1], STAGES) for k in range(4)], axis=0)
    deviation = np.sqrt(0.05 * 0.95 / 4000)

    assert abs((ever < 0.05).mean() - 0.05) < 3 * deviation
    assert (np.min(looks, axis=0) < 0.05).mean() > 0.09


@pytest.mark.parametrize("stages", [(), (1, 5), (5, 5), (10, 5)])
def test_stages_that_do_not_grow_are_refused(stages):
    """Numbers of seeds must be two or more and grow."""
    with pytest.raises(UsageError, match="expected growing numbers of seeds from 2 on"):
        staged_p([np.array([0.1])], stages)


def test_looks_beyond_the_declared_stages_are_refused():
    """More seeds than declared is what the declaration is to prevent."""
    with pytest.raises(UsageError, match="More seeds than declared"):
        staged_p([np.array([0.1])] * 2, (5,))
