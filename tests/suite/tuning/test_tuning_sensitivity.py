"""Sensitivity of a score to its hyper-parameters, good regions, and where trials diverge."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from scipy.stats.qmc import Sobol

from normbench.descriptions import Metric
from normbench.parameters import Search, Value
from normbench.tuning.divergence import Share, divergence_along
from normbench.tuning.good import good_region
from normbench.tuning.places import place
from normbench.tuning.sensitivity import LEAST_TRIALS, explained_share, sensitivities
from normbench.tuning.space import Axis, Space
from normbench.tuning.study import Trial

LR = Axis(word="lr", search=Search(scale="log", low=0.001, high=10.0))
MOMENTUM = Axis(word="momentum", search=Search(scale="linear", low=0.0, high=1.0))
KIND = Axis(word="kind", search=Search(scale="choice", choices=("a", None, "b")))
LEVELS = Axis(word="levels", search=Search(scale="choice", choices=(100, 1, 10)))
ACCURACY = Metric(name="test_accuracy", direction="max", worst=0.1, smallest_difference=0.01)
LOSS = Metric(name="test_loss", direction="min", worst=2.3, smallest_difference=0.1)

Score = Callable[[Mapping[str, Value]], float | None]


def trial(number: int, values: Mapping[str, Value], score: float | None) -> Trial:
    """Return a trial with one run, which diverged if it has no score."""
    if score is None:
        return Trial(number=number, values=values, runs={7: "f"}, diverged=frozenset({7}))
    return Trial(number=number, values=values, runs={7: "f"}, scores={7: score})


def sweep(axes: tuple[Axis, ...], count: int, score: Score) -> tuple[Space, list[Trial]]:
    """Return Sobol trials of *axes* with their scores."""
    space = Space(axes)
    points = Sobol(len(space), rng=3).random_base2(10)[:count]
    drawn = [space.at([float(share) for share in point]) for point in points]
    return space, [trial(number, values, score(values)) for number, values in enumerate(drawn, 1)]


def line(*pairs: tuple[float, float | None]) -> list[Trial]:
    """Return trials of one learning rate each, with their scores."""
    return [trial(n, {"lr": rate}, score) for n, (rate, score) in enumerate(pairs, 1)]


def log10(value: Value) -> float:
    """Return the decimal logarithm of a number."""
    assert isinstance(value, float)
    return math.log10(value)


def test_shares_are_those_of_a_known_function():
    """Of y = -2(x-1/2)² + z/5 with noise, both shares are the analytic ones within 0.03."""
    noise = np.random.default_rng(0).normal(scale=0.02, size=1024).tolist()
    space, trials = sweep(
        (LR, MOMENTUM),
        1024,
        lambda v: -2 * ((log10(v["lr"]) + 3) / 4 - 0.5) ** 2 + v["momentum"] / 5 + noise.pop(),
    )
    parts = {"lr": 4 / 180, "momentum": 1 / 300}
    whole = sum(parts.values()) + 0.02**2
    for found in sensitivities(space, trials, ACCURACY):
        assert pytest.approx(parts[found.name] / whole, abs=0.03) == found.share
        assert found.share_interval[0] < found.share < found.share_interval[1]


def test_an_idle_parameter_explains_nothing_on_average():
    """Before it is cut at 0, the share of a noise parameter in 16 trials is 0 on average."""
    generator = np.random.default_rng(5)
    kept = [
        explained_share(generator.random(LEAST_TRIALS), generator.normal(size=LEAST_TRIALS))
        for _ in range(400)
    ]

    assert 0.03 < np.mean(kept) < 0.09
    assert 0.5 < np.mean([share == 0 for share in kept]) < 0.75


def test_interval_of_a_correlation_is_that_of_bonett_and_wright():
    """7 trials with squared rank differences 28: r = 1/2, tanh(atanh(r) ± 1.96·√(1.125 / 4))."""
    ranks = (2, 1, 6, 4, 7, 3, 5)
    trials = line(*((0.01 * n, rank / 10) for n, rank in enumerate(ranks, 1)))
    (found,) = sensitivities(Space((LR,)), trials, ACCURACY)

    # atanh(1/2) = 0.549306; 1.959964 · 0.530330 = 1.039428
    assert pytest.approx(0.5) == found.correlation
    expected = (math.tanh(0.549306 - 1.039428), math.tanh(0.549306 + 1.039428))
    assert pytest.approx(expected, abs=1e-5) == found.correlation_interval
    assert pytest.approx((-0.4543, 0.9199), abs=1e-3) == expected


def test_share_is_the_adjusted_one_of_a_parabola():
    """It equals 1 less residual over total variance of numpy's fit, by degrees of freedom."""
    x = np.linspace(0.0, 1.0, 17)
    y = np.sin(5 * x)
    residual = np.sum((y - np.polyval(np.polyfit(x, y, 2), x)) ** 2) / 14

    assert pytest.approx(1 - residual / np.var(y, ddof=1)) == explained_share(x, y)


