"""How far ours is from a published mean, and what may be said of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from normbench import PublishedResult, Source
from normbench.reproduction.agreement import MEANINGS, Agreement, Gap, agreement, gap


def published(mean: float, **known) -> PublishedResult:
    return PublishedResult(
        problem="p",
        norm="none",
        optimizer="sgd",
        protocol="q",
        metric="test_accuracy",
        mean=mean,
        label="not comparable",
        source=Source(title="a paper"),
        **known,
    )


def test_welch_interval_is_the_one_by_hand():
    """Five seeds each, variance 0.025: t(0.975, 8) = 2.306004, error = sqrt(2·0.025/5) = 0.1."""
    ours = [0.3, 0.4, 0.5, 0.6, 0.7]
    theirs = published(0.4, sd=math.sqrt(0.025), spread="n-1", n=5)
    found = gap(ours, theirs)

    assert found.covers == "both"
    assert pytest.approx(0.1) == found.difference
    assert pytest.approx((0.1 - 0.2306004, 0.1 + 0.2306004), abs=1e-7) == found.interval


def test_interval_without_their_spread_is_ours_alone():
    """Three seeds with variance 0.0001: t(0.975, 2) = 4.302653, error = 0.01 / sqrt(3)."""
    found = gap([0.91, 0.92, 0.93], published(0.90, sd=0.5, n=None))
    half = 4.302653 * 0.01 / math.sqrt(3)

    assert found.covers == "ours"
    assert pytest.approx((0.02 - half, 0.02 + half), abs=1e-7) == found.interval


def test_spread_that_divides_by_n_is_taken_as_such():
    """A spread over n is that over n - 1 times sqrt((n - 1) / n)."""
    ours = [0.1, 0.2, 0.4, 0.5]
    one = gap(ours, published(0.3, sd=0.2, spread="n-1", n=10))
    other = gap(ours, published(0.3, sd=0.2 * math.sqrt(0.9), spread="n", n=10))

    assert pytest.approx(one.interval) == other.interval


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=8, unique=True),
    st.lists(st.floats(0, 1), min_size=2, max_size=8, unique=True),
)
def test_interval_of_two_samples_is_scipys(ours, theirs):
    """Where each of their seeds is known, the interval is that of Welch's test in scipy."""
    mean = math.fsum(theirs) / len(theirs)
    found = gap(ours, published(mean, values=dict(enumerate(theirs)), n=len(theirs)))
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()

    assert pytest.approx(tuple(expected), rel=1e-9, abs=1e-12) == found.interval
    told = published(mean, values=dict(enumerate(theirs)))
    assert (pytest.approx(stats.tstd(theirs)), "n-1") == (told.shown_sd, told.shown_spread)
    assert len(theirs) == told.shown_n
    given = published(mean, sd=0.5, spread="n", n=9)
    assert (0.5, "n", 9) == (given.shown_sd, given.shown_spread, given.shown_n)
    assert (None, None) == (published(mean).shown_sd, published(mean).shown_n)


@pytest.mark.parametrize("ours", [[0.9], [0.9, 0.8], [0.9, 0.9, 0.9]])
def test_few_or_equal_seeds_have_no_interval(ours):
    """Below three seeds, or where none differs, there is a number and no interval."""
    found = gap(ours, published(0.8, sd=0.1, n=5, spread="n-1"))

    assert found.interval is None
    assert agreement(found, 0.005) is Agreement.TOO_FEW


@pytest.mark.parametrize(
    ("difference", "low", "high", "word"),
    [
        (0.001, -0.002, 0.004, Agreement.AGREES),
        (0.001, 0.0005, 0.0015, Agreement.AGREES),
        (0.001, -0.01, 0.012, Agreement.COMPATIBLE),
        (0.02, -0.01, 0.05, Agreement.COMPATIBLE),
        (0.004, 0.001, 0.007, Agreement.CLOSE),
        (0.02, 0.01, 0.03, Agreement.HIGHER),
        (-0.02, -0.03, -0.01, Agreement.LOWER),
    ],
)
def test_words_claim_no_more_than_the_interval(difference, low, high, word):
    """Agreement needs the whole interval, a difference the whole interval on one side of 0."""
    found = Gap(difference=difference, interval=(low, high), covers="both")

    assert word is agreement(found, 0.005)
    assert Agreement.UNSTABLE is agreement(found, 0.005, diverged=True)
    assert agreement(found, 0.0) is not Agreement.AGREES


def test_every_word_has_a_meaning():
    """No word of a table is left unexplained."""
    assert set(Agreement) == MEANINGS.keys()
