"""Statistics of paired differences against scipy, brute force and hand-computed cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from normbench import paired_t_test
from normbench.leaderboard import paired
from normbench.leaderboard.staged import equivalence_p

# The example of Revisiting Batch Normalization Initialization's README, not significant.
NEW = np.array([91.7, 93.4, 92.2, 90.0, 91.9])
BASE = np.array([91.0, 92.7, 92.2, 90.1, 91.5])

numbers = st.floats(-5, 5).map(lambda value: round(value, 2))
few_examples = settings(max_examples=40, deadline=None)


def samples(least: int, most: int):
    """Return a strategy for arrays of numbers that are not all equal."""
    lists = st.lists(numbers, min_size=least, max_size=most)
    return lists.filter(lambda found: max(found) - min(found) > 0.01).map(np.array)


def test_published_example_in_every_statistic():
    """t, p, sign-flip p, win rate and Hedges' g are those computed for the source's example."""
    differences = NEW - BASE
    t, p = paired.t_test(differences)

    assert pytest.approx((2.0104621463629, 0.0573692281772761), rel=1e-12) == (t, p)
    assert pytest.approx(0.125) == paired.sign_flip(differences)
    assert pytest.approx(0.7) == paired.win_rate(np.round(differences, 9))
    assert pytest.approx(0.719, abs=5e-4) == paired.standardised(differences)
    assert pytest.approx((-0.1295, 0.8095), abs=5e-5) == paired.t_interval(differences)


@few_examples
@given(samples(2, 12))
def test_t_test_equals_the_public_one(differences):
    """The t-test for whole tables gives what paired_t_test gives for one pair."""
    one = paired_t_test(differences.tolist(), [0.0] * len(differences))
    t, p = paired.t_test(differences[None])
    low, high = paired.t_interval(differences)

    assert pytest.approx((one.t, one.p), rel=1e-9) == (t[0], p[0])
    assert pytest.approx(one.interval, rel=1e-9, abs=1e-12) == (low, high)
    assert pytest.approx(one.interval, rel=1e-9, abs=1e-12) == paired.mean_interval(differences)


@few_examples
@given(samples(2, 8))
def test_sign_flip_is_the_share_of_all_sign_vectors(differences):
    """The exact p counts every way to flip signs, by brute force."""
    flips = itertools.product((-1, 1), repeat=len(differences))
    sums = [np.dot(flip, differences) for flip in flips]
    expected = np.mean([total >= differences.sum() - 1e-9 for total in sums])

    assert pytest.approx(expected) == paired.sign_flip(differences)


def test_sign_flip_equals_scipys_permutation_test():
    """The exact p is that of scipy's permutation test of paired samples."""
    differences = np.random.default_rng(3).normal(0.5, 1, 9)
    expected = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="greater",
    )

    assert pytest.approx(expected.pvalue) == paired.sign_flip(differences)


def test_sign_flip_counts_equal_sums_whatever_their_rounding():
    """Differences of decimals tie: 0.1 + 0.2 and 0.3 are one sum."""
    differences = np.array([0.1 + 0.2, -0.3, 0.3])

    assert pytest.approx(4 / 8) == paired.sign_flip(differences)


def test_sign_flip_of_many_seeds_is_drawn_and_repeats():
    """Above 14 seeds a fixed sample of signs estimates the p, never as 0."""
    differences = np.random.default_rng(0).normal(0.4, 1, 16)
    sums = np.sort((paired._signs(14) @ differences[:14])[:, None])
    exact = np.mean(
        [
            (sums[:, 0] >= differences.sum() - a * differences[14] - b * differences[15]).mean()
            for a, b in itertools.product((-1, 1), repeat=2)
        ]
    )
    drawn = paired.sign_flip(differences)

    assert abs(exact - drawn) < 4 * np.sqrt(exact * (1 - exact) / 9_999)
    assert drawn == paired.sign_flip(differences)
    assert pytest.approx(1e-4) == paired.sign_flip(np.ones(20))


@few_examples
@given(st.lists(numbers.filter(bool), min_size=3, max_size=10, unique_by=abs).map(np.array))
def test_signed_ranks_make_wilcoxons_exact_test(differences):
    """Sign-flip of signed ranks is scipy's exact Wilcoxon test where nothing ties."""
    expected = stats.wilcoxon(differences, alternative="greater", method="exact").pvalue

    assert pytest.approx(expected) == paired.sign_flip(paired.signed_ranks(differences))


def test_signed_ranks_share_ranks_among_ties_and_keep_zeros():
    """A zero has rank 0 but takes a place, and equal sizes share the mean of theirs."""
    ranks = paired.signed_ranks(np.array([0.0, -2.0, 2.0, 5.0]))

    assert [0.0, -2.5, 2.5, 4.0] == ranks.tolist()


@few_examples
@given(samples(3, 10), st.floats(0.1, 3))
def test_equivalence_is_two_one_sided_tests(differences, margin):
    """The p is the larger one of scipy's two, and below 5 % where the 90 % interval fits in."""
    lower = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    upper = stats.ttest_1samp(differences, margin, alternative="less").pvalue

    low, high = paired.t_interval(differences, 0.9)
    found = equivalence_p(differences, margin)

    assert pytest.approx(max(lower, upper), rel=1e-9) == found
    assert (found < 0.05) == (low > -margin and high < margin)


@few_examples
@given(samples(3, 10), st.integers(0, 1000))
def test_correlation_is_pearsons(base, seed):
    """The measured correlation of the pairs is numpy's."""
    new = base + np.random.default_rng(seed).normal(0, 1, len(base))

    assert pytest.approx(np.corrcoef(new, base)[0, 1], abs=1e-9) == paired.correlation(new, base)


def test_statistics_of_a_table_are_those_of_its_rows():
    """Rows computed together give what each gives alone."""
    table = np.random.default_rng(1).normal(0.2, 1, (5, 7))

    for statistic in (paired.sign_flip, paired.win_rate, paired.standardised):
        assert pytest.approx([float(statistic(row)) for row in table]) == statistic(table)
    alone = [float(paired.t_test(row)[1]) for row in table]
    assert pytest.approx(alone) == paired.t_test(table)[1]


def test_what_cannot_be_computed_is_nan():
    """One seed has no spread, equal differences no t, constant scores no correlation."""
    with np.errstate(all="raise"):
        t, p = paired.t_test(np.ones((1, 4)))

        assert np.isnan([t[0], p[0]]).all()
        assert np.isnan(paired.t_interval(np.array([1.0]))).all()
        assert np.isnan(paired.correlation(np.ones(3), np.arange(3.0)))


def test_equal_differences_are_told_from_rounding():
    """Differences of equal decimals count as equal, those of unequal ones do not."""
    new, base = np.array([91.7, 93.4, 90.1]), np.array([91.6, 93.3, 90.0])

    assert paired.all_equal(new - base, 93.4)
    assert not paired.all_equal(new - base + np.array([0, 0, 1e-6]), 93.4)


@pytest.mark.parametrize(("n", "bound"), [(3, 0.632), (5, 0.451), (10, 0.259)])
def test_divergence_bound(n, bound):
    """With no divergence in n seeds a larger share would have shown itself with 95 %."""
    assert pytest.approx(bound, abs=5e-4) == paired.divergence_bound(n)
    assert pytest.approx(0.05) == (1 - paired.divergence_bound(n)) ** n
