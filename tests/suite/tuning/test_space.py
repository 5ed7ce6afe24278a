"""The space of a study: words of --search, values on their scale, edges."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench import Parameter, Search, UsageError
from normbench.parameters import typed
from normbench.tuning.edges import edges
from normbench.tuning.words import make_space

PARAMETERS = {
    parameter.name: parameter
    for parameter in (
        Parameter(
            name="lr",
            kind="float",
            default=0.1,
            summary="",
            low=0.0,
            search=Search(scale="log", low=0.001, high=10.0),
        ),
        Parameter(name="momentum", kind="float", default=0.9, summary="", low=0.0, high=1.0),
        Parameter(name="steps", kind="int", default=5, summary="", low=1),
        Parameter(name="nesterov", kind="bool", default=False, summary=""),
        Parameter(name="mode", kind="str", default="a", summary="", choices=("a", "b")),
        Parameter(name="dims", kind="ints", default=(0,), summary=""),
    )
}
SHARES = st.floats(0.0, 1.0, exclude_max=True)


def space(*search, fixed=()):
    """Return the space that words of --search make."""
    return make_space(PARAMETERS, search, fixed, "optimizer x")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((), "lr=log:0.001:10"),
        (("lr=log:0.01:1",), "lr=log:0.01:1"),
        (("steps=int:1:20", "lr=none"), "steps=int:1:20"),
        (("momentum=choice:0.5,0.99",), "lr=log:0.001:10 momentum=choice:0.5,0.99"),
        (("lr=grid:0.1,0.01,0.1",), "lr=choice:0.01,0.1"),
        (("lr=none", "mode=choice:b,a"), "mode=choice:b,a"),
        (("lr=none", "nesterov=choice:true,false"), "nesterov=choice:true,false"),
    ],
)
def test_words_change_the_space(words, shown):
    """A word replaces, adds or removes an axis; levels of a grid are put in order."""
    assert shown == str(space(*words))


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("lr", "expected NAME=FORM"),
        ("lr=flat:0:1", "expected NAME=FORM"),
        ("lr=none:1", "expected NAME=FORM"),
        ("lrr=log:1:2", "Did you mean 'lr'"),
        ("lr=log:0:1", "above 0"),
        ("lr=log:1:1", "is empty"),
        ("lr=log:2:1", "is empty"),
        ("lr=log:1:inf", "is empty"),
        ("lr=log:1", "two numbers"),
        ("lr=linear:-1:1", "at least 0"),
        ("momentum=linear:0:1.5", r"in \[0, 1\]"),
        ("steps=log:1:10", "int:LOW:HIGH"),
        ("steps=int:1.5:3", "whole numbers"),
        ("mode=linear:0:1", "choice:A,B,C"),
        ("mode=choice:a,c", "one of a, b"),
        ("mode=grid:a,b", "numbers as levels"),
        ("lr=choice:,", "is empty"),
        ("lr=choice:0.1,0.10", "single value is a word: lr=0.1"),
        ("steps=grid:3", "single value is a word: steps=3"),
        ("dims=choice:1,2", "takes lists"),
    ],
)
def test_wrong_search_is_refused(word, complaint):
    """The message says what was given and what would fit."""
    with pytest.raises(UsageError, match=complaint):
        space(word)


def test_contradictions_are_refused():
    """A word is given once, a searched parameter is not fixed, and something is searched."""
    with pytest.raises(UsageError, match="given twice"):
        space("lr=log:1:2", "lr=none")
    with pytest.raises(UsageError, match="contradict"):
        space("lr=log:1:2", fixed=["lr"])
    with pytest.raises(UsageError, match="nothing is left to search"):
        space(fixed=["lr"])


def test_order_of_words_has_no_effect():
    """Axes are in the order of their words, so paired studies draw the same points."""
    words = ["momentum=linear:0:1", "steps=int:1:9", "mode=choice:a,b"]

    assert space(*words) == space(*reversed(words))


@given(SHARES, st.floats(1e-9, 1e3), st.floats(1.001, 1e6))
@settings(max_examples=60, deadline=None)
def test_log_values_lie_on_a_log_scale(share, low, factor):
    """low·(high/low)^u up to rounding, within the range, and short when typed."""
    axis = space(f"lr=log:{low!r}:{low * factor!r}")["lr"]
    value = axis.at(share)

    assert axis.search.low <= value <= axis.search.high
    assert math.isclose(low * factor**share, value, rel_tol=1e-3)
    assert value in (float(f"{value:.4g}"), axis.search.low, axis.search.high)
    assert PARAMETERS["lr"].check(typed(value), "x") == value


@given(SHARES, st.floats(0, 0.9), st.floats(1e-4, 0.1))
@settings(max_examples=60, deadline=None)
def test_linear_values_lie_on_a_linear_scale(share, low, width):
    """low + u·(high - low) up to a thousandth of the range, and within it."""
    axis = space(f"momentum=linear:{low!r}:{low + width!r}")["momentum"]
    value = axis.at(share)

    assert axis.search.low <= value <= axis.search.high
    assert abs(value - (low + share * width)) <= width * 1e-3 + 1e-15


@given(SHARES)
@settings(max_examples=40, deadline=None)
def test_whole_numbers_and_choices_have_equal_shares(share):
    """Of n whole numbers or choices, u gives the one of index floor(u·n)."""
    made = space("lr=none", "steps=int:3:7", "mode=choice:b,a")

    assert 3 + int(share * 5) == made["steps"].at(share)
    assert "ba"[int(share * 2)] == made["mode"].at(share)


def test_levels_reach_from_end_to_end():
    """A range has evenly spaced levels on its scale; whole numbers no more than there are."""
    made = space("momentum=linear:0:0.9", "steps=int:1:3")

    assert [0.001, 0.1, 10.0] == made["lr"].levels(3)
    assert [0.0, 0.45, 0.9] == made["momentum"].levels(3)
    assert [1, 2, 3] == made["steps"].levels(9)


@pytest.mark.parametrize(
    ("search", "value", "side", "wider"),
    [
        ("lr=log:0.001:10", 0.0025, "lower", "lr=log:1e-05:10"),
        ("lr=log:0.001:10", 0.0026, None, None),
        ("lr=log:0.001:10", 3.99, "upper", "lr=log:0.001:1000"),
        ("momentum=linear:0.2:0.8", 0.79, "upper", "momentum=linear:0.2:1"),
        ("momentum=linear:0:1", 0.99, None, None),
        ("steps=int:1:20", 20, "upper", "steps=int:1:30"),
        ("steps=int:1:20", 1, None, None),
        ("steps=choice:2,4,8", 8, "upper", "steps=choice:2,4,8,16"),
        ("steps=choice:2,4,8", 4, None, None),
        ("steps=choice:2,4", 4, None, None),
        ("lr=grid:0.001,0.01,0.1", 0.001, "lower", "lr=choice:0.0001,0.001,0.01,0.1"),
        ("momentum=choice:0,0.5,0.9", 0.0, None, None),
        ("mode=choice:a,b", "a", None, None),
    ],
)
def test_edges_of_the_space(search, value, side, wider):
    """The outer tenth or the last of three levels is an edge, unless nothing lies beyond it."""
    word = search.partition("=")[0]
    made = space(*(["lr=none"] if word != "lr" else []), search)
    found = edges(made, {word: value})

    assert ([] if side is None else [(side, wider)]) == [(e.side, e.wider) for e in found]
