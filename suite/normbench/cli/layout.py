"""Tables and text laid out in the width of a terminal; no word or number is ever broken or cut."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import le

_GAP = "  "
_NUMBER = "#"
_NO_BREAK = "\u00a0"
# A number stays with its unit, its spread or what it counts, an interval in one piece.
_TOGETHER = re.compile(
    r" (?=[%±])|(?<=±) |(?<=\d) (?=\d|[A-Za-z]+\b(?![.=(]))|(?<=\d h) (?=\d)|(?<=\d min) (?=\d)"
)
_INTERVAL = re.compile(r"\[[-+.\d]+, [-+.\d]+\]")
# A column of text is not made narrower than this where columns can go into a table of their own.
_READABLE = 24
# Of as many rows it is not tried what reads best, since nobody reads them all.
_MANY = 500

Row = Sequence[str]


@dataclass(frozen=True)
class Laid:
    """A table, or a part of one, as lines of text.

    Attributes:
        head: The headings; none where each row is a list of its own.
        body: The rows.
    """

    head: Sequence[str]
    body: Sequence[str]


@dataclass(frozen=True)
class Table:
    """What is laid out.

    Attributes:
        headings: One for each column.
        rows: Cells, as many in each row as there are columns.
        right: Headings of the columns to align on the right, which hold numbers and stay in a line.
        keys: Headings of the columns that say what a row is; where none is, the first one does.
    """

    headings: Row
    rows: Sequence[Row]
    right: Row = ()
    keys: Row = ()

    @cached_property
    def cells(self) -> list[int]:
        """Length of the longest cell of each column."""
        return [max((len(row[i]) for row in self.rows), default=0) for i in self.columns]

    @cached_property
    def low(self) -> list[int]:
        """Width of each column if headings take several lines, and cells do not."""
        return [max(_longest(self.headings[i]), self.cells[i]) for i in self.columns]

    @cached_property
    def least(self) -> list[int]:
        """Least width of each column."""
        return [
            low
            if heading in self.right
            else max((_longest(heading), *(_longest(row[i]) for row in self.rows)))
            for i, (heading, low) in enumerate(zip(self.headings, self.low, strict=True))
        ]

    @property
    def columns(self) -> range:
        """Numbers of the columns."""
        return range(len(self.headings))

    @property
    def numbered(self) -> Table:
        """The table with the numbers of its rows in front, which then say what a row is."""
        rows = [(str(number), *row) for number, row in enumerate(self.rows, 1)]
        return Table((_NUMBER, *self.headings), rows, (_NUMBER, *self.right), (_NUMBER,))

    def room(self, width: float) -> float:
        """Return how wide all columns together may be."""
        return width - len(_GAP) * (len(self.headings) - 1)

    def of(self, columns: Sequence[int]) -> Table:
        """Return the table of some columns."""
        rows = [[row[i] for i in columns] for row in self.rows]
        return Table([self.headings[i] for i in columns], rows, self.right, self.keys)


def lay_out(table: Table, width: float) -> list[Laid]:
    """Return *table* in as many parts as it takes to fit.

    Where it is too wide headings take several lines, then cells that are no numbers. Where that is
    not enough, or takes far more lines, columns go into parts of their own, each with the columns
    that say what a row is, or with numbers of the rows if those are too wide. Where there is no
    room for that, and for a single row, each row becomes a list.

    Args:
        table: The table.
        width: Columns of the terminal; infinite where there is none, so that a row is one line.
    """
    heads = [max(pair) for pair in zip(map(len, table.headings), table.cells, strict=True)]
    room = table.room(width)
    if sum(heads) <= room:
        return [_laid(table, heads)]
    if sum(table.low) <= room:
        return [_laid(table, _grown(table.low, heads, room))]
    if len(table.rows) == 1:
        return [Laid((), _as_lists(table, width))]
    narrow = (
        [_laid(table, _grown(table.least, table.low, room))] if sum(table.least) <= room else []
    )
    if narrow and len(table.rows) > _MANY:
        return narrow
    parts = _parts(table, width) or _parts(table.numbered, width)
    if narrow and parts:
        return parts if 2 * _height(narrow) > 3 * _height(parts) else narrow
    return narrow or parts or [Laid((), _as_lists(table, width))]


def _height(parts: Sequence[Laid]) -> int:
    return sum(len(part.head) + len(part.body) + 1 for part in parts)


def _parts(table: Table, width: float) -> list[Laid]:
    """Return *table* in parts one below the other; none if they do not fit either."""
    keys = [i for i in table.columns if table.headings[i] in table.keys] or [0]
    wish = [
        min(low, max(least, _READABLE)) for low, least in zip(table.low, table.least, strict=True)
    ]
    groups: list[list[int]] = [[]]
    for column in table.columns:
        if column in keys:
            continue
        if groups[-1] and _sum(wish, [*keys, *groups[-1], column]) > width:
            groups.append([])
        groups[-1].append(column)
    parts = [table.of(sorted([*keys, *group])) for group in groups]
    if any(sum(part.least) > part.room(width) for part in parts):
        return []
    return [_laid(part, _grown(part.least, part.low, part.room(width))) for part in parts]


def _sum(widths: Sequence[int], columns: Sequence[int]) -> int:
    """Return how wide *columns* are together."""
    return sum(widths[i] for i in columns) + len(_GAP) * (len(columns) - 1)


def _laid(table: Table, widths: Sequence[int]) -> Laid:
    sides = [heading in table.right for heading in table.headings]
    body = [line for row in table.rows for line in _lines(row, widths, sides)]
    return Laid(_lines(table.headings, widths, sides, at_bottom=True), body)


def wrapped(text: str, width: float, *, first: str = "", rest: str = "") -> str:
    """Return *text* in lines of at most *width*, unless a word alone is longer.

    Args:
        text: What to wrap; line ends in it stay.
        width: Of a line.
        first: Before the first line.
        rest: Before each other line.
    """
    lines: list[str] = []
    for part in text.splitlines() or [""]:
        lines += textwrap.wrap(
            _glued(part),
            int(max(width, len(rest) + 1)),
            initial_indent=rest if lines else first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines).replace(_NO_BREAK, " ")


def _glued(text: str) -> str:
    """Return *text* with spaces that must not end a line replaced by ones that do not."""
    text = _INTERVAL.sub(lambda found: found[0].replace(" ", _NO_BREAK), text)
    return _TOGETHER.sub(_NO_BREAK, text)


def _longest(text: str) -> int:
    """Return the length of the longest part of *text* that stays in one line."""
    return max(map(len, _glued(text).split(" ")))


def _grown(least: Sequence[int], wish: Sequence[int], room: float) -> list[int]:
    """Return widths from *least* to *wish* that fill *room*, narrow columns served first."""
    widths = list(least)
    for cap in range(1, max(wish) + 1):
        wider = [max(low, min(high, cap)) for low, high in zip(least, wish, strict=True)]
        if sum(wider) > room:
            break
        widths = wider
    return widths


def _lines(
    row: Row, widths: Sequence[int], sides: Sequence[bool], *, at_bottom: bool = False
) -> list[str]:
    """Return one row, over as many lines as its longest cell takes."""
    if all(map(le, map(len, row), widths)):
        # All of a long table, as a rule.
        aligned = [
            cell.rjust(width) if on_right else cell.ljust(width)
            for cell, width, on_right in zip(row, widths, sides, strict=True)
        ]
        return [_GAP.join(aligned).rstrip()] if aligned else []
    cells = [
        [cell] if len(cell) <= width else wrapped(cell, width).splitlines()
        for cell, width in zip(row, widths, strict=True)
    ]
    height = max(map(len, cells), default=0)
    lines = []
    for number in range(height):
        at = [number - (height - len(cell)) * at_bottom for cell in cells]
        texts = [cell[i] if 0 <= i < len(cell) else "" for cell, i in zip(cells, at, strict=True)]
        aligned = [
            f"{text:>{width}}" if on_right else f"{text:<{width}}"
            for text, width, on_right in zip(texts, widths, sides, strict=True)
        ]
        lines.append(_GAP.join(aligned).rstrip())
    return lines


def _as_lists(table: Table, width: float) -> list[str]:
    """Return each row as names and values, an empty line between rows."""
    longest = max(map(len, table.headings))
    lines: list[str] = []
    for row in table.rows:
        lines += [""] if lines else []
        for heading, cell in zip(table.headings, row, strict=True):
            if cell:
                first = f"{heading:<{longest}}{_GAP}"
                lines += wrapped(cell, width, first=first, rest=" " * len(first)).splitlines()
    return lines
