"""The space that trials are drawn from: axes, and the words that change them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from normbench.parameters import Search, Value, typed

SIGNIFICANT_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One searched parameter.

    Attributes:
        word: The word it is set by, such as ``lr`` or ``norm.num_groups``.
        search: Where it is searched.
        floor: Smallest value that the parameter takes; None for no bound.
        ceiling: Largest value that the parameter takes; None for no bound.
    """

    word: str
    search: Search
    floor: float | None = None
    ceiling: float | None = None

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers, so that the space has a lower and an upper edge."""
        return self.search.scale != "choice" or all(map(_is_number, self.search.choices))

    @property
    def size(self) -> int | None:
        """Number of values; None for a continuous range."""
        if self.search.scale == "choice":
            return len(self.search.choices)
        return self._wholes if self.search.scale == "int" else None

    def at(self, share: float) -> Value:
        """Return the value at *share* of the way, 0 <= share < 1, on the axis' scale.

        With u the share: log ``low·(high/low)^u``, linear ``low + u·(high - low)``; of n whole
        numbers or choices the one of index ``floor(u·n)``.
        """
        search = self.search
        if search.scale == "choice":
            return search.choices[_index(share, len(search.choices))]
        if search.scale == "int":
            return round(search.low) + _index(share, self._wholes)
        return self.short(self._between(share))

    def levels(self, count: int) -> list[Value]:
        """Return all choices, or *count* values of a range, evenly spaced from end to end."""
        search = self.search
        if search.scale == "choice":
            return list(search.choices)
        if search.scale == "int":
            number = min(count, self._wholes)
            step = (search.high - search.low) / max(number - 1, 1)
            return [round(search.low + index * step) for index in range(number)]
        return [self.short(self._between(index / max(count - 1, 1))) for index in range(count)]

    def position(self, value: Value) -> float:
        """Return how far from the low end a number lies, as a share of the range on its scale."""
        number, search = _as_number(value), self.search
        if search.scale == "log":
            return math.log(number / search.low) / math.log(search.high / search.low)
        return (number - search.low) / (search.high - search.low)

    def __str__(self) -> str:
        """Return the word that describes the axis, as ``--search`` takes it."""
        search = self.search
        if search.scale == "choice":
            return f"{self.word}=choice:{typed(search.choices)}"
        return f"{self.word}={search.scale}:{_number(search.low)}:{_number(search.high)}"

    @property
    def _wholes(self) -> int:
        return round(self.search.high) - round(self.search.low) + 1

    def _between(self, share: float) -> float:
        search = self.search
        if search.scale == "log":
            return float(search.low * (search.high / search.low) ** share)
        return search.low + share * (search.high - search.low)

    def short(self, value: float) -> float:
        """Round to a form that is short when typed, without leaving the range."""
        search = self.search
        if search.scale == "log":
            short = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
        else:
            width = math.floor(math.log10(search.high - search.low))
            short = round(value, SIGNIFICANT_DIGITS - 1 - width)
        return min(max(short, search.low), search.high)


@dataclass(frozen=True)
class Space:
    """The axes of a study, in the order of their words."""

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        """Put the axes in order, so that the order in which they were given has no effect."""
        object.__setattr__(self, "axes", tuple(sorted(self.axes, key=lambda axis: axis.word)))

    def __iter__(self) -> Iterator[Axis]:
        """Iterate over the axes."""
        return iter(self.axes)

    def __len__(self) -> int:
        """Return the number of axes."""
        return len(self.axes)

    def __getitem__(self, word: str) -> Axis:
        """Return the axis of *word*."""
        return self._by_word[word]

    def at(self, shares: Sequence[float]) -> dict[str, Value]:
        """Return the value of each axis at its share, by word."""
        return {axis.word: axis.at(share) for axis, share in zip(self.axes, shares, strict=True)}

    @property
    def size(self) -> int | None:
        """Number of different settings; None if an axis is continuous."""
        sizes = [axis.size for axis in self.axes]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    @cached_property
    def _by_word(self) -> Mapping[str, Axis]:
        return {axis.word: axis for axis in self.axes}

    def __str__(self) -> str:
        """Return the words of all axes."""
        return " ".join(str(axis) for axis in self.axes)


def _index(share: float, count: int) -> int:
    return min(int(share * count), count - 1)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_number(value: Value) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _number(value: float) -> str:
    """Return a bound as it would be typed: 10, 0.001."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
