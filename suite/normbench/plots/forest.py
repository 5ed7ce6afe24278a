"""Every row's paired difference from the reference with its 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.errors import UsageError
from normbench.leaderboard.board import Board
from normbench.leaderboard.sheets import Numbers
from normbench.plots.marks import (
    GREY,
    MARKS,
    Difference,
    as_written,
    differences,
    limits,
    shortened,
    unit_factor,
    unit_name,
    visible,
    worded,
)
from normbench.plots.style import add_title, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 60
_ROW_HEIGHT = 0.23
_PANEL = 3.9
_FONT = 8
_CHARACTER = 4.6  # points of width, on average


def forest(board: Board) -> Figure:
    """Return the figure of a board: rows in the table's order, the best sixty where there are more.

    The band is the smallest difference of interest. Intervals that leave the panel end in an arrow;
    what they are stands on the right.

    Raises:
        UsageError: If the board has no reference, or nothing was compared with it.
    """
    rows = differences(board)
    if not rows:
        why = board.reference.why if board.reference.row is None else "no other row has a result"
        raise UsageError(f"{board.title}: nothing is compared with a reference: {why}.")
    shown = rows[:MOST_ROWS]
    smallest = unit_factor(board) * board.metric.smallest_difference
    texts = [(row.label, _numbers(board, row), _verdict(row)) for row in shown]
    longest = sum(max(map(len, column)) for column in zip(*texts, strict=True))
    width = _PANEL + _CHARACTER / 72 * longest
    figure = new_figure(1, 1, (), panel=(width, _ROW_HEIGHT * len(shown) + 1.0))
    axis = figure.subplots()
    axis.set_xlim(limits(shown, smallest))
    axis.set_ylim(len(shown) - 0.4, -0.6)
    if smallest:
        axis.axvspan(-smallest, smallest, color=GREY, alpha=0.16, linewidth=0)
    axis.axvline(0, color="#000000", linewidth=0.8)
    for place, row in enumerate(shown):
        _draw(axis, place, row)
    _label(axis, board, texts)
    add_title(figure, visible(f"{board.title}: {board.metric.name}"))
    figure.supxlabel(_explained(board, len(rows)), fontsize=_FONT)
    return as_written(figure)


def _draw(axis: Axes, place: int, row: Difference) -> None:
    """Draw one row; what lies beyond the panel is an arrow at its edge."""
    mark = MARKS[row.verdict]
    low, high = axis.get_xlim()
    first, last = (min(max(end, low), high) for end in row.reach)
    axis.plot([first, last], [place, place], color=mark.colour, linewidth=1.3, zorder=2)
    margin = 0.012 * (high - low)
    for beyond, edge, marker in (
        (row.reach[0] < low, low + margin, "<"),
        (row.reach[1] > high, high - margin, ">"),
    ):
        if beyond:
            axis.plot([edge], [place], marker, color=mark.colour, markersize=5, zorder=3)
    if low <= row.value <= high:
        axis.plot(
            [row.value],
            [place],
            marker=mark.marker,
            color=mark.colour,
            markerfacecolor=mark.colour if mark.filled else "#ffffff",
            markersize=6,
            zorder=4,
        )


def _label(axis: Axes, board: Board, texts: Sequence[tuple[str, str, str]]) -> None:
    """Write the rows' names on the left, difference and verdict on the right."""
    from matplotlib.ticker import MaxNLocator

    labels, numbers, verdicts = zip(*texts, strict=True)
    axis.set_yticks(range(len(texts)), labels, fontsize=_FONT)
    for offset, column in ((6.0, numbers), (_CHARACTER * max(map(len, numbers)) + 14, verdicts)):
        for place, text in enumerate(column):
            axis.annotate(
                text,
                (1, place),
                xycoords=("axes fraction", "data"),
                xytext=(offset, 0),
                textcoords="offset points",
                va="center",
                fontsize=_FONT,
            )
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.tick_params(axis="x", labelsize=_FONT)
    axis.tick_params(axis="y", length=0)
    axis.spines[["left", "right", "top"]].set_visible(False)
    axis.grid(visible=True, axis="x", linewidth=0.4, alpha=0.5)
    way = "right" if board.sign > 0 else "left"
    base = board.reference.row
    name = "" if base is None else f"{shortened(base.norm_label)} {shortened(base.optimizer)}"
    axis.set_xlabel(
        f"difference from {name}{unit_name(board)}; to the {way} is better",
        fontsize=_FONT + 1,
    )


def _numbers(board: Board, row: Difference) -> str:
    """Return difference and interval as the table has them."""
    factor = unit_factor(board)
    ends = None if row.ends is None else (row.ends[0] / factor, row.ends[1] / factor)
    return Numbers(board.metric.name).interval(row.value / factor, ends, signed=True)


def _verdict(row: Difference) -> str:
    diverged = len(row.entry.row.diverged)
    return worded(row.verdict) + (f", {diverged} div" if diverged else "")


def _explained(board: Board, rows: int) -> str:
    numbers, smallest = Numbers(board.metric.name), board.metric.smallest_difference
    words = "line: 95 % t interval of the paired difference"
    if smallest:
        words += f"; band: ± {numbers.value(smallest)}{numbers.points}, too small to matter"
    return words + (f"; the best {MOST_ROWS} of {rows} rows" if rows > MOST_ROWS else "")