def test_interval_of_an_idle_parameter_is_not_inflated_by_resampling():
    """Of noise in 16 trials it ends below 0.5 on average: trials drawn twice do not count."""
    generator = np.random.default_rng(2)
    ends = []
    for _ in range(30):
        drawn, scores = generator.random(16), generator.normal(size=16)
        pairs = zip(drawn, scores, strict=True)
        trials = [trial(i, {"momentum": x}, y) for i, (x, y) in enumerate(pairs)]
        (found,) = sensitivities(Space((MOMENTUM,)), trials, ACCURACY)
        ends.append(found.share_interval[1])

    assert np.mean(ends) < 0.5


def test_interval_covers_the_true_share():
    """In 60 sweeps of 20 trials the 95 % interval holds the true share in at least 52."""
    held = 0
    truth = (1 / 12) / (1 / 12 + 0.04)
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(scale=0.2, size=20).tolist()
        drawn = np.random.default_rng(1000 + seed).random(20)
        trials = [trial(i, {"momentum": x}, x + noise.pop()) for i, x in enumerate(drawn)]
        (found,) = sensitivities(Space((MOMENTUM,)), trials, ACCURACY)
        held += found.share_interval[0] <= truth <= found.share_interval[1]

    assert held >= 52


def test_choices_are_compared_by_their_means():
    """A choice that decides the score explains all of it, has no order, and so no correlation."""
    effect = {"a": 0.5, None: 0.7, "b": 0.6}
    space, trials = sweep((KIND, MOMENTUM), 32, lambda v: effect[v["kind"]])
    kind, momentum = sensitivities(space, trials, ACCURACY)

    assert (pytest.approx(1.0), None) == (kind.share, kind.correlation)
    assert (None,) == kind.good.choices
    assert momentum.share < 0.2


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=5, max_size=30), st.randoms())
def test_correlation_is_spearmans_of_value_and_quality(ranks, random):
    """It equals scipy's on values and scores, with the sign turned where smaller is better."""
    rates = [random.uniform(0.001, 10) for _ in ranks]
    trials = line(*((rate, rank / 10) for rate, rank in zip(rates, ranks, strict=True)))
    (better,) = sensitivities(Space((LR,)), trials, ACCURACY)
    (worse,) = sensitivities(Space((LR,)), trials, LOSS)
    if len(set(ranks)) == 1 or len(set(rates)) == 1:
        assert (None, None) == (better.correlation, worse.correlation)
        return

    expected = spearmanr(rates, ranks).statistic
    assert pytest.approx(expected) == better.correlation
    assert pytest.approx(-expected) == worse.correlation


@pytest.mark.parametrize(
    ("count", "has"),
    [(4, (False, False)), (5, (True, False)), (15, (True, False)), (16, (True, True))],
)
def test_too_few_trials_give_no_number(count, has):
    """A correlation needs five finished trials, a share of variance sixteen."""
    rates = [0.001 * 1.5**i for i in range(count)]
    trials = line(*((rate, rate**0.5) for rate in rates), (9.0, None), (9.5, None))
    (found,) = sensitivities(Space((LR,)), trials, ACCURACY)

    assert count == found.finished
    assert has == (found.correlation is not None, found.share is not None)
    assert has == (found.correlation_interval is not None, found.share_interval is not None)


