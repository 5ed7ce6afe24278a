"""Norm by optimizer: each cell's difference from the reference, its verdict, what diverged."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from normbench.errors import UsageError
from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.choosing import one_setting
from normbench.leaderboard.naming import is_untuned, values_text
from normbench.leaderboard.settings_shown import unequal_tuning, which_setting
from normbench.leaderboard.sheets import Numbers
from normbench.leaderboard.verdicts import Verdict
from normbench.origins import UNTUNED
from normbench.plots.marks import (
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
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

_TILE = (1.02, 0.55)
_FONT = 7.5
_CHARACTER_WIDTH = 0.06  # inches, on average
_LINE_HEIGHT = 0.14
_LONGEST = 26
_MOST_LINES = 3
_LONGEST_SETTING = 11
_DARK = 0.45
# Close to the palette's vermillion and blue, but not the same: pages change those in dark mode.
_SHADES = ("#d35c00", "#f4f4f4", "#0070b0")
Cell = tuple[str, str]


def heatmap(board: Board) -> Figure:
    """Return the figure of a board.

    Of several settings of a cell the tuned one is shown, else the published one, else the defaults;
    where none of these is the only one, the tile says how many settings there are. Which one a tile
    shows of how many stands in it, and below the figure. Where some rows are tuned and others are
    not, those that are not say so.

    Raises:
        UsageError: If the board has fewer than two norms or two optimizers.
    """
    cells = _cells(board)
    norms, optimizers = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    if min(len(norms), len(optimizers)) < 2:
        raise UsageError(
            f"{board.title} has {len(norms)} norms and {len(optimizers)} optimizers with results: "
            "expected two or more of each. A forest shows single ones: --figure forest"
        )
    found = {row.entry.row.row: row for row in differences(board)}
    low, high = limits(list(found.values()), unit_factor(board) * board.metric.smallest_difference)
    reach = max(-low, high)
    figure = new_figure(
        1, 1, (), panel=(_TILE[0] * len(optimizers) + 2.2, _TILE[1] * len(norms) + 1.2)
    )
    axis = figure.subplots()
    _frame(axis, norms, optimizers)
    for line, norm in enumerate(norms):
        for column, optimizer in enumerate(optimizers):
            entries = cells.get((norm, optimizer), [])
            _tile(axis, (column, line), entries, board, found, reach)
    _add_bar(axis, board, reach, aspect=4.0 * len(norms))
    add_title(figure, visible(f"{board.title}: {board.metric.name}"))
    _add_notes(figure, board)
    return as_written(figure)


def _add_notes(figure: Figure, board: Board) -> None:
    """Write below the tiles which settings they show, and that some rows were tuned more."""
    rows = [entry.row for entry in board.entries]
    cells = (one_setting([entry.row for entry in cell]) for cell in _cells(board).values())
    shown = [row for row in cells if row is not None]
    told = [*unequal_tuning(shown), *which_setting(rows, most=4)]
    width = max(40, int(float(figure.get_figwidth()) / _CHARACTER_WIDTH))
    lines = [line for each in told for line in textwrap.wrap(visible(each), width)]
    if not lines:
        return
    figure.set_figheight(float(figure.get_figheight()) + _LINE_HEIGHT * (len(lines) + 1))
    figure.supxlabel("\n".join(lines), fontsize=_FONT, x=0.01, ha="left", linespacing=1.3)


def _cells(board: Board) -> dict[Cell, list[Entry]]:
    """Return the rows with values by norm and optimizer, in the table's order."""
    cells: dict[Cell, list[Entry]] = {}
    for entry in board.entries:
        if entry.values:
            cells.setdefault((entry.row.norm_label, entry.row.optimizer), []).append(entry)
    if not cells:
        raise UsageError(f"{board.title} has no results yet. See: normbench status")
    return cells


