"""Training curves: for each part and metric a panel, for each row a colour.

A row is drawn as the mean over its finished seeds with a band around it. Runs that did not finish
are drawn one by one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from normbench.errors import UsageError
from normbench.plots.figures import Look, title_of
from normbench.plots.style import (
    AXIS_LABELS,
    Entry,
    add_grid,
    add_legend,
    add_title,
    in_unit,
    interval,
    look,
    new_figure,
)
from normbench.specs import RunSpec
from normbench.store import RunState, StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = ("train", "validation", "test")
Point = Mapping[str, Any]


@dataclass(frozen=True)
class Curves:
    """The curves of one row.

    Attributes:
        label: The row in the legend.
        finished: Points of each finished run.
        diverged: Points of each diverged run; they end where it did.
        unfinished: Points of each run that is not done.
    """

    label: str
    finished: tuple[Sequence[Point], ...] = ()
    diverged: tuple[Sequence[Point], ...] = ()
    unfinished: tuple[Sequence[Point], ...] = ()

    @property
    def count(self) -> int:
        """Number of runs."""
        return len(self.finished) + len(self.diverged) + len(self.unfinished)

    @property
    def all(self) -> tuple[Sequence[Point], ...]:
        """All runs' points."""
        return self.finished + self.diverged + self.unfinished


def gather(runs: Iterable[StoredRun]) -> list[Curves]:
    """Return the curves of *runs* by row, in the order in which rows first appear.

    Runs without any point are left out.
    """
    by_row: dict[str, list[StoredRun]] = {}
    for run in runs:
        by_row.setdefault(run.spec.row, []).append(run)
    labels = _labels([members[0].spec for members in by_row.values()])
    rows = [_curves(*pair) for pair in zip(labels, by_row.values(), strict=True)]
    return [curves for curves in rows if curves.count]


def gather_by(runs: Iterable[StoredRun], label: Callable[[RunSpec], str]) -> list[Curves]:
    """Return the curves of *runs*, those of one *label* together; without points left out."""
    groups: dict[str, list[StoredRun]] = {}
    for run in runs:
        groups.setdefault(label(run.spec), []).append(run)
    rows = [_curves(name, members) for name, members in groups.items()]
    return [curves for curves in rows if curves.count]


def figure(runs: Sequence[StoredRun], choice: Look) -> Figure:
    """Return the figure of all rows of *runs*."""
    rows = gather(runs)
    if not rows:
        raise UsageError(
            f"none of the {len(runs)} runs chosen has a curve yet. See: normbench status"
        )
    return draw(rows, band=choice.band, log_loss=choice.log_loss, title=title_of(runs))


def draw(
    rows: Sequence[Curves],
    *,
    band: str = "range",
    log_loss: bool = False,
    title: str = "",
    parts: Sequence[str] = PARTS,
) -> Figure:
    """Return a figure with the curves of *rows*.

    Args:
        rows: What to draw.
        band: ``range`` from the smallest to the largest seed, or ``interval``, the 95 % t interval
            of the mean.
        log_loss: Whether the loss axis is logarithmic.
        title: What all rows have in common.
        parts: Parts to draw, where the rows have them. A single part has its metrics side by side.
    """
    metrics, shown = _panels(rows, parts)
    panels = [[(metric, part) for part in shown] for metric in metrics]
    if len(shown) == 1:
        panels = [[panel for line in panels for panel in line]]
    entries = [entry(curves, number) for number, curves in enumerate(rows)]
    figure = new_figure(len(panels), len(panels[0]), entries)
    sharey: Literal["row", "none"] = "row" if len(shown) > 1 else "none"
    axes = figure.subplots(len(panels), len(panels[0]), squeeze=False, sharex=True, sharey=sharey)
    for line, names in enumerate(panels):
        for column, (metric, part) in enumerate(names):
            axis = axes[line, column]
            for number, curves in enumerate(rows):
                draw_row(axis, curves, part, metric, band, *look(number))
            _label(axis, part, metric, first=column == 0 or len(shown) == 1, top=line == 0)
            if column == 0 or len(shown) == 1:
                limit(axis, rows, metric, log=log_loss and metric == "loss", parts=shown)
        for column, (metric, part) in enumerate(names):
            _mark_diverged(axes[line, column], rows, part, metric)
    for axis in axes[-1]:
        axis.set_xlabel("epochs trained")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_xlim(left=0)
    if title:
        add_title(figure, title)
    add_legend(figure, entries, legend_title(band))
    return figure


def _curves(label: str, runs: Sequence[StoredRun]) -> Curves:
    drawn = [(run.state(), points) for run in runs if (points := run.points())]
    ended = (RunState.FINISHED, RunState.DIVERGED)
    return Curves(
        label,
        finished=tuple(points for state, points in drawn if state is RunState.FINISHED),
        diverged=tuple(points for state, points in drawn if state is RunState.DIVERGED),
        unfinished=tuple(points for state, points in drawn if state not in ended),
    )


