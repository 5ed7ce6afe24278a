"""What a test of a precision trains, and what it makes of the results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from normbench.descriptions import Metric
from normbench.errors import UsageError
from normbench.planning import resolve_checked
from normbench.plugins import load_catalogue
from normbench.resolve import Request
from normbench.verification import PrecisionTest
from normbench.verification.judging import Arm, Pair, judge
from normbench.verification.plan import plan_test

METRICS = ("test_accuracy", "test_loss")
METRIC = Metric(name="test_accuracy", direction="max", worst=0.1, smallest_difference=0.005)
CATALOGUE = load_catalogue()
ASKED = PrecisionTest(
    request=Request(problem="digits_cnn_bn", optimizer="adam", protocol="quick"), seeds=12
)


def pairs(shift=0.0, rates=(0.01, 0.03, 0.1), best=0.03):
    """Return groups whose loss differs by *shift* standard deviations, with a *best* rate."""
    rng = np.random.default_rng(0)
    found = []
    for optimizer, rate in ((o, r) for o in ("momentum", "adam") for r in rates):
        base = {m: rng.normal(1.0, 0.1 * rate, 12) for m in METRICS}
        chosen = dict.fromkeys(range(12), 0.9 if rate == best else 0.5)
        offsets = {"test_accuracy": 0.0, "test_loss": shift}
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
    ("shift", "word"), [(0.0, "equivalent"), (0.49, "no evidence"), (0.9, "different")]
)
def test_the_margin_is_half_a_standard_deviation_of_the_seeds(shift, word):
    """Groups of very different spread are judged together, each in its own seeds' deviations."""
    found = judge(pairs(shift), METRICS, METRIC)

    assert word == found.word
    assert [72, 72] == [finding.test.n for finding in found.findings]
    assert pytest.approx(shift, abs=0.03) == found.findings[1].test.difference
    assert all(finding.correlation > 0.9 for finding in found.findings)
    assert bool(found.reasons) == (word != "equivalent")


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
