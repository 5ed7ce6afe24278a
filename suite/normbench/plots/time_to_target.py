"""How soon the seeds of each row reach the target, where some never do.

All seeds of a row are trained for as long, so that one minus the Kaplan-Meier estimate of a seed
that is still on its way is the share that has reached the target; E. Kaplan and P. Meier,
Nonparametric Estimation from Incomplete Observations, 1958.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.errors import UsageError
from normbench.leaderboard.board import Board
from normbench.leaderboard.censored import TimeToTarget
from normbench.plots.marks import GREY, as_written, shortened, visible
from normbench.plots.style import Entry, add_grid, add_legend, add_title, look, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TOLD_APART = 14
_LONGEST = 44
Row = tuple[str, TimeToTarget]


def time_to_target(board: Board) -> Figure:
    """Return the figure of a board; of very many rows the soonest are in colour, the rest thin.

    Raises:
        UsageError: If its problem has no target.
    """
    rows = _rows(board)
    if not rows:
        raise UsageError(
            f"{board.title} has no target, so there is no time to it. Problems with a target have "
            "a column `to target`: normbench leaderboard"
        )
    told, rest = rows[:MOST_TOLD_APART], rows[MOST_TOLD_APART:]
    entries = [Entry(_label(row), *look(number)) for number, row in enumerate(told)]
    if rest:
        entries.append(Entry(f"{len(rest)} others", GREY))
    end = 1.05 * max((t for _, found in rows for t in found.times if math.isfinite(t)), default=1.0)
    figure = new_figure(1, 1, entries, panel=(6.6, 3.6))
    axis = figure.subplots()
    for _, found in rest:
        axis.step(*_steps(found, end), where="post", color=GREY, linewidth=0.6, alpha=0.7)
    for (_, found), entry in zip(reversed(told), reversed(entries[: len(told)]), strict=True):
        axis.step(*_steps(found, end), where="post", color=entry.colour, linestyle=entry.dash)
    axis.set_xlim(0, end)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("epochs")
    axis.set_ylabel("share of seeds at the target")
    add_grid(axis)
    add_title(figure, visible(f"{board.title}: time to the target"))
    add_legend(figure, entries, "in brackets: median epochs, seeds that reach the target")
    return as_written(figure)


def _rows(board: Board) -> list[Row]:
    """Return the rows whose problem has a target, those first of which half reach it soonest."""
    found = [
        (board.name_of(entry.row), entry.costs.target)
        for entry in board.entries
        if entry.costs.target is not None
    ]
    return sorted(found, key=lambda row: (row[1].median, -row[1].reached))


def _steps(found: TimeToTarget, end: float) -> tuple[Sequence[float], Sequence[float]]:
    """Return times and the share of seeds that have reached the target by then."""
    times = [time for time in found.times if math.isfinite(time)]
    shares = [number / found.n for number in range(len(times) + 1)]
    return [0.0, *times, end], [*shares, shares[-1]]


def _label(row: Row) -> str:
    name, found = row
    median = f"{found.median:g}" if math.isfinite(found.median) else "missed"
    return f"{shortened(name, _LONGEST)} ({median}, {found.reached}/{found.n})"