def _labels(specs: Sequence[RunSpec]) -> list[str]:
    """Return norm and optimizer of each row; settings and rules only where they tell rows apart."""
    labels = [f"{spec.norm_label}, {spec.optimizer.name}" for spec in specs]
    rules = [" ".join([spec.protocol.name, *spec.deviations]) for spec in specs]
    if len(set(rules)) > 1:
        labels = [f"{label}, {words}" for label, words in zip(labels, rules, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label}, {_setting(spec)}" for label, spec in zip(labels, specs, strict=True)]
    return labels


def _setting(spec: RunSpec) -> str:
    values = {"lr": spec.optimizer.parameters.get("lr")}
    values |= spec.identity["optimizer"]["parameters"]
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values.items()
    )


def _panels(rows: Sequence[Curves], wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the metrics and the parts that any of *rows* has values of; loss comes first."""
    seen = {
        (metric, part)
        for curves in rows
        for points in curves.all
        for point in points
        for part in wanted
        for metric in point.get(part, {})
    }
    metrics = sorted({metric for metric, _ in seen}, key=lambda name: (name != "loss", name))
    return metrics, [part for part in wanted if any(part == other for _, other in seen)]


def series(points: Sequence[Point], part: str, metric: str) -> dict[int, float]:
    """Return the values of a metric by epoch, in the unit of its axis."""
    return {
        int(point["epoch"]): in_unit(metric, point[part][metric])
        for point in points
        if metric in point.get(part, {})
    }


def draw_row(
    axis: Axes, curves: Curves, part: str, metric: str, band: str, colour: str, dash: str
) -> None:
    """Draw one row into a panel: mean and band, and thin lines for runs that did not finish."""
    finished = [series(points, part, metric) for points in curves.finished]
    epochs, means, low, high = _summary(finished, band)
    mark = "o" if len(means) == 1 else ""
    axis.plot(epochs, means, color=colour, linestyle=dash, linewidth=1.5, marker=mark, markersize=4)
    if len(finished) > 1:
        axis.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
    for points in (*curves.diverged, *curves.unfinished):
        values = series(points, part, metric)
        axis.plot(list(values), list(values.values()), color=colour, linewidth=0.7, alpha=0.8)


def _mark_diverged(axis: Axes, rows: Sequence[Curves], part: str, metric: str) -> None:
    """Mark where each diverged run ended; at the edge if its last value lies beyond."""
    bottom, top = axis.get_ylim()
    for number, curves in enumerate(rows):
        colour, _ = look(number)
        for points in curves.diverged:
            last = list(series(points, part, metric).items())[-1:]
            for epoch, value in last:
                height = min(max(value, bottom), top)
                axis.plot([epoch], [height], "x", markersize=7, color=colour, clip_on=False)


def _summary(
    runs: Sequence[Mapping[int, float]], band: str
) -> tuple[list[int], list[float], list[float], list[float]]:
    """Return epochs, means, and lower and upper ends of the band, where all runs have a value."""
    epochs = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    columns = [[run[epoch] for run in runs] for epoch in epochs]
    means = [math.fsum(values) / len(values) for values in columns]
    if band == "range" or len(runs) < 2:
        return epochs, means, [min(v) for v in columns], [max(v) for v in columns]
    half = [interval(values) for values in columns]
    return (
        epochs,
        means,
        [mean - h for mean, h in zip(means, half, strict=True)],
        [mean + h for mean, h in zip(means, half, strict=True)],
    )


def _label(axis: Axes, part: str, metric: str, *, first: bool, top: bool) -> None:
    if top:
        axis.set_title(part)
    if first:
        axis.set_ylabel(AXIS_LABELS.get(metric, metric))
    add_grid(axis)


def limit(
    axis: Axes,
    rows: Sequence[Curves],
    metric: str,
    *,
    log: bool,
    parts: Sequence[str] = PARTS,
) -> None:
    """Set the vertical range from the runs that did not diverge, so that these stay readable.

    A loss that shoots up in a few runs leaves the panel at its top: the range ends at three times
    the median of the runs' largest values.
    """
    calm = [points for curves in rows for points in (*curves.finished, *curves.unfinished)]
    runs = [values for points in calm if (values := _values(points, metric, parts))]
    if not runs:
        runs = [
            _values(points, metric, parts) or [0.0] for curves in rows for points in curves.diverged
        ]
    low, high = min(map(min, runs)), max(map(max, runs))
    if metric == "loss":
        high = min(high, 3 * statistics.median(map(max, runs)))
    if log and low > 0:
        axis.set_yscale("log")
        axis.set_ylim(low / 1.1, high * 1.1)
        return
    margin = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
    axis.set_ylim(low - margin, high + margin)


def _values(points: Sequence[Point], metric: str, parts: Sequence[str]) -> list[float]:
    """Return a run's values of a metric in all *parts*."""
    return [value for part in parts for value in series(points, part, metric).values()]


def entry(curves: Curves, number: int) -> Entry:
    """Return the legend's entry of a row: its label, and how many runs of each kind it has."""
    counts = [f"n={len(curves.finished)}"]
    if curves.diverged:
        counts.append(f"{len(curves.diverged)} diverged (×)")
    if curves.unfinished:
        counts.append(f"{len(curves.unfinished)} unfinished (thin)")
    return Entry(f"{curves.label}: {', '.join(counts)}", *look(number))


def legend_title(band: str) -> str:
    """Return the sentence that explains lines and bands."""
    around = "smallest to largest seed" if band == "range" else "95 % t interval of the mean"
    return f"line: mean over n finished seeds; band: {around}"
