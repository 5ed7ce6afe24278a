"""Corrections and letters against definitions, by brute force, and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from normbench import UsageError
from normbench.leaderboard.families import benjamini_hochberg, correction, holm, letters

few_examples = settings(max_examples=60, deadline=None)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.array)


def rejected_step_by_step(p: np.ndarray, alpha: float) -> list[bool]:
    """Return what Holm's procedure rejects, step by step as it is defined."""
    rejected = [False] * len(p)
    for step, place in enumerate(np.argsort(p, kind="stable")):
        if p[place] > alpha / (len(p) - step):
            break
        rejected[place] = True
    return rejected


@few_examples
@given(p_values, st.floats(0.001, 0.5))
def test_holm_rejects_what_its_steps_reject(p, alpha):
    """An adjusted p is at most alpha exactly if the procedure rejects at alpha."""
    adjusted = holm(p)
    clear = np.abs(adjusted - alpha) > 1e-9

    assert np.array(rejected_step_by_step(p, alpha))[clear].tolist() == (
        (adjusted <= alpha)[clear].tolist()
    )


def test_holm_by_hand():
    """Four p values, adjusted by hand: times 4, 3, 2 and 1, never falling."""
    adjusted = holm(np.array([0.03, 0.005, 0.04, 0.01]))

    assert pytest.approx([0.06, 0.02, 0.06, 0.03]) == adjusted.tolist()


@few_examples
@given(p_values)
def test_benjamini_hochberg_equals_scipy(p):
    """The adjusted values are scipy's."""
    assert pytest.approx(stats.false_discovery_control(p)) == benjamini_hochberg(p)


def test_a_missing_p_is_no_member():
    """What could not be tested neither counts nor gets a p."""
    adjusted = holm(np.array([0.01, np.nan, 0.04]))

    assert pytest.approx([0.02, np.nan, 0.04], nan_ok=True) == adjusted.tolist()


def test_unknown_correction_is_refused():
    """Another name is an error with the nearest one."""
    with pytest.raises(UsageError, match="Did you mean 'holm'"):
        correction("hulm")


@few_examples
@given(st.integers(1, 8), st.integers(0, 2**28 - 1))
def test_members_share_a_letter_exactly_if_not_told_apart(count, bits):
    """Every pair is checked for every pattern of pairs told apart."""
    pairs = [(i, j) for i in range(count) for j in range(i)]
    separated = np.zeros((count, count), dtype=bool)
    for place, (i, j) in enumerate(pairs):
        separated[i, j] = separated[j, i] = bool(bits >> place & 1)
    found = [set(word) for word in letters(separated)]

    assert all(found)
    assert "a" in found[0]
    assert all(bool(found[i] & found[j]) != separated[i, j] for i, j in pairs)


def test_letters_of_a_chain():
    """Neighbours are not told apart, the ends are: the middle has both letters."""
    separated = np.array([[False, False, True], [False, False, False], [True, False, False]])

    assert ["a", "ab", "b"] == letters(separated)
