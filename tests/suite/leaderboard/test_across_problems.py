"""Statistics over problems against scipy, published tables and hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from normbench.leaderboard import across
from normbench.leaderboard.new_problems import (
    critical_difference,
    friedman,
    pairwise,
    range_quantile,
)
from normbench.leaderboard.ranks import average_ranks, rank_intervals, ranks_of

few_examples = settings(max_examples=30, deadline=None)


@few_examples
@given(st.lists(st.floats(-10, 10), min_size=4, max_size=40).map(np.array))
def test_interquartile_mean_of_whole_quarters_is_scipys_trimmed_mean(values):
    """Where a quarter of the values is a whole number, a quarter is cut at either end."""
    values = values[: 4 * (len(values) // 4)]

    assert pytest.approx(stats.trim_mean(values, 0.25)) == across.interquartile_mean(values)


def test_interquartile_mean_counts_values_at_the_cuts_in_part():
    """Of five values a quarter of the second and fourth is cut, too."""
    values = np.array([0.0, 1.0, 4.0, 9.0, 100.0])

    assert pytest.approx((0.75 * 1 + 4 + 0.75 * 9) / 2.5) == across.interquartile_mean(values)


def test_stratified_interval_draws_seeds_within_problems():
    """Two problems of constant scores have no spread, however far apart they are."""
    problems = [np.full(6, 0.2), np.full(6, 0.9)]

    assert pytest.approx((0.55, 0.55)) == across.stratified_interval(problems)


def test_stratified_interval_covers_the_mean_of_normal_scores():
    """Of 60 tables of 3 problems by 10 seeds, the intervals of about nine in ten hold the mean."""
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(60):
        low, high = across.stratified_interval([generator.normal(0, 1, 10) for _ in range(3)])
        covered += low <= 0 <= high

    assert covered > 47  # 60 tables at a coverage of 0.9: 54 ± 3 standard deviations of 2.3


@few_examples
@given(st.integers(0, 10_000))
def test_probability_of_improvement_is_mann_whitneys_u(seed):
    """The share of pairs is U over the number of pairs, ties a half."""
    generator = np.random.default_rng(seed)
    new, base = generator.integers(0, 6, 7).astype(float), generator.integers(0, 6, 5).astype(float)
    u = stats.mannwhitneyu(new, base).statistic

    assert pytest.approx(u / 35) == across.probability_of_improvement(new, base)


def test_normalised_scores_place_worst_and_reference():
    """The worst score is 0 and the reference 1, whichever way is better."""
    assert [0.0, 0.5, 1.0] == across.normalised(np.array([10.0, 6.0, 2.0]), 10.0, 2.0).tolist()


def test_performance_profile_gives_problems_equal_weight():
    """A problem with more seeds does not count for more."""
    problems = [np.array([1.0, 1.0]), np.array([0.0])]

    assert [0.5, 0.0] == across.performance_profile(problems, np.array([0.5, 1.0])).tolist()


def test_cost_profile_counts_a_miss_as_never():
    """Within twice the cheapest cost; a method that missed a target never solves that problem."""
    costs = np.array([[1.0, 4.0, np.inf], [2.0, 1.0, 3.0]])
    profile = across.cost_profile(costs, np.array([1.0, 2.0, 10.0]))

    assert pytest.approx(np.array([[1 / 3, 1 / 3, 2 / 3], [2 / 3, 1, 1]])) == profile


@few_examples
@given(st.integers(3, 6), st.integers(6, 10), st.integers(0, 10_000))
def test_friedman_equals_scipy(methods, problems, seed):
    """Statistic and p are scipy's, with ties too."""
    scores = np.random.default_rng(seed).integers(0, 5, (methods, problems)).astype(float)
    if np.ptp(scores, axis=0).max() == 0:
        return
    expected = stats.friedmanchisquare(*scores)
    found = friedman(scores)

    assert pytest.approx((expected.statistic, expected.pvalue), rel=1e-9) == (
        found.statistic,
        found.p,
    )


@pytest.mark.parametrize(("methods", "quantile"), [(2, 1.960), (4, 2.569), (7, 2.949), (10, 3.164)])
def test_critical_difference_uses_demsars_table(methods, quantile):
    """The quantiles are those of table 5a of Demšar, 2006."""
    expected = quantile * np.sqrt(methods * (methods + 1) / (6 * 14))

    assert pytest.approx(expected, abs=2e-3) == critical_difference(methods, 14)


@pytest.mark.parametrize("methods", [2, 3, 8, 16])
def test_range_of_normal_numbers_is_scipys_studentized_range(methods):
    """The quantile is scipy's with infinitely many degrees of freedom."""
    expected = stats.studentized_range.ppf(0.95, methods, np.inf)

    assert pytest.approx(expected, rel=1e-6) == range_quantile(0.95, methods)


def test_few_problems_allow_no_test():
    """Below six problems there is no test, below eight no critical difference."""
    scores = np.random.default_rng(0).normal(size=(4, 9))

    assert friedman(scores[:, :5]) is None
    assert friedman(scores[:2]) is None
    assert friedman(scores[:, :7]).critical_difference is None
    assert friedman(scores[:, :8]).critical_difference is not None


def test_pairs_are_tested_by_signed_ranks_with_holm():
    """Each pair's p is Wilcoxon's exact two-sided one, the smallest times the number of pairs."""
    scores = np.random.default_rng(2).normal(size=(3, 8)) + np.array([[0.0], [0.1], [3.0]])
    expected = {pair: stats.wilcoxon(scores[pair[0]], scores[pair[1]]).pvalue for pair in PAIRS}
    found = pairwise(scores)

    assert pytest.approx(min(1, 3 * min(expected.values()))) == min(found.values())
    assert max(expected.values()) == pytest.approx(max(found.values()))


PAIRS = ((0, 1), (0, 2), (1, 2))


def test_average_ranks_are_scipys():
    """Rank 1 is the largest score, and equal ones share the mean."""
    scores = np.array([[3.0, 1.0], [5.0, 1.0], [3.0, 0.0]])

    assert stats.rankdata(-scores, axis=0).tolist() == average_ranks(scores).tolist()
    assert [[2.0, 1.0], [1.0, 1.0], [2.0, 3.0]] == ranks_of(scores).tolist()


def test_rank_intervals_of_a_clear_order_are_points():
    """Rows further apart than their seeds never change places."""
    scores = np.array([[9.0], [5.0], [1.0]]) + np.random.default_rng(0).normal(0, 0.1, (3, 6))

    assert [(1, 1), (2, 2), (3, 3)] == rank_intervals(scores)


def test_rank_intervals_draw_the_same_seeds_for_all_rows():
    """A row better at every seed stays better, however much the seeds vary."""
    base = np.random.default_rng(0).normal(0, 10, 8)

    assert [(1, 1), (2, 2)] == rank_intervals(np.stack([base + 0.01, base]))
    free = np.random.default_rng(1).normal(0, 10, 8)
    assert [(1, 2), (1, 2)] == rank_intervals(np.stack([base + 0.01, free]))
