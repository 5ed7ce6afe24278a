"""What all figures share: palette, sizes, axis names, legends, and how they are written.

matplotlib is imported when a figure is drawn, and its settings are left alone.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from normbench.errors import NormbenchError, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Dash = Literal["-", "--", "-.", ":"]
FORMATS = (".png", ".svg", ".pdf")
DOTS_PER_INCH = 150
# Okabe and Ito's palette (2008): told apart with any common kind of colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Dash, ...] = ("-", "--", "-.", ":")
AXIS_LABELS = {"loss": "loss (mean per example)", "accuracy": "accuracy [%]"}
FACTORS = {"accuracy": 100.0}
_CHARACTER_WIDTH = 0.068  # inches at 8 points, on average
_TITLE_CHARACTER_WIDTH = 0.105  # at 12 points
_LEAST_WIDTH = 5.2


@dataclass(frozen=True)
class Entry:
    """One entry of a legend: its text, and how its line, or instead its marker, looks."""

    text: str
    colour: str
    dash: Dash = "-"
    marker: str = ""


def look(number: int) -> tuple[str, Dash]:
    """Return colour and dash of a row; rows beyond the palette differ by their dash."""
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    return COLOURS[number % len(COLOURS)], dash


def in_unit(metric: str, value: float) -> float:
    """Return *value* in the unit of the metric's axis."""
    return FACTORS.get(metric, 1.0) * value


def new_figure(
    lines: int, columns: int, entries: Sequence[Entry], *, panel: tuple[float, float] = (3.4, 2.7)
) -> Figure:
    """Return an empty figure with room for its panels and, below them, for its legend.

    Args:
        lines: Panels below each other.
        columns: Panels beside each other.
        entries: What the legend will hold.
        panel: Width and height of a panel in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = max(panel[0] * columns + 0.6, entry_width(entries), _LEAST_WIDTH)
    rows = math.ceil(len(entries) / _legend_columns(entries, width)) if entries else 0
    legend_height = 0.2 * rows + 0.4 if entries else 0.0
    figure = Figure(figsize=(width, panel[1] * lines + legend_height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def entry_width(entries: Sequence[Entry]) -> float:
    """Return the width of the longest entry of a legend in inches, its line included."""
    return 0.7 + _CHARACTER_WIDTH * max((len(entry.text) for entry in entries), default=0)


def _legend_columns(entries: Sequence[Entry], width: float) -> int:
    return max(1, min(3, len(entries), int(width / entry_width(entries))))


def add_legend(figure: Figure, entries: Sequence[Entry], title: str) -> None:
    """Put a legend below the panels of *figure*."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=entry.colour,
            linestyle="" if entry.marker else entry.dash,
            marker=entry.marker,
            label=entry.text,
        )
        for entry in entries
    ]
    figure.legend(
        handles=handles,
        title=title,
        loc="outside lower center",
        ncols=_legend_columns(entries, float(figure.get_figwidth())),
        fontsize=8,
        title_fontsize=8,
        frameon=False,
    )


def add_title(figure: Figure, title: str) -> None:
    """Write *title* above the panels, on as many lines as the width of *figure* asks for."""
    fitting = max(20, int(float(figure.get_figwidth()) / _TITLE_CHARACTER_WIDTH))
    figure.suptitle(textwrap.fill(title, fitting))


def add_grid(axis: Axes) -> None:
    """Draw the faint grid that every panel has."""
    axis.grid(visible=True, linewidth=0.4, alpha=0.5)


def interval(values: Sequence[float]) -> float:
    """Return half the width of the 95 % t interval of the mean of *values*; 0 below two."""
    count = len(values)
    if count < 2:
        return 0.0
    from scipy.special import stdtrit

    mean = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values))
    return float(stdtrit(count - 1, 0.975)) * spread / math.sqrt((count - 1) * count)


def save(figure: Figure, path: Path) -> None:
    """Write *figure*; the ending of *path* decides the format.

    Raises:
        UsageError: If the ending is unknown.
        NormbenchError: If the file cannot be written.
    """
    check_format(path)
    try:
        figure.savefig(path, dpi=DOTS_PER_INCH)
    except OSError as error:
        raise NormbenchError(f"{path} cannot be written: {error.strerror}.") from error


def check_format(path: Path) -> None:
    """Raise UsageError if the ending of *path* names no format that figures have."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--output {path}: expected a name that ends in {', '.join(FORMATS)}.")