def _frame(axis: Axes, norms: Sequence[str], optimizers: Sequence[str]) -> None:
    axis.set_xlim(-0.5, len(optimizers) - 0.5)
    axis.set_ylim(len(norms) - 0.5, -0.5)
    names = [shortened(name, _LONGEST) for name in optimizers]
    slanted = max(map(len, names)) > 15
    axis.set_xticks(range(len(optimizers)), names, fontsize=8, rotation=30 if slanted else 0)
    if slanted:
        for text in axis.get_xticklabels():
            text.set_horizontalalignment("right")
    axis.set_yticks(range(len(norms)), list(map(_wrapped, norms)), fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _wrapped(name: str) -> str:
    """Return the name of a norm in lines as high as a tile: what was changed of it tells it."""
    lines = textwrap.wrap(visible(name), _LONGEST, max_lines=_MOST_LINES, placeholder="…")
    return "\n".join(lines)


def _tile(
    axis: Axes,
    place: tuple[int, int],
    entries: Sequence[Entry],
    board: Board,
    found: Mapping[str, Difference],
    reach: float,
) -> None:
    from matplotlib.patches import Rectangle

    corner = (place[0] - 0.47, place[1] - 0.46)
    row = one_setting([entry.row for entry in entries]) if entries else None
    entry = next((e for e in entries if row is not None and e.row.row == row.row), None)
    words = _words(board, entry, entries)
    difference = None if entry is None else found.get(entry.row.row)
    if difference is None:
        reference = entry is not None and entry.verdict is Verdict.REFERENCE
        style = {"linewidth": 1.6} if reference else {"linewidth": 0.4, "linestyle": ":"}
        axis.add_patch(Rectangle(corner, 0.94, 0.92, fill=False, edgecolor="#000000", **style))
        axis.text(*place, words, ha="center", va="center", fontsize=_FONT)
        return
    share = max(-1.0, min(1.0, board.sign * difference.value / reach))
    colour = _colours()((share + 1) / 2)
    axis.add_patch(Rectangle(corner, 0.94, 0.92, facecolor=colour, linewidth=0))
    # On a tile the text keeps its colour in dark mode, since the tile does too.
    ink = "#fefefe" if _luminance(colour) < _DARK else "#010101"
    axis.text(*place, words, ha="center", va="center", fontsize=_FONT, color=ink)


def _words(board: Board, entry: Entry | None, entries: Sequence[Entry]) -> str:
    if entry is None:
        return f"{len(entries)} settings" if entries else "no runs"
    numbers, compared = Numbers(board.metric.name), entry.comparison
    shown = numbers.value(entry.mean) + numbers.unit
    if compared is not None:
        shown = numbers.value(board.sign * compared.difference, signed=True)
    lines = [shown, worded(entry.verdict) if entry.verdict else ""]
    lines.append(f"{len(entry.row.diverged)} div" if entry.row.diverged else "")
    lines.append(_setting(board, entry, len(entries)))
    return "\n".join(filter(None, lines))


def _setting(board: Board, entry: Entry, settings: int) -> str:
    """Return which of several settings a tile shows, and that a row is not tuned as others are."""
    if settings > 1:
        own = UNTUNED if is_untuned(entry.row) else " ".join(values_text(entry.row))
        return f"{shortened(own, _LONGEST_SETTING)}, 1 of {settings}"
    return UNTUNED if UNTUNED in board.name_of(entry.row).split() else ""


def _colours() -> LinearSegmentedColormap:
    from matplotlib.colors import LinearSegmentedColormap

    # Few enough shades for the bar to be drawn as shapes rather than an image.
    return LinearSegmentedColormap.from_list("worse to better", _SHADES, N=41)


def _luminance(colour: Sequence[float]) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def _add_bar(axis: Axes, board: Board, reach: float, aspect: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colours = _colours() if board.sign > 0 else _colours().reversed()
    scale = ScalarMappable(Normalize(-reach, reach), colours)
    bar = axis.figure.colorbar(scale, ax=axis, shrink=0.8, aspect=aspect, extend="both")
    bar.set_label(f"difference from the reference{unit_name(board)}", fontsize=8)
    bar.ax.tick_params(labelsize=_FONT)
    bar.outline.set_visible(False)
