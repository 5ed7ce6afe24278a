"""The budget curve, against enumeration of all draws, simulation, and what it must obey."""

from __future__ import annotations

from itertools import combinations, pairwise
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.errors import UsageError
from normbench.tuning.budget import budget_curve, rank_probabilities, ranked, realised_curve

few_examples = settings(max_examples=40, deadline=None)
scores = st.integers(0, 6).map(float)
pairs = st.lists(st.tuples(scores, scores), min_size=1, max_size=8)
directions = st.sampled_from(["max", "min"])


def chosen(validation, drawn, direction):
    """Return the index, among those drawn, of the best on validation; of ties the first."""
    best = (max if direction == "max" else min)(validation[index] for index in drawn)
    return next(index for index in drawn if validation[index] == best)


@few_examples
@given(pairs, directions)
def test_expectation_is_the_mean_over_all_draws(trials, direction):
    """Both expected scores are the means over every subset, ties and all."""
    validation, test = map(list, zip(*trials, strict=True))
    curve = budget_curve(validation, test, direction)
    for budget in curve:
        draws = combinations(range(len(trials)), budget.trials)
        found = [chosen(validation, drawn, direction) for drawn in draws]
        assert pytest.approx(fmean(validation[i] for i in found)) == budget.validation
        assert pytest.approx(fmean(test[i] for i in found)) == budget.test


@few_examples
@given(pairs, directions)
def test_interval_holds_the_middle_of_all_draws(trials, direction):
    """No more than 2.5 % of all subsets lie beyond an end, and any closer end leaves more."""
    validation, test = map(list, zip(*trials, strict=True))
    for budget in budget_curve(validation, test, direction):
        draws = list(combinations(range(len(trials)), budget.trials))
        found = [chosen(validation, drawn, direction) for drawn in draws]
        for values, (low, high) in (
            ([validation[i] for i in found], budget.interval),
            ([test[i] for i in found], budget.test_interval),
        ):
            allowed = 0.025 * len(draws) + 1e-9
            assert sum(value < low for value in values) <= allowed
            assert sum(value <= low for value in values) > allowed - 2e-9
            assert sum(value > high for value in values) <= allowed


def test_expectation_agrees_with_simulation():
    """Of 40 trials, the mean best of 20 000 random tens lies within four standard errors."""
    generator = np.random.default_rng(1)
    validation, test = generator.normal(size=40), generator.normal(size=40)
    drawn = np.argsort(generator.random((20_000, 40)), axis=1)[:, :10]
    best = drawn[np.arange(20_000), np.argmax(validation[drawn], axis=1)]
    budget = budget_curve(validation.tolist(), test.tolist(), "max")[9]

    for expected, simulated in ((validation[best], budget.validation), (test[best], budget.test)):
        assert abs(expected.mean() - simulated) < 4 * expected.std() / np.sqrt(20_000)


def test_golden_curve():
    """Of scores 1, 2, 3 the expected best of one, two and three is 2, 8/3 and 3."""
    curve = budget_curve([2.0, 3.0, 1.0], None, "max")

    assert [pytest.approx(2), pytest.approx(8 / 3), pytest.approx(3)] == [
        budget.validation for budget in curve
    ]
    assert [(1.0, 3.0), (2.0, 3.0), (3.0, 3.0)] == [budget.interval for budget in curve]
    assert {None} == {budget.test for budget in curve}


@few_examples
@given(st.integers(1, 300), st.data())
def test_probabilities_add_up(trials, data):
    """The ranks of the best of k of n are a distribution, with no chance beyond n - k + 1."""
    drawn = data.draw(st.integers(1, trials))
    probabilities = rank_probabilities(trials, drawn)

    assert pytest.approx(1.0, abs=1e-12) == probabilities.sum()
    assert (probabilities[: trials - drawn + 1] > 0).all()
    assert not probabilities[trials - drawn + 1 :].any()


@few_examples
@given(pairs, directions, st.randoms())
def test_curve_does_not_depend_on_the_order_of_trials(trials, direction, random):
    """Expected validation scores stay the same when trials are put in another order."""
    validation = [score for score, _ in trials]
    before = [b.validation for b in budget_curve(validation, None, direction)]
    random.shuffle(validation)
    after = [b.validation for b in budget_curve(validation, None, direction)]

    assert pytest.approx(before) == after


@few_examples
@given(pairs, directions)
def test_more_trials_never_expect_worse(trials, direction):
    """The expected validation score of k + 1 trials is no worse than that of k."""
    curve = budget_curve([score for score, _ in trials], None, direction)
    sign = 1 if direction == "max" else -1
    for fewer, more in pairwise(curve):
        assert sign * more.validation >= sign * fewer.validation - 1e-9


def test_curve_ends_at_the_winner():
    """All trials find the best one, and of equal ones the first, with its test score."""
    last = budget_curve([0.5, 0.9, 0.9], [0.4, 0.7, 0.8], "max")[-1]

    assert [1, 2, 0] == ranked([0.5, 0.9, 0.9], "max")
    assert (0.9, 0.7) == (last.validation, last.test)
    assert ((0.9, 0.9), (0.7, 0.7)) == (last.interval, last.test_interval)


def test_realised_curve_follows_the_order():
    """The best so far changes only when a later trial is better, its test score with it."""
    curve = realised_curve([3.0, 2.0, 2.0, 5.0], [9.0, 8.0, 7.0, 6.0], "min")

    assert [(3.0, 9.0), (2.0, 8.0), (2.0, 8.0), (2.0, 8.0)] == [
        (b.validation, b.test) for b in curve
    ]
    assert {None} == {b.interval for b in curve}


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        ([], None, "0 trials: expected one or more"),
        ([1.0], [1.0, 2.0], "1 validation scores and 2 test scores: expected as many of both"),
        ([float("nan")], None, "score is nan: expected finite scores"),
        ([1.0], [float("inf")], "score is inf: expected finite scores"),
    ],
)
def test_what_has_no_curve_is_refused(validation, test, message):
    """No trials, unequal lists and non-finite scores are errors in both curves."""
    for curve in (budget_curve, realised_curve):
        with pytest.raises(UsageError, match=message):
            curve(validation, test, "max")
