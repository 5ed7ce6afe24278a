"""Fields of JSON files that somebody may have changed, each read as what it is meant to be.

A word is no number, and neither is ``true``; a date is one that a calendar has. Every function
raises :class:`ValueError` where a field is missing or something else, and says which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LATEST = 1e11
_NONE: Any = object()


def text_in(content: Mapping[str, Any], name: str, default: str = _NONE) -> str:
    """Return the text *name*; the *default*, if there is one, where it is missing."""
    value = _value(content, name, default)
    if not isinstance(value, str):
        raise _wrong(name, value, "a text")
    return value


def flag_in(content: Mapping[str, Any], name: str, *, default: bool = _NONE) -> bool:
    """Return the truth value *name*; the *default*, if there is one, where it is missing."""
    value = _value(content, name, default)
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def number_in(
    content: Mapping[str, Any], name: str, least: float = -math.inf, most: float = math.inf
) -> float:
    """Return the finite number *name*, from *least* to *most*."""
    value = _value(content, name)
    if not _is_number(value) or not least <= value <= most:
        between = f" from {least:g} to {most:g}" if math.isfinite(least) else ""
        raise _wrong(name, value, f"a finite number{between}")
    return float(value)


def moment_in(content: Mapping[str, Any], name: str) -> float:
    """Return the time *name* in Unix seconds."""
    return number_in(content, name, 0.0, LATEST)


def count_in(content: Mapping[str, Any], name: str, least: int = 0) -> int:
    """Return the whole number *name*, *least* or more."""
    value = _value(content, name)
    if not _is_count(value, least):
        raise _wrong(name, value, f"a whole number from {least} on")
    return int(value)


def counts_in(content: Mapping[str, Any], name: str, least: int = 0) -> tuple[int, ...]:
    """Return the list *name* of whole numbers, *least* or more."""
    values = _list(content, name)
    if not all(_is_count(value, least) for value in values):
        raise _wrong(name, values, f"whole numbers from {least} on")
    return tuple(values)


def texts_in(content: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the list *name* of texts."""
    values = tuple(_list(content, name))
    if not all(isinstance(value, str) for value in values):
        raise _wrong(name, values, "texts")
    return values


def ends_in(content: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    """Return the interval *name*; None where it is null."""
    if _value(content, name) is None:
        return None
    values = _list(content, name)
    if len(values) != 2 or not all(map(_is_number, values)):
        raise _wrong(name, values, "two finite numbers, or null")
    return float(values[0]), float(values[1])


def _is_number(value: object) -> bool:
    # Larger whole numbers are no floats.
    whole = type(value) is int and abs(value) < 2**1000
    return whole or (isinstance(value, float) and math.isfinite(value))


def _is_count(value: object, least: int) -> bool:
    return type(value) is int and value >= least


def _list(content: Mapping[str, Any], name: str) -> list[Any]:
    value = _value(content, name)
    if not isinstance(value, list):
        raise _wrong(name, value, "a list")
    return value


def _value(content: Mapping[str, Any], name: str, default: Any = _NONE) -> Any:
    if name in content:
        return content[name]
    if default is _NONE:
        raise ValueError(f"{name} is missing")
    return default


def _wrong(name: str, value: object, expected: str) -> ValueError:
    return ValueError(f"{name} is {value!r:.80}, expected {expected}")
