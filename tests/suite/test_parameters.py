"""Values given as words become typed values, or a message that says what would fit."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench import Parameter, UsageError
from normbench.parameters import changed, checked, rule, rules_of

LR = Parameter(name="lr", kind="float", default=0.1, summary="learning rate", low=0.0)
EPOCHS = Parameter(name="epochs", kind="int", default=5, summary="epochs", low=1, optional=True)
MASK = Parameter(name="sites", kind="ints", default=None, summary="mask", low=0, high=1)
MODE = Parameter(name="mode", kind="str", default="a", summary="mode", choices=("a", "b"))
FLAG = Parameter(name="flag", kind="bool", default=True, summary="flag")


@pytest.mark.parametrize(
    ("parameter", "given_value", "expected"),
    [
        (LR, "1e-3", 0.001),
        (LR, 1, 1.0),
        (EPOCHS, "7", 7),
        (EPOCHS, 7.0, 7),
        (EPOCHS, None, None),
        (MASK, "0,1,1", (0, 1, 1)),
        (MASK, [1, 0], (1, 0)),
        (MASK, 1, (1,)),
        (MODE, "b", "b"),
        (FLAG, "False", False),
        (FLAG, True, True),
    ],
)
def test_value_that_fits_is_returned_in_its_type(parameter, given_value, expected):
    """A value that fits comes back converted, whatever type the command line gave it."""
    value = parameter.check(given_value, "a test")

    assert expected == value
    assert type(expected) is type(value)


@pytest.mark.parametrize(
    ("parameter", "given_value"),
    [
        (LR, "abc"),
        (LR, -1),
        (LR, "nan"),
        (LR, "inf"),
        (LR, True),
        (LR, None),
        (EPOCHS, 0),
        (EPOCHS, 2.5),
        (MASK, "0,2"),
        (MASK, "x"),
        (MODE, "c"),
        (FLAG, "maybe"),
    ],
)
def test_value_that_does_not_fit_is_refused_with_the_range(parameter, given_value):
    """A refusal names the parameter, its owner, what was expected, and the default."""
    with pytest.raises(UsageError) as error:
        parameter.check(given_value, "optimizer sgd")

    message = str(error.value)
    assert message.startswith(f"{parameter.name}=")
    assert "optimizer sgd" in message
    assert parameter.range in message
    default = {None: "null", True: "true"}.get(parameter.default, parameter.default)
    assert f"its default, {default}." in message


@settings(deadline=None, max_examples=50)
@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_every_float_survives_the_command_line(number):
    """A number written out and read back is the same number."""
    assert number == LR.check(repr(number), "a test")


def test_unknown_name_offers_the_nearest():
    """A misspelt parameter is answered with the one that was meant."""
    with pytest.raises(UsageError, match=r"unknown parameter of x 'epoch'.*'epochs'"):
        checked((LR, EPOCHS), {"epoch": 3}, "x")


def test_changed_keeps_what_differs_from_the_defaults():
    """Only values away from their defaults are part of an identity."""
    values = checked((LR, EPOCHS), {"lr": "0.1", "epochs": 6}, "x")

    assert {"epochs": 6} == changed((LR, EPOCHS), values)


def test_dataclass_rules_declare_parameters():
    """A dataclass field made by rule() is also a parameter with its checks."""

    @dataclass(frozen=True)
    class Example:
        size: int = rule(3, "how many", kind="int", low=1)

    (parameter,) = rules_of(Example)

    assert ("size", 3, "how many", 1) == (
        parameter.name,
        parameter.default,
        parameter.summary,
        parameter.low,
    )
