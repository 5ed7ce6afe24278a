"""What the index keeps of the results of runs, so that no table reads 100 000 files.

Numbers are kept as they are, bit by bit: as JSON, or as the floats that JSON stands for. Left out
is what no table shows, such as the hash of the weights.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any, NamedTuple

# Fields of a result that are one value each.
FACTS = (
    *("outcome", "score", "epochs", "steps", "train_seconds", "evaluation_seconds"),
    *("energy_joules", "peak_memory_mb", "engine", "device", "shared", "finished_at"),
)
_BYTES = array("d").itemsize
_MOMENTS = ("final", "best")
_LARGEST = sys.float_info.max  # no integer beyond it becomes a float
_TARGET = "time_to_target"
_NUMBERS = (float, int, bool)
_SCALARS = (*_NUMBERS, str)
_PLAIN = (str, int, bool, type(None))

# When, part and quantity of a number, such as ("best", "test", "loss").
Place = tuple[str, str, str]
_PLACES: dict[tuple[Place, ...], tuple[Place, ...]] = {}


class Outcome(NamedTuple):
    """What is kept of a result.

    Attributes:
        facts: Values of :data:`FACTS`; None where there is none.
        target: ``time_to_target`` as names and values; None if there is none.
        places: What *numbers* are.
        numbers: The finite numbers of the final and the best epoch, 8 bytes each.
        environment: Where the run was trained, as JSON; empty if that is not known.
    """

    facts: tuple[Any, ...]
    target: tuple[tuple[str, Any], ...] | None
    places: tuple[Place, ...]
    numbers: bytes
    environment: str

    @classmethod
    def of(cls, result: Mapping[str, Any], environment: str = "") -> Outcome:
        """Return what is kept of *result*."""
        found = _numbers(result)
        target = result.get(_TARGET)
        places = tuple(found)
        return cls(
            tuple([_fact(result.get(name)) for name in FACTS]),
            tuple(target.items()) if type(target) is dict else None,
            # There are as many kinds as problems, and each is kept once.
            _PLACES.setdefault(places, places),
            array("d", found.values()).tobytes(),
            environment,
        )

    def result(self) -> dict[str, Any]:
        """Return the result without what was left out; a value that it lacks is no key here."""
        known = zip(FACTS, self.facts, strict=True)
        found: dict[str, Any] = {name: value for name, value in known if value is not None}
        if self.target is not None:
            found[_TARGET] = dict(self.target)
        numbers = array("d", self.numbers).tolist()
        for when, part, quantities, span in _grouped(self.places):
            found.setdefault(when, {})[part] = dict(zip(quantities, numbers[span], strict=True))
        return found


@lru_cache(maxsize=256)
def _grouped(places: tuple[Place, ...]) -> list[tuple[str, str, list[str], slice]]:
    """Return moment, part, quantities and where their numbers are, for each moment and part."""
    found, start = [], 0
    for (when, part), group in groupby(places, key=itemgetter(0, 1)):
        quantities = [quantity for *_, quantity in group]
        found.append((when, part, quantities, slice(start, start + len(quantities))))
        start += len(quantities)
    return found


def _fact(value: Any) -> Any:
    return value if type(value) in _SCALARS else None


def _numbers(result: Mapping[str, Any]) -> dict[Place, float]:
    found: dict[Place, float] = {}
    for when in _MOMENTS:
        parts = result.get(when)
        for part, quantities in parts.items() if type(parts) is dict else ():
            for quantity, value in quantities.items() if type(quantities) is dict else ():
                if type(value) in _NUMBERS and -_LARGEST <= value <= _LARGEST:
                    found[when, part, quantity] = float(value)
    return found


def encode(outcomes: Sequence[Outcome | None]) -> tuple[dict[str, Any], bytes]:
    """Return *outcomes* as columns, and all their numbers one after another."""
    columns: dict[str, Any] = {}
    there = [outcome for outcome in outcomes if outcome is not None]
    for name, values in zip(FACTS, zip(*(o.facts for o in there), strict=True), strict=False):
        columns[name] = squeezed(values)
    columns["target"] = squeezed([outcome.target for outcome in there])
    for name in ("places", "environment"):
        kinds: dict[Any, int] = {}
        found = (getattr(outcome, name) for outcome in there)
        columns[name] = squeezed([kinds.setdefault(value, len(kinds)) for value in found])
        columns[f"{name}_kinds"] = list(kinds)
    columns["there"] = squeezed([int(outcome is not None) for outcome in outcomes])
    return columns, b"".join(outcome.numbers for outcome in there)


class KeptResult(Mapping[str, Any]):
    """What is kept of one result, read from the columns where it is asked for.

    Args:
        outcomes: The columns.
        place: Where it is in them.
    """

    __slots__ = ("_outcomes", "_place")

    def __init__(self, outcomes: Outcomes, place: int) -> None:
        self._outcomes, self._place = outcomes, place

    def __getitem__(self, name: str) -> Any:
        """Return a field.

        Raises:
            KeyError: If the result lacks it, or it was left out.
        """
        found = self._outcomes.field(name, self._place)
        if found is None:
            raise KeyError(name)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field, or *default*."""
        found = self._outcomes.field(name, self._place)
        return default if found is None else found

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the fields."""
        names = (*FACTS, _TARGET, *_MOMENTS)
        return (name for name in names if self._outcomes.field(name, self._place) is not None)

    def __len__(self) -> int:
        """Return how many fields there are."""
        return sum(1 for _ in self)


class Outcomes:
    """The outcomes that :func:`encode` made columns of.

    Args:
        columns: The columns.
        numbers: All numbers.
        size: How many runs there are, with an outcome or without.

    Raises:
        ValueError: If they do not belong together.
    """

    def __init__(self, columns: Mapping[str, Any], numbers: bytes, size: int) -> None:
        there = loose(columns["there"], size)
        count = sum(there)
        ends = list(accumulate(there))
        self._place = [end - 1 if here else None for here, end in zip(there, ends, strict=True)]
        self._facts = {name: loose(columns[name], count) for name in FACTS} if count else {}
        self._targets = loose(columns["target"], count)
        self._kinds = [tuple(map(tuple, kind)) for kind in columns["places_kinds"]]
        self._of_kind = loose(columns["places"], count)
        self._environments: list[str] = columns["environment_kinds"]
        self._environment = loose(columns["environment"], count)
        sizes = (_BYTES * len(self._kinds[kind]) for kind in self._of_kind)
        self._starts = [0, *accumulate(sizes)]
        self._numbers = numbers
        if self._starts[-1] != len(numbers):
            raise ValueError("the numbers do not fit their columns")

    def result(self, position: int) -> KeptResult | None:
        """Return the result of the run at *position*; None if it has none."""
        place = self._place[position]
        return None if place is None else KeptResult(self, place)

    def field(self, name: str, place: int) -> Any:
        """Return a field of the result at a *place* among the results; None if it lacks it."""
        column = self._facts.get(name)
        if column is not None:
            return column[place]
        if name == _TARGET:
            target = self._targets[place]
            return target if target is None else dict(target)
        numbers = array("d", self._numbers[self._starts[place] : self._starts[place + 1]])
        groups = _grouped(self._kinds[self._of_kind[place]])
        parts = {
            part: dict(zip(quantities, numbers[span].tolist(), strict=True))
            for when, part, quantities, span in groups
            if when == name
        }
        return parts or None

    def environment(self, position: int) -> str:
        """Return where the run at *position* was trained, as JSON; empty if that is not known."""
        place = self._place[position]
        return "" if place is None else self._environments[self._environment[place]]

    def __getitem__(self, position: int) -> Outcome | None:
        """Return the outcome of the run at *position*; None if it has none."""
        place = self._place[position]
        if place is None:
            return None
        target = self._targets[place]
        return Outcome(
            tuple([column[place] for column in self._facts.values()]),
            target if target is None else tuple((name, value) for name, value in target),
            self._kinds[self._of_kind[place]],
            self._numbers[self._starts[place] : self._starts[place + 1]],
            self._environments[self._environment[place]],
        )


def squeezed(values: Iterable[Any]) -> Any:
    """Return a column for JSON; one that is the same throughout takes no room."""
    column = list(values)
    first = column[0] if column else None
    kind = type(first)
    if len(column) < 2 or any(type(value) is not kind or value != first for value in column):
        return column
    # Zeros of either sign are equal and not the same; so are 1, 1.0 and True in a tuple.
    shown = repr(first)
    if kind not in _PLAIN and any(repr(value) != shown for value in column):
        return column
    return {"same": first}


def loose(column: Any, size: int) -> list[Any]:
    """Return the column that :func:`squeezed` returned.

    Raises:
        ValueError: If it has not the *size*.
    """
    values = [column["same"]] * size if isinstance(column, dict) else column
    if len(values) != size:
        raise ValueError(f"a column has {len(values)} values, expected {size}")
    return list(values)
