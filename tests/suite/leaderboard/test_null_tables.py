"""False and true verdicts by simulation, with a fixed generator; see null_tables.py."""

from __future__ import annotations

import json
import subprocess
import sys
from math import sqrt
from pathlib import Path

import pytest

TABLES = 400
SCRIPT = Path(__file__).with_name("null_tables.py")


@pytest.fixture(scope="module")
def rates() -> dict[str, dict[str, float]]:
    """Return the rates of all small simulations."""
    words = [sys.executable, str(SCRIPT), str(TABLES), "--small"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=100)
    return json.loads(done.stdout)


def error(rate: float) -> float:
    """Return three standard deviations of the rate seen where *rate* is the true one."""
    return 3 * sqrt(rate * (1 - rate) / TABLES)


@pytest.mark.parametrize("case", ["normal 5", "normal 10", "until decided"])
def test_any_false_better_is_as_rare_as_said(rates, case):
    """At most 5 % of the tables ever hold a false `better`, also where seeds come in stages."""
    assert rates[case]["better"] <= 0.05 + error(0.05)


def test_correction_is_what_keeps_it_rare(rates):
    """Without correction, far more tables hold a p below 5 %."""
    assert rates["uncorrected"]["any p"] > 0.15


def test_detectable_difference_is_found_as_often_as_stated(rates):
    """A rival better by the stated difference is found with probability 0.8 at least."""
    assert rates["power"]["found"] >= 0.8 - error(0.8)
    assert rates["power"]["found"] <= 0.9


def test_difference_of_interest_is_rarely_called_equivalent(rates):
    """Where the difference is just the smallest of interest, `equivalent` is false: 5 % at most."""
    assert rates["equivalence"]["equivalent"] <= 0.05 + error(0.05)


def test_stages_do_not_make_false_equivalence_more_likely(rates):
    """Nor where a row is looked at until it is decided; and some are found, so looks are made."""
    found = rates["at the margin"]

    assert 0 < found["equivalent"] <= 0.05 + error(0.05)
    assert 5 < found["seeds of a row"] < 20
