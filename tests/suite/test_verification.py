"""What a test of a precision trains, and what it makes of the results."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import f_oneway

from normbench.descriptions import Metric
from normbench.errors import UsageError
from normbench.planning import resolve_checked
from normbench.plugins import load_catalogue
from normbench.resolve import Request
from normbench.verification import PrecisionTest
from normbench.verification.equivalence import equivalence_test
from normbench.verification.heterogeneity import same_mean_p
from normbench.verification.judging import Arm, Pair, judge
from normbench.verification.plan import plan_test
from normbench.verification.results import read_pairs

METRICS = ("test_accuracy", "test_loss")
METRIC = Metric(name="test_accuracy", direction="max", worst=0.1, smallest_difference=0.005)
CATALOGUE = load_catalogue()
ASKED = PrecisionTest(
    request=Request(problem="digits_cnn_bn", optimizer="adam", protocol="quick"), seeds=12
)


def pairs(shift=0.0, rates=(0.01, 0.03, 0.1), best=0.03):
    """Return groups whose loss differs by *shift* standard deviations, with a *best* rate.

    A tuple of shifts has one for each group.
    """
    shifts = iter(shift if isinstance(shift, tuple) else [shift] * 2 * len(rates))
    rng = np.random.default_rng(0)
    found = []
    for optimizer, rate in ((o, r) for o in ("momentum", "adam") for r in rates):
        base = {m: rng.normal(1.0, 0.1 * rate, 12) for m in METRICS}
        chosen = dict.fromkeys(range(12), 0.9 if rate == best else 0.5 - rate)
        offsets = {"test_accuracy": 0.0, "test_loss": next(shifts)}
        new = {
            m: v + np.std(v, ddof=1) * (offsets[m] + rng.normal(0, 0.1, 12))
            for m, v in base.items()
        }
        arms = [
            Arm(values={m: dict(enumerate(map(float, v))) for m, v in a.items()}, chosen=chosen)
            for a in (new, base)
        ]
        found.append(Pair(optimizer=optimizer, rate=rate, new=arms[0], base=arms[1]))
    return found


@pytest.mark.parametrize(
    ("shift", "word"),
    [(0.0, "equivalent"), (0.49, "no evidence"), (0.9, "different"), (-0.9, "different")],
)
def test_the_margin_is_half_a_standard_deviation_of_the_seeds(shift, word):
    """Groups of very different spread are judged together, each in its own seeds' deviations."""
    found = judge(pairs(shift), METRICS, METRIC)

    assert word == found.word
    assert [72, 72] == [finding.test.n for finding in found.findings]
    assert pytest.approx(shift, abs=0.03) == found.findings[1].test.difference
    assert all(finding.correlation > 0.9 for finding in found.findings)
    assert bool(found.reasons) == (word != "equivalent")


@pytest.mark.parametrize(
    ("shifts", "reason"),
    [
        ((0.8, -0.8) * 3, "differs by more than the margin in 6 of 6 groups"),
        ((0, 0, 0, 0, 0, 0.9), "differs by more than the margin in 1 of 6 groups, most for adam"),
        ((0.1, -0.1, 0.1, -0.1, 0.1, -0.5), "is largest for adam lr=0.1: -0.5"),
        ((0.2, -0.2) * 3, None),
    ],
)
def test_a_mean_over_groups_hides_no_group_beyond_the_margin(shifts, reason):
    """Groups may differ from each other only where each is shown to lie within the margin."""
    found = judge(pairs(shifts), METRICS, METRIC)

    assert found.findings[1].test.equivalent
    assert found.findings[1].groups_p < 0.001
    assert ("no evidence" if reason else "equivalent") == found.word
    assert (reason or "") in "; ".join(found.reasons)


def test_the_analysis_of_variance_is_fishers():
    """p is that of scipy; without spread inside groups it tells equal means from others."""
    groups = [np.array(values) for values in ([1.0, 2, 4], [2.0, 5, 6], [4.0, 4, 9])]

    assert pytest.approx(f_oneway(*groups).pvalue) == same_mean_p(groups, 9.0)
    assert [1.0, 0.0] == [same_mean_p([np.full(3, 0.2), np.full(3, v)], 1.0) for v in (0.2, 0.3)]
    assert same_mean_p(groups[:1], 9.0) is None


def test_the_interval_is_the_two_sided_90_percent_one():
    """1.5 plus or minus t(0.95, 3) s / 2, with t = 2.35336 and s = 1.29099."""
    found = equivalence_test([0, 1, 2, 3], [0, 0, 0, 0], margin=0.5)

    assert pytest.approx((-0.01909, 3.01909), abs=1e-5) == found.interval


