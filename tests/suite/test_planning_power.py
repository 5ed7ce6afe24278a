"""Power of the paired t-test, against published values and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from normbench import UsageError
from normbench.power import detectable_effect, paired_power, pairs_needed


@pytest.mark.parametrize(
    ("effect", "pairs"),
    # One-sided, 5 %, power 0.8: G*Power 3.1 and statsmodels' TTestPower give these.
    [(0.2, 156), (0.5, 27), (0.8, 12), (1.0, 8)],
)
def test_pairs_needed_are_the_known_ones(effect, pairs):
    """The least number of pairs is that of the usual tables, and one fewer is too few."""
    assert pairs == pairs_needed(effect)
    assert paired_power(pairs, effect) >= 0.8 > paired_power(pairs - 1, effect)


@pytest.mark.parametrize(("pairs", "comparisons"), [(3, 1), (5, 4), (10, 9)])
def test_power_agrees_with_simulation(pairs, comparisons):
    """The share of simulated experiments that find the effect is the power, to its own error."""
    effect = detectable_effect(pairs, comparisons=comparisons)
    draws = np.random.default_rng(0).normal(effect, 1.0, (40_000, pairs))
    t = draws.mean(1) / draws.std(1, ddof=1) * math.sqrt(pairs)
    found = (stats.t.sf(t, pairs - 1) <= 0.05 / comparisons).mean()

    assert 0.8 == pytest.approx(found, abs=0.008)


@pytest.mark.parametrize(("pairs", "comparisons"), [(2, 1), (2, 200), (5, 34), (1000, 200)])
def test_power_agrees_with_integration(pairs, comparisons):
    """The noncentral t holds at extremes too: the normal given the variance, averaged over it."""
    effect, freedom = detectable_effect(pairs, comparisons=comparisons), pairs - 1
    critical = stats.t.isf(0.05 / comparisons, freedom)
    shares = (np.arange(200_000) + 0.5) / 200_000
    scale = np.sqrt(stats.chi2.ppf(shares, freedom) / freedom)

    expected = stats.norm.cdf(effect * math.sqrt(pairs) - critical * scale).mean()
    assert expected == pytest.approx(0.8, abs=1e-4)


def test_without_an_effect_the_power_is_the_level():
    """Where there is no difference, the test finds one at its level."""
    assert 0.05 == pytest.approx(paired_power(7, 0.0))
    assert 0.01 == pytest.approx(paired_power(7, 0.0, comparisons=5))


def test_what_no_plan_reaches_has_no_number():
    """Effects beyond a hundred thousand pairs, and none at all, need no number of seeds."""
    assert pairs_needed(0.001) is None
    assert pairs_needed(0.0) is None


def test_too_few_pairs_are_refused():
    """One pair has no spread, so it has no test."""
    with pytest.raises(UsageError, match="received 1 pairs"):
        detectable_effect(1)