def test_diverged_trials_are_counted_not_averaged():
    """What a diverged trial would have scored changes neither correlation nor share."""
    rates = [0.001 * 1.5**i for i in range(20)]
    kept = line(*((rate, rate) for rate in rates))
    (alone,) = sensitivities(Space((LR,)), kept, ACCURACY)
    (beside,) = sensitivities(Space((LR,)), [*kept, *line((5.0, None), (6.0, None))], ACCURACY)

    assert (alone.correlation, alone.share, alone.share_interval) == (
        beside.correlation,
        beside.share,
        beside.share_interval,
    )
    assert 2 == sum(region.share.count for region in beside.divergence.regions)


def test_good_region_spans_the_trials_near_the_best():
    """On a log range it ends half-way to the next trials outside, and holds what lies between."""
    trials = line((0.001, 0.5), (0.01, 0.9), (0.1, 0.5), (1.0, 0.905), (10.0, None))
    region = good_region(LR, trials, ACCURACY)

    assert (0.01, 1.0, 2, 3) == (region.low, region.high, region.good, region.trials)
    assert pytest.approx(0.75) == region.share
    assert not region.at_edge


def test_good_region_at_an_edge_says_so():
    """A best trial with none beyond it reaches the edge, and the region the end of the range."""
    region = good_region(LR, line((0.01, 0.5), (1.0, 0.9)), ACCURACY)

    assert region.at_edge
    assert pytest.approx(0.5) == region.share
    assert good_region(LR, line((1.0, None)), ACCURACY) is None


def test_a_score_at_the_limit_is_good():
    """A loss exactly the smallest difference of interest above the best one is good."""
    region = good_region(LR, line((0.01, 0.5), (0.1, 0.3 + 0.1), (1.0, 0.3)), LOSS)

    assert (0.1, 1.0) == (region.low, region.high)


def test_divergence_is_told_by_thirds_and_bounds():
    """Each third of the log range has its count; the bounds are values of trials."""
    trials = line((0.002, 0.5), (0.2, 0.6), (0.4, None), (3.0, 0.5), (9.0, None))
    found = divergence_along(LR, trials)

    assert [(0, 1), (1, 2), (1, 2)] == [(r.share.count, r.share.total) for r in found.regions]
    assert (3.0, 0.4) == (found.largest_finished, found.smallest_diverged)
    assert (0.001, 10.0) == (found.regions[0].low, found.regions[-1].high)


def test_choices_have_a_count_each():
    """Numbers come in ascending order, with bounds; names come as declared, without."""
    numbers = [trial(n, {"levels": v}, s) for n, (v, s) in enumerate([(10, 1.0), (100, None)])]
    names = [trial(n, {"kind": v}, None) for n, v in enumerate(["b", None])]
    levels, kinds = divergence_along(LEVELS, numbers), divergence_along(KIND, names)

    assert [(1, 0, 0), (10, 0, 1), (100, 1, 1)] == [
        (r.low, r.share.count, r.share.total) for r in levels.regions
    ]
    assert (10, 100) == (levels.largest_finished, levels.smallest_diverged)
    assert ["a", None, "b"] == [r.low for r in kinds.regions]
    assert (None, None) == (kinds.largest_finished, kinds.smallest_diverged)


@pytest.mark.parametrize(
    ("count", "total", "interval"),
    [(0, 3, (0.0, 0.7076)), (3, 3, (0.2924, 1.0)), (2, 20, (0.0123, 0.3170)), (0, 0, (0.0, 1.0))],
)
def test_share_has_the_exact_interval(count, total, interval):
    """The ends are those of Clopper and Pearson's tables."""
    assert pytest.approx(interval, abs=1e-4) == Share(count=count, total=total).interval


@pytest.mark.parametrize(
    ("axis", "value", "expected"),
    [(LR, 0.1, 0.5), (MOMENTUM, 0.25, 0.25), (LEVELS, 1, 0.0), (LEVELS, 10, 0.5), (KIND, "b", 1.0)],
)
def test_places_lie_on_the_axis_own_scale(axis, value, expected):
    """A log axis is halved at the geometric mean; numbers to choose from lie evenly, in order."""
    assert pytest.approx(expected) == place(axis, value)
