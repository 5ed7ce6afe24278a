"""Mean ranks of methods over problems, and which are too close to be told apart by ranks alone.

J. Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.errors import UsageError
from normbench.leaderboard.new_problems import LEAST_FOR_CD
from normbench.leaderboard.overall import Overall
from normbench.plots.marks import as_written, shortened, visible
from normbench.plots.style import add_title, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 0.22
_GAP = 0.16


def critical_difference(overall: Overall) -> Figure:
    """Return the diagram: methods at their mean ranks, bars over those within one difference.

    Raises:
        UsageError: Below eight problems or three methods, where there is no such difference.
    """
    test = overall.test
    if test is None or test.critical_difference is None:
        raise UsageError(
            f"a critical-difference figure takes {LEAST_FOR_CD} problems and 3 methods that were "
            f"run on all of them: there are {len(overall.problems)} problems and "
            f"{len(overall.tested)} such methods. Mean ranks are in the table: normbench "
            "leaderboard"
        )
    # Ranks are those among all methods; filters choose which of them are shown.
    shown = {(each.norm, each.optimizer) for each in overall.standings}
    ranked = sorted(zip(test.mean_ranks, overall.tested, strict=True))
    named = [(rank, method) for rank, method in ranked if method in shown]
    ranks = [rank for rank, _ in named]
    labels = [f"{' '.join(map(shortened, method))} {rank:.2f}" for rank, method in named]
    bars = _groups(ranks, test.critical_difference)
    half = (len(ranks) + 1) // 2
    depth = _GAP * (len(bars) + 1.5)
    height = depth + _LINE * half
    figure = new_figure(1, 1, (), panel=(7.8, height + 1.2))
    axis = figure.subplots()
    axis.set_ylim(height, -0.62)
    _draw_scale(axis, len(ranked), test.critical_difference)
    for level, (first, last) in enumerate(bars):
        y = _GAP * (level + 1)
        axis.plot([ranks[first] - 0.04, ranks[last] + 0.04], [y, y], color="#000000", linewidth=3)
    _draw_labels(axis, ranks, labels, depth)
    title = f"Mean ranks over {len(overall.problems)} problems, {overall.protocol}"
    add_title(figure, visible(title))
    figure.supxlabel(
        "1 is the best rank; bars join methods within Nemenyi's critical difference at 5 %",
        fontsize=8,
    )
    return as_written(figure)


def _groups(ranks: Sequence[float], width: float) -> list[tuple[int, int]]:
    """Return first and last place of each group of sorted *ranks* that *width* holds."""
    groups: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(i for i, other in enumerate(ranks) if other - rank < width)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups


def _draw_scale(axis: Axes, methods: int, width: float) -> None:
    """Draw the axis of ranks, and above it the critical difference."""
    from matplotlib.ticker import MaxNLocator

    margin = 0.75 * (methods - 1)
    axis.set_xlim(1 - margin, methods + margin)
    axis.plot([1, methods], [0, 0], color="#000000", linewidth=1.0)
    for rank in MaxNLocator(integer=True, nbins=12).tick_values(1, methods):
        if 1 <= rank <= methods:
            axis.plot([rank, rank], [-0.06, 0], color="#000000", linewidth=1.0)
            axis.text(rank, -0.1, f"{rank:g}", ha="center", va="bottom", fontsize=8)
    axis.plot([1, 1 + width], [-0.42, -0.42], color="#000000", linewidth=1.5, marker="|")
    words = f"critical difference {width:.2f}"
    axis.text(1 + width + 0.01 * (methods + 2 * margin), -0.42, words, va="center", fontsize=8)
    axis.set_axis_off()


def _draw_labels(axis: Axes, ranks: Sequence[float], labels: Sequence[str], depth: float) -> None:
    """Draw each method's line down to its label: the better half on the left, the rest right."""
    half = (len(ranks) + 1) // 2
    left, right = axis.get_xlim()
    edge = 0.3 * (right - left)
    for place, (rank, label) in enumerate(zip(ranks, labels, strict=True)):
        better = place < half
        y = depth + _LINE * (place if better else len(ranks) - 1 - place)
        x = left + edge if better else right - edge
        axis.plot([rank, rank, x], [0, y, y], color="#000000", linewidth=0.7)
        side = "right" if better else "left"
        gap = -0.006 * (right - left) if better else 0.006 * (right - left)
        axis.text(x + gap, y, label, ha=side, va="center", fontsize=8)
