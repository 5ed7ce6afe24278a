"""The paired t-test, by a published example, scipy's own test, and what it refuses."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from normbench import UsageError, paired_t_test

# The example of Revisiting Batch Normalization Initialization's README.
NEW = (91.7, 93.4, 92.2, 90.0, 91.9)
BASE = (91.0, 92.7, 92.2, 90.1, 91.5)

scores = st.floats(-100, 100).map(lambda score: round(score, 3))
few_examples = settings(max_examples=50, deadline=None)


def test_published_example():
    """Statistic and p of the example are those of the source's code, and not significant."""
    result = paired_t_test(NEW, BASE)

    assert 5 == result.n
    assert 4 == result.degrees_of_freedom
    assert pytest.approx(0.34) == result.mean_difference
    assert pytest.approx(2.0104621463629, rel=1e-12) == result.t
    assert pytest.approx(0.0573692281772761, rel=1e-12) == result.p


@few_examples
@given(st.lists(st.tuples(scores, scores), min_size=2, max_size=20))
def test_equals_scipy(pairs):
    """Statistic, p and interval are those of scipy's paired test."""
    new, base = zip(*pairs, strict=True)
    differences = [one - other for one, other in pairs]
    if max(differences) - min(differences) < 1e-3:
        return

    result = paired_t_test(new, base)

    expected = ttest_rel(new, base, alternative="greater")
    interval = ttest_rel(new, base).confidence_interval(0.95)
    assert pytest.approx((expected.statistic, expected.pvalue), rel=1e-9, abs=1e-12) == (
        result.t,
        result.p,
    )
    assert pytest.approx((interval.low, interval.high), rel=1e-9, abs=1e-9) == result.interval


def test_swapping_the_methods_mirrors_the_result():
    """The difference and t change sign, and the two p add up to 1."""
    there, back = paired_t_test(NEW, BASE), paired_t_test(BASE, NEW)

    assert pytest.approx(-there.mean_difference) == back.mean_difference
    assert pytest.approx(-there.t) == back.t
    assert pytest.approx(1.0) == there.p + back.p


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (NEW, "p = 0.05737: no evidence at the 5 % level that new is larger"),
        ((92.7, 94.4, 93.2, 91.0, 92.9), "new is larger, significant at the 5 % level"),
    ],
)
def test_says_the_verdict_in_words(new, verdict):
    """The printed result ends in what it means."""
    assert str(paired_t_test(new, BASE)).endswith(verdict)


def test_prints_all_its_numbers():
    """The printed result has the difference, its interval, the pairs, t and p."""
    assert (
        "new - base = 0.34 on average over 5 pairs (95 % interval -0.1295 to 0.8095); t = 2.01 "
        "with 4 degrees of freedom, one-sided p = 0.05737: "
        "no evidence at the 5 % level that new is larger"
    ) == str(paired_t_test(NEW, BASE))


def test_result_is_a_plain_value():
    """A result compares equal to its copy and cannot be changed."""
    result = paired_t_test(NEW, BASE)

    assert result == pickle.loads(pickle.dumps(result))  # noqa: S301
    with pytest.raises(AttributeError):
        result.p = 0.0


@pytest.mark.parametrize(
    ("new", "base", "message"),
    [
        ((1.0, 2.0), (1.0,), "2 new scores and 1 base scores: expected as many of both"),
        ((1.0,), (2.0,), "1 pairs: expected two or more"),
        ((), (), "0 pairs: expected two or more"),
        ((1.0, float("nan")), (1.0, 2.0), r"new\[1\]=nan: expected finite scores"),
        ((1.0, 2.0), (float("inf"), 2.0), r"base\[0\]=inf: expected finite scores"),
        ((91.7, 93.4), (91.6, 93.3), "2 pairs that all differ by 0.1"),
        ((3.0, 3.0, 3.0), (3.0, 3.0, 3.0), "3 pairs that all differ by 0"),
        ((0.1, 0.2, 0.3), (1000.2, 1000.3, 1000.4), "3 pairs that all differ by -1000.1"),
    ],
)
def test_what_cannot_be_tested_is_refused(new, base, message):
    """Unequal lengths, fewer than two pairs, non-finite scores and no spread are errors."""
    with pytest.raises(UsageError, match=message):
        paired_t_test(new, base)
