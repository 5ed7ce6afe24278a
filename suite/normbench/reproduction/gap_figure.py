"""How far our means are from the published ones, drawn: a line for each published number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from normbench.leaderboard.sheets import Numbers
from normbench.plots.marks import (
    BLACK,
    BLUE,
    GREY,
    VERMILLION,
    Mark,
    as_written,
    shortened,
)
from normbench.plots.style import Entry, add_legend, add_title, new_figure
from normbench.reproduction.agreement import Agreement, Gap
from normbench.reproduction.beside import Line, place_of, telling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 60
_HEIGHT = 0.23
_FONT = 8
MARKS: Mapping[Agreement, Mark] = {
    Agreement.AGREES: Mark(BLUE, "s", "■"),
    Agreement.COMPATIBLE: Mark(GREY, "o", "○", filled=False),
    Agreement.CLOSE: Mark(BLACK, "D", "◇", filled=False),
    Agreement.HIGHER: Mark(VERMILLION, "^", "▲"),
    Agreement.LOWER: Mark(VERMILLION, "v", "▼"),
    Agreement.UNSTABLE: Mark(VERMILLION, "X", "✕"),
    Agreement.TOO_FEW: Mark(GREY, ".", "·"),
}
CAPTION = (
    "Ours minus the published mean with its 95 % interval, from both sides' seeds (solid) or from "
    "ours alone (dashed). The band is the smallest difference of interest."
)


def gap_figure(problem: str, lines: Sequence[Line]) -> Figure:
    """Return the figure of the *lines* of one problem that we have results of, at least one."""
    shown = [(line, line.gap) for line in lines if line.gap is not None][:MOST_LINES]
    numbers = Numbers(lines[0].match.published.metric)
    factor = 100.0 if numbers.percent else 1.0
    words = {line.word for line, _ in shown}
    legend = [
        Entry(word.value, MARKS[word].colour, marker=MARKS[word].marker)
        for word in Agreement
        if word in words
    ]
    figure = new_figure(1, 1, legend, panel=(6.4, _HEIGHT * len(shown) + 1.0))
    axis = figure.subplots()
    smallest = factor * lines[0].smallest
    if smallest:
        axis.axvspan(-smallest, smallest, color=GREY, alpha=0.16, linewidth=0)
    axis.axvline(0, color=BLACK, linewidth=0.8)
    for place, (line, gap) in enumerate(shown):
        _draw(axis, place, line.word, gap, factor)
    axis.set_ylim(len(shown) - 0.4, -0.6)
    names = telling(lines)
    labels = [shortened(_label(line, names)) for line, _ in shown]
    axis.set_yticks(range(len(shown)), labels, fontsize=_FONT)
    axis.tick_params(axis="y", length=0)
    axis.spines[["left", "right", "top"]].set_visible(False)
    axis.grid(visible=True, axis="x", linewidth=0.4, alpha=0.5)
    unit = f" [{numbers.points.strip()}]" if numbers.percent else ""
    axis.set_xlabel(f"ours - published{unit}", fontsize=_FONT + 1)
    add_title(figure, f"{problem}: {lines[0].match.published.metric}")
    add_legend(figure, legend, "line: 95 % interval; dashed: of our seeds alone")
    return as_written(figure)


def _draw(axis: Axes, place: int, word: Agreement, gap: Gap, factor: float) -> None:
    mark = MARKS[word]
    if gap.interval is not None:
        dash = "-" if gap.covers == "both" else "--"
        ends = [factor * end for end in gap.interval]
        axis.plot(ends, [place, place], color=mark.colour, linewidth=1.3, linestyle=dash, zorder=2)
    axis.plot(
        [factor * gap.difference],
        [place],
        marker=mark.marker,
        color=mark.colour,
        markerfacecolor=mark.colour if mark.filled else "#ffffff",
        markersize=6,
        zorder=3,
    )


def _label(line: Line, names: Sequence[str]) -> str:
    spec = line.match.spec
    return " ".join(filter(None, [spec.norm_label, spec.optimizer.name, place_of(line, names)]))
