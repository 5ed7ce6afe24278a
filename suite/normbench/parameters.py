"""Parameters of components, rules and ablations: what they mean, which values they take."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

from normbench.errors import UsageError, unknown_name

Value = bool | int | float | str | None | tuple["Value", ...]
Kind = Literal["float", "int", "bool", "str", "floats", "ints", "strs"]

_ITEM_KIND: Mapping[str, Kind] = {"floats": "float", "ints": "int", "strs": "str"}


@dataclass(frozen=True, kw_only=True)
class Search:
    """Where a tuner looks for a value.

    Attributes:
        scale: ``log`` and ``linear`` draw from [low, high], ``int`` draws whole numbers from it,
            ``choice`` draws one of *choices*.
        low: Smallest value, inclusive.
        high: Largest value, inclusive.
        choices: The candidates of scale ``choice``.
    """

    scale: Literal["log", "linear", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Value, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One named value that a component takes.

    Attributes:
        name: The word used on the command line, ``NAME=VALUE``.
        kind: The type; ``floats``, ``ints`` and ``strs`` are tuples.
        default: Value when nothing else is said; None is allowed where *optional*.
        summary: One line for ``normbench describe``.
        unit: Unit of the value, empty for pure numbers.
        low: Smallest value allowed, inclusive.
        high: Largest value allowed, inclusive.
        choices: If given, the only values allowed.
        optional: Whether None (``null`` on the command line) is a value.
        search: Where a tuner looks; None if the parameter is not tuned.
    """

    name: str
    kind: Kind
    default: Value
    summary: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[Value, ...] = ()
    optional: bool = False
    search: Search | None = None

    def check(self, value: object, owner: str) -> Value:
        """Return *value* as this parameter's type.

        Args:
            value: What was given.
            owner: What the parameter belongs to, for the message, such as ``optimizer sgd``.

        Raises:
            UsageError: If the value has the wrong type or lies outside the range.
        """
        if value is None:
            if self.optional:
                return None
            raise self._refuse(value, owner)
        if self.kind in _ITEM_KIND:
            items = value if isinstance(value, list | tuple) else self._split(value)
            return tuple(self._check_item(item, _ITEM_KIND[self.kind], owner) for item in items)
        return self._check_item(value, self.kind, owner)

    @property
    def range(self) -> str:
        """The allowed values in words, for messages and tables."""
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        null = ", or null" if self.optional else ""
        return f"{_KIND_WORDS[self.kind]}{self._bounds}{null}"

    @property
    def _bounds(self) -> str:
        if self.low is None:
            return "" if self.high is None else f", at most {self.high:g}"
        if self.high is None:
            return f", at least {self.low:g}"
        return f" in [{self.low:g}, {self.high:g}]"

    def _split(self, value: object) -> list[object]:
        return list(str(value).split(",")) if isinstance(value, str) and value else [value]

    def _check_item(self, value: object, kind: Kind, owner: str) -> Value:
        converted: Value = _convert(value, kind)
        if converted is _UNFIT or not self._allows(converted):
            raise self._refuse(value, owner)
        return converted

    def _allows(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if isinstance(value, bool | str):
            return True
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def _refuse(self, value: object, owner: str) -> UsageError:
        return UsageError(
            f"{self.name}={typed(value)} does not fit {owner}: expected {self.range}. "
            f"Give another value, or leave {self.name} out for its default, {typed(self.default)}."
        )


def typed(value: object) -> str:
    """Return *value* as it would be typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(typed(item) for item in value)
    return str(value)


_KIND_WORDS: Mapping[Kind, str] = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "str": "a word",
    "floats": "numbers separated by commas",
    "ints": "whole numbers separated by commas",
    "strs": "words separated by commas",
}
_UNFIT: Any = object()
_BOOLEANS = {"true": True, "false": False}


def _convert(value: object, kind: Kind) -> Any:
    """Return *value* as *kind*, or ``_UNFIT``; a bool is never a number, NaN never a value."""
    if kind == "bool":
        return value if isinstance(value, bool) else _BOOLEANS.get(str(value).lower(), _UNFIT)
    if kind == "str":
        return str(value)
    if isinstance(value, bool):
        return _UNFIT
    try:
        number = float(str(value))
    except ValueError:
        return _UNFIT
    if not math.isfinite(number):
        return _UNFIT
    if kind == "float":
        return number
    return int(number) if number == int(number) else _UNFIT


def defaults(parameters: tuple[Parameter, ...]) -> dict[str, Value]:
    """Return every parameter's default by name."""
    return {parameter.name: parameter.default for parameter in parameters}


def checked(
    parameters: tuple[Parameter, ...], given: Mapping[str, object], owner: str
) -> dict[str, Value]:
    """Return all parameters by name, those *given* checked, the others at their defaults.

    Raises:
        UsageError: If a name is unknown or a value does not fit.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values = defaults(parameters)
    for name, value in given.items():
        if name not in known:
            raise unknown_name(f"parameter of {owner}", name, known)
        values[name] = known[name].check(value, owner)
    return values


def changed(parameters: tuple[Parameter, ...], values: Mapping[str, Value]) -> dict[str, Value]:
    """Return those of *values* that differ from the parameters' defaults."""
    base = defaults(parameters)
    return {name: value for name, value in values.items() if value != base[name]}


def rule(default: Value, summary: str, **details: Any) -> Any:
    """Declare a dataclass field together with its :class:`Parameter`.

    The name, and the kind where *details* has none, are taken from the class by :func:`rules_of`.
    """
    return dataclasses.field(default=default, metadata={"summary": summary, **details})


@cache
def rules_of(rules: type) -> tuple[Parameter, ...]:
    """Return the parameters that the fields of a dataclass of :func:`rule` fields declare."""
    return tuple(
        Parameter(name=field.name, default=cast(Value, field.default), **field.metadata)
        for field in dataclasses.fields(rules)
        if "summary" in field.metadata
    )
