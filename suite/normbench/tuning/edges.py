"""Whether the best setting lies at the edge of the space, and the word that widens it there.

A winner at the edge says that the space was too small: better settings may lie beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from normbench.parameters import Search, Value, typed
from normbench.tuning.space import SIGNIFICANT_DIGITS, Axis, Space

EDGE_SHARE = 0.1
_LEAST_LEVELS = 3


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A value near an end of its axis.

    Attributes:
        word: What it is a value of.
        value: The value.
        side: Which end.
        axis: The axis as it was searched, in a word.
        wider: The axis with more room on that side, in a word.
    """

    word: str
    value: Value
    side: Literal["lower", "upper"]
    axis: str
    wider: str

    def __str__(self) -> str:
        """Return the edge in a sentence."""
        return (
            f"{self.word}={typed(self.value)} lies at the {self.side} edge of {self.axis}. Look "
            f"beyond: --search {self.wider}"
        )


def edges(space: Space, values: Mapping[str, Value]) -> list[Edge]:
    """Return where *values* lie at an edge of *space* that can be moved.

    Of a range, the edge is its outer tenth on its own scale; of three or more numbers to choose
    from, the smallest and the largest.
    """
    found = (_edge(axis, values[axis.word]) for axis in space)
    return [edge for edge in found if edge is not None]


def _edge(axis: Axis, value: Value) -> Edge | None:
    side = _side(axis, value)
    wider = side and _widened(axis, side)
    if side is None or not wider:
        return None
    return Edge(word=axis.word, value=value, side=side, axis=str(axis), wider=str(wider))


def _side(axis: Axis, value: Value) -> Literal["lower", "upper"] | None:
    if axis.search.scale == "choice":
        numbers = _numbers(axis)
        if len(numbers) < _LEAST_LEVELS or value not in (numbers[0], numbers[-1]):
            return None
        return "lower" if value == numbers[0] else "upper"
    position = axis.position(value)
    if position <= EDGE_SHARE:
        return "lower"
    return "upper" if position >= 1 - EDGE_SHARE else None


def _numbers(axis: Axis) -> list[float]:
    """Return the choices in order; none if they are not numbers."""
    choices = axis.search.choices
    return sorted(c for c in choices if isinstance(c, int | float)) if axis.numeric else []


def _widened(axis: Axis, side: Literal["lower", "upper"]) -> Axis | None:
    """Return the axis with half its range, or a further level, added; None at the last value."""
    search = axis.search
    if search.scale == "choice":
        return _further_level(axis, side)
    factor = math.sqrt(search.high / search.low) if search.scale == "log" else 0.0
    step = (search.high - search.low) / 2
    if side == "lower":
        low = _within(axis, search.low / factor if factor else search.low - step)
        return _with(axis, replace(search, low=low)) if low < search.low else None
    high = _within(axis, search.high * factor if factor else search.high + step)
    return _with(axis, replace(search, high=high)) if high > search.high else None


def _further_level(axis: Axis, side: Literal["lower", "upper"]) -> Axis | None:
    numbers = _numbers(axis)
    last, before = (numbers[0], numbers[1]) if side == "lower" else (numbers[-1], numbers[-2])
    beyond = last * last / before if min(numbers) > 0 else last + (last - before)
    level = _within(axis, beyond)
    if level == last:
        return None
    return _with(axis, replace(axis.search, choices=tuple(sorted([*numbers, level]))))


def _within(axis: Axis, value: float) -> float:
    """Return *value*, rounded as it would be typed, within what the parameter takes."""
    number = round(value) if _whole(axis.search) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    low = number if axis.floor is None else max(number, axis.floor)
    return low if axis.ceiling is None else min(low, axis.ceiling)


def _whole(search: Search) -> bool:
    if search.scale == "choice":
        return all(isinstance(choice, int) for choice in search.choices)
    return search.scale == "int"


def _with(axis: Axis, search: Search) -> Axis:
    return replace(axis, search=search)