@pytest.mark.parametrize(("direction", "best"), [("max", 0.03), ("min", 0.1)])
def test_the_best_rate_is_best_in_the_metrics_direction(direction, best):
    """The smallest loss is best, the largest accuracy."""
    found = judge(pairs(), METRICS, replace(METRIC, direction=direction))

    assert {"momentum": (best, best), "adam": (best, best)} == found.best


@pytest.mark.parametrize(("select", "value"), [("best", 0.9), ("final", 0.7)])
def test_a_run_counts_with_the_point_that_its_protocol_selects(select, value):
    """Test score, loss and the value that a rate is chosen by are all of that point."""
    request = replace(ASKED.request, words=(f"protocol.select={select}",))
    plan = plan_test(replace(ASKED, request=request, seeds=2), CATALOGUE, resolve_checked)
    points = {"best": 0.9, "final": 0.7}
    result = {name: {"test": {"accuracy": v, "loss": v}} for name, v in points.items()}
    run = SimpleNamespace(result=lambda: {"outcome": "finished", **result})
    pair = read_pairs(SimpleNamespace(get=lambda name: run), plan)[0]

    assert [value] * 4 == [v for by_seed in pair.new.values.values() for v in by_seed.values()]
    assert [value] * 2 == list(pair.base.chosen.values())


def test_whatever_else_is_missing_of_a_pass_is_said():
    """A best rate that moves, diverged or missing runs, and seeds without spread are no pass."""
    whole = pairs()
    first = whole[0]
    moved = replace(first, new=replace(first.new, chosen=dict.fromkeys(range(12), 0.95)))
    diverged = replace(first, new=replace(first.new, diverged=[3]))
    missing = replace(first, base=replace(first.base, missing=[3, 4]))
    flat = {**first.base.values, "test_loss": dict.fromkeys(range(12), 1.0)}
    level = replace(first, base=replace(first.base, values=flat))
    for changed, word, reason in (
        (moved, "no evidence", "the best learning rate of momentum moves from 0.03 to 0.01"),
        (diverged, "no evidence", "momentum lr=0.01 is left out, since 1 of its runs diverged"),
        (missing, "incomplete", "2 runs without a result"),
        (level, "no evidence", "test_loss does not vary over seeds for momentum lr=0.01"),
    ):
        found = judge([changed, *whole[1:]], METRICS, METRIC)
        assert word == found.word
        assert reason in "; ".join(found.reasons)


def test_equal_values_are_equivalent_and_called_identical():
    """tf32 and fp32 on a processor are one arithmetic: nothing differs, and that is said."""
    same = [replace(pair, new=pair.base) for pair in pairs()]
    found = judge(same, METRICS, METRIC)

    assert "equivalent" == found.word
    assert [(0.0, 0.0)] * 2 == [(f.test.difference, f.test.p) for f in found.findings]
    assert all(finding.identical for finding in found.findings)


def test_a_full_test_is_two_optimizers_three_rates_and_twelve_seeds():
    """The arms differ in precision alone, and every run is at a tuning seed."""
    test = plan_test(ASKED, CATALOGUE, resolve_checked)

    assert (144, False) == (len({spec.fingerprint for spec in test.runs}), test.small)
    assert {"bf16", "tf32"} == {spec.protocol.rules.precision for spec in test.runs}
    assert all(spec.tuning for spec in test.runs)
    for change in ({"seeds": 11}, {"optimizers": ("adam",)}, {"rates": {"adam": (0.1, 0.2)}}):
        smaller = plan_test(replace(ASKED, **change), CATALOGUE, resolve_checked)
        assert smaller.small
        assert smaller.table == test.table
        assert smaller.id != test.id


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"precision": "tf32"}, "held against itself"),
        ({"seeds": 1}, "expected 2 or more"),
        ({"rates": {"sgd": (0.1,)}}, "no such optimizer"),
        ({"precision": "fp64"}, "fp64"),
        ({"request": replace(ASKED.request, words=("lr=0.1",))}, "Give it by --rates"),
        (
            {"request": replace(ASKED.request, words=("protocol.precision=fp32",))},
            "Give it by --precision and --against",
        ),
    ],
)
def test_what_cannot_be_tested_is_refused(change, said):
    """Each refusal says what to give in its place."""
    with pytest.raises(UsageError, match=said):
        plan_test(replace(ASKED, **change), CATALOGUE, resolve_checked)
