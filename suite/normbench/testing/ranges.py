"""Checks of what a component says of itself, and the values to try its parameters with."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from normbench.descriptions import Component
from normbench.errors import UsageError
from normbench.parameters import Parameter, Value, defaults
from normbench.testing.checking import ContractError, require

_NAME = re.compile(r"[a-z][a-z0-9_]*(:[a-z][a-z0-9_]*)?")
# Neither 1 nor a power of two, and larger than what is counted in the networks here.
_ODD_INTEGERS = (7, 1000)
_BELOW = (-1, 0)


def describes_itself(component: Component) -> None:
    """A description has a name to type, a summary, and parameters whose defaults they allow."""
    require(
        _NAME.fullmatch(component.name),
        f"the name is {component.name!r}.",
        "lower-case letters, digits and underscores.",
        "rename it: users type it on the command line.",
    )
    require(
        component.summary.strip() and "\n" not in component.summary,
        f"the summary is {component.summary!r}.",
        "one line, which `normbench list` shows.",
        "say in a line what it does.",
    )
    for parameter in component.parameters:
        for value in _declared(parameter):
            _check_declared(parameter, value)


def takes_its_parameters(component: Component) -> None:
    """The factory takes every described parameter as a keyword."""
    values = defaults(component.parameters)
    factory = component.load()
    try:
        inspect.signature(factory).bind(None, **values)
    except TypeError as error:
        raise ContractError(
            f"the factory {getattr(factory, '__name__', factory)} cannot be called with the "
            f"described parameters {', '.join(values) or '(none)'}: {error}.",
            f"a {component.kind}'s factory takes one argument and each described parameter by "
            "name.",
            "make the factory's keywords and the description's parameters the same.",
        ) from error


def values_to_try(parameter: Parameter) -> Iterator[Value]:
    """Yield values that the description allows and a user might give.

    The ends of the range, every choice and, where an end is open, what lies beyond common sense.
    """
    if parameter.choices:
        yield from parameter.choices
    elif parameter.kind == "bool":
        yield from (True, False)
    elif parameter.kind in ("int", "float"):
        yield from _numbers(parameter)
    if parameter.optional:
        yield None


def _numbers(parameter: Parameter) -> Iterator[Value]:
    ends = [end for end in (parameter.low, parameter.high) if end is not None]
    below = _BELOW if parameter.low is None else ()
    odd = _ODD_INTEGERS if parameter.kind == "int" else ()
    for value in (*ends, *below, *odd):
        try:
            yield parameter.check(value, "")
        except UsageError:
            continue


def range_to_add(parameter: Parameter, value: Value) -> str:
    """Return what an author does about a *value* that is allowed but does not work."""
    return (
        f"give Parameter {parameter.name!r} a low= or high= that leaves {value} out, or let the "
        "factory raise normbench.UsageError."
    )


def _declared(parameter: Parameter) -> list[Value]:
    """Return the values that the description itself names."""
    search = parameter.search
    if search is None:
        return [parameter.default]
    ends: tuple[Value, ...] = search.choices or (search.low, search.high)
    return [parameter.default, *ends]


def _check_declared(parameter: Parameter, value: Any) -> None:
    try:
        fits = parameter.check(value, "its own range") == value
    except UsageError:
        fits = False
    require(
        fits,
        f"parameter {parameter.name!r} has {value} as its default or in its search space, but "
        f"allows only {parameter.range}.",
        "defaults and search spaces that the range allows.",
        "widen the range, or change the value.",
    )
