"""Pre-drawn trials: extension, independence, marginals; and grids."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats.qmc import Sobol

from normbench import Metric, Search, UsageError
from normbench.tuning.methods import METHODS, find_method
from normbench.tuning.space import Axis, Space
from normbench.tuning.study import Trial

METRIC = Metric(name="test_accuracy", direction="max", worst=0.1, smallest_difference=0.01)
LOG = Axis(word="lr", search=Search(scale="log", low=0.001, high=10.0))
LINEAR = Axis(word="momentum", search=Search(scale="linear", low=0.0, high=0.99))
WHOLE = Axis(word="steps", search=Search(scale="int", low=1, high=3))
CHOICE = Axis(word="norm.num_groups", search=Search(scale="choice", choices=(2, 4, 8)))
SPACE = Space((LOG, LINEAR, WHOLE, CHOICE))


def draw(budget, space=SPACE, method="sobol", trials=(), seed=0):
    """Return what a method proposes."""
    propose = METHODS[method].load()
    return propose(space, metric=METRIC, trials=trials, budget=budget, draw_seed=seed)


def as_trials(drawn):
    """Return drawn values as trials without results."""
    return [Trial(number=number, values=values) for number, values in enumerate(drawn, 1)]


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_larger_budget_extends_a_smaller_one(one, other, seed):
    """The first trials of the larger budget are those of the smaller, bit for bit."""
    small, large = sorted((one, other))

    assert draw(small, seed=seed) == draw(large, seed=seed)[:small]


@given(st.integers(1, 40), st.data())
@settings(max_examples=25, deadline=None)
def test_trials_before_have_no_effect_on_the_next(budget, data):
    """Whatever was trained already and how it ended, the rest of the list is the same."""
    done = data.draw(st.integers(0, budget - 1))
    whole = draw(budget)

    assert whole[done:] == draw(budget, trials=as_trials(whole[:done]))


def test_draw_seed_and_number_of_axes_alone_decide():
    """The same space gives the same points to every cell; another draw seed gives others."""
    renamed = Space(tuple(Axis(word=a.word + "_", search=a.search) for a in SPACE))

    assert [list(t.values()) for t in draw(9)] == [list(t.values()) for t in draw(9, renamed)]
    assert draw(9) != draw(9, seed=1)


def test_values_are_those_of_the_first_release():
    """The points of draw seed 0 never change: known settings name them by number."""
    assert [0.04363, 1.034, 0.1737, 0.004109] == [t["lr"] for t in draw(4, Space((LOG,)))]


@pytest.mark.parametrize("seed", range(3))
def test_marginals_are_uniform_on_their_scale(seed):
    """Of 2^k points each of 2^k slices holds one, on the log and on the linear scale."""
    drawn = draw(64, seed=seed)
    logs = [math.log(t["lr"] / 0.001) / math.log(10 / 0.001) for t in drawn]
    shares = [t["momentum"] / 0.99 for t in drawn]
    # Rounding to four digits may move a point across the border of a fine slice.
    for values in (logs, shares):
        counts = [sum(i <= 8 * value < i + 1 for value in values) for i in range(8)]
        assert all(7 <= count <= 9 for count in counts), counts
    assert [1, 2, 3] == sorted({t["steps"] for t in drawn})
    assert [2, 4, 8] == sorted({t["norm.num_groups"] for t in drawn})


@pytest.mark.parametrize("seed", range(3))
def test_no_setting_is_drawn_twice(seed):
    """A budget of all settings draws each once, and smaller budgets are the first of them."""
    few = Space((WHOLE, CHOICE))
    whole = draw(9, few, seed=seed)

    assert {(steps, groups) for steps in (1, 2, 3) for groups in (2, 4, 8)} == {
        (values["steps"], values["norm.num_groups"]) for values in whole
    }
    for budget in range(1, 9):
        assert whole[:budget] == draw(budget, few, seed=seed)
        assert whole[budget:] == draw(9, few, trials=as_trials(whole[:budget]), seed=seed)


def test_repeated_points_are_passed_over_in_the_order_of_the_sequence():
    """Trials are the settings of the plain sequence, each where it comes first."""
    points = Sobol(2, scramble=True, rng=0).random_base2(6)
    settings_met = [Space((WHOLE, CHOICE)).at(point) for point in points]
    first = [each for i, each in enumerate(settings_met) if each not in settings_met[:i]]

    assert first[:7] == draw(7, Space((WHOLE, CHOICE)))
    assert first[:7] != settings_met[:7]


def test_rounded_values_run_out(monkeypatch):
    """A range has as many settings as its values have short forms; more are refused."""
    monkeypatch.setattr("normbench.tuning.sobol._MOST_DOUBLINGS", 14)
    unit = Space((Axis(word="x", search=Search(scale="linear", low=0.0, high=1.0)),))
    assert 1001 == len({values["x"] for values in draw(1001, unit)})

    with pytest.raises(UsageError, match=r"--trials 1002: .* only 1001 different settings"):
        draw(1002, unit)


def test_grid_is_every_combination():
    """Choices as they are, ranges at as many levels as the budget leaves, in a fixed order."""
    drawn = draw(6, Space((LOG, CHOICE)), "grid")

    assert 6 == len({tuple(values.values()) for values in drawn})
    assert {(lr, groups) for lr in (0.001, 10.0) for groups in (2, 4, 8)} == {
        (values["lr"], values["norm.num_groups"]) for values in drawn
    }
    assert drawn[2:] == draw(6, Space((LOG, CHOICE)), "grid", as_trials(drawn[:2]))


@pytest.mark.parametrize(
    ("space", "budget", "possible"),
    [
        (Space((LOG, CHOICE)), 7, "expected 6, 9, 12, 15, 18 or more"),
        (Space((LOG, CHOICE)), 3, "expected 6, 9, 12, 15, 18 or more"),
        (Space((CHOICE,)), 4, "expected 3. Give"),
        (Space((WHOLE,)), 5, "expected one of 2, 3"),
    ],
)
def test_impossible_grid_says_which_are_possible(space, budget, possible):
    """The message lists the budgets that make a grid."""
    with pytest.raises(UsageError, match=possible):
        draw(budget, space, "grid")


def test_unknown_method_is_told_the_known_ones():
    """A misspelt method gets the nearest name."""
    with pytest.raises(UsageError, match="Did you mean 'sobol'"):
        find_method("sobel")
