"""Training curves as figures; matplotlib is imported when one is drawn, its settings untouched.

For each part (train, validation, test) and metric a panel; for each row a colour, with the mean
over its finished seeds and a band around it. Runs that did not finish are drawn one by one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from normbench.errors import NormbenchError, UsageError
from normbench.specs import RunSpec
from normbench.store import RunState, StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Dash = Literal["-", "--", "-.", ":"]
PARTS = ("train", "validation", "test")
FORMATS = (".png", ".svg", ".pdf")
DOTS_PER_INCH = 150
# Okabe and Ito's palette (2008): told apart with any common kind of colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Dash, ...] = ("-", "--", "-.", ":")
_CHARACTER_WIDTH = 0.068  # inches at 8 points, on average
_TITLE_WIDTH = 5.2
_AXIS_LABELS = {"loss": "loss (mean per example)", "accuracy": "accuracy [%]"}
_FACTORS = {"accuracy": 100.0}

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


def draw(
    rows: Sequence[Curves], *, band: str = "range", log_loss: bool = False, title: str = ""
) -> Figure:
    """Return a figure with the curves of *rows*.

    Args:
        rows: What to draw.
        band: ``range`` from the smallest to the largest seed, or ``interval``, the 95 % t interval
            of the mean.
        log_loss: Whether the loss axis is logarithmic.
        title: What all rows have in common.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metrics, parts = _panels(rows)
    width = max(3.4 * len(parts) + 0.6, _entry_width(rows), _TITLE_WIDTH)
    columns = max(1, min(3, len(rows), int(width / _entry_width(rows))))
    legend_height = 0.2 * math.ceil(len(rows) / columns) + 0.4
    figure = Figure(figsize=(width, 2.7 * len(metrics) + legend_height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(metrics), len(parts), squeeze=False, sharex=True, sharey="row")
    for line, metric in enumerate(metrics):
        for column, part in enumerate(parts):
            _draw_panel(axes[line, column], rows, part, metric, band)
            _label_panel(axes[line, column], part, metric, first=column == 0, top=line == 0)
        _limit(axes[line, 0], rows, metric, log=log_loss and metric == "loss")
        for column, part in enumerate(parts):
            _mark_diverged(axes[line, column], rows, part, metric)
    for axis in axes[-1]:
        axis.set_xlabel("epochs trained")
        axis.set_xlim(left=0)
    if title:
        figure.suptitle(title)
    _add_legend(figure, rows, band, columns)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write *figure*; the ending of *path* decides the format.

    Raises:
        UsageError: If the ending is unknown.
        NormbenchError: If the file cannot be written.
    """
    check_format(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DOTS_PER_INCH)
    except OSError as error:
        raise NormbenchError(f"{path} cannot be written: {error.strerror}.") from error


def check_format(path: Path) -> None:
    """Raise UsageError if the ending of *path* names no format that figures have."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--out {path}: expected a name that ends in {', '.join(FORMATS)}.")


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


def _panels(rows: Sequence[Curves]) -> tuple[list[str], list[str]]:
    """Return the metrics and the parts that any of *rows* has values of; loss comes first."""
    seen = {
        (metric, part)
        for curves in rows
        for points in curves.all
        for point in points
        for part in PARTS
        for metric in point.get(part, {})
    }
    metrics = sorted({metric for metric, _ in seen}, key=lambda name: (name != "loss", name))
    return metrics, [part for part in PARTS if any(part == other for _, other in seen)]


def _series(points: Sequence[Point], part: str, metric: str) -> dict[int, float]:
    """Return the values of a metric by epoch, in the unit of its axis."""
    factor = _FACTORS.get(metric, 1.0)
    return {
        int(point["epoch"]): factor * point[part][metric]
        for point in points
        if metric in point.get(part, {})
    }


def _draw_panel(axis: Axes, rows: Sequence[Curves], part: str, metric: str, band: str) -> None:
    for number, curves in enumerate(rows):
        colour, dash = _look(number)
        finished = [_series(points, part, metric) for points in curves.finished]
        epochs, means, low, high = _summary(finished, band)
        mark = "o" if len(means) == 1 else ""
        axis.plot(
            epochs, means, color=colour, linestyle=dash, linewidth=1.5, marker=mark, markersize=4
        )
        if len(finished) > 1:
            axis.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
        for points in (*curves.diverged, *curves.unfinished):
            series = _series(points, part, metric)
            axis.plot(list(series), list(series.values()), color=colour, linewidth=0.7, alpha=0.8)


def _mark_diverged(axis: Axes, rows: Sequence[Curves], part: str, metric: str) -> None:
    """Mark where each diverged run ended; at the edge if its last value lies beyond."""
    bottom, top = axis.get_ylim()
    for number, curves in enumerate(rows):
        colour, _ = _look(number)
        for points in curves.diverged:
            last = list(_series(points, part, metric).items())[-1:]
            for epoch, value in last:
                height = min(max(value, bottom), top)
                axis.plot([epoch], [height], "x", markersize=7, color=colour, clip_on=False)


def _look(number: int) -> tuple[str, Dash]:
    """Return colour and dash of a row; rows beyond the palette differ by their dash."""
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    return COLOURS[number % len(COLOURS)], dash


def _summary(
    runs: Sequence[Mapping[int, float]], band: str
) -> tuple[list[int], list[float], list[float], list[float]]:
    """Return epochs, means, and lower and upper ends of the band, where all runs have a value."""
    epochs = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    columns = [[run[epoch] for run in runs] for epoch in epochs]
    means = [math.fsum(values) / len(values) for values in columns]
    if band == "range" or len(runs) < 2:
        return epochs, means, [min(v) for v in columns], [max(v) for v in columns]
    from scipy.special import stdtrit

    quantile = float(stdtrit(len(runs) - 1, 0.975))
    half = [
        quantile
        * math.sqrt(math.fsum((v - mean) ** 2 for v in values))
        / math.sqrt((len(runs) - 1) * len(runs))
        for values, mean in zip(columns, means, strict=True)
    ]
    return (
        epochs,
        means,
        [mean - h for mean, h in zip(means, half, strict=True)],
        [mean + h for mean, h in zip(means, half, strict=True)],
    )


def _label_panel(axis: Axes, part: str, metric: str, *, first: bool, top: bool) -> None:
    if top:
        axis.set_title(part)
    if first:
        axis.set_ylabel(_AXIS_LABELS.get(metric, metric))
    axis.grid(visible=True, linewidth=0.4, alpha=0.5)


def _limit(axis: Axes, rows: Sequence[Curves], metric: str, *, log: bool) -> None:
    """Set the vertical range from the runs that did not diverge, so that these stay readable.

    A loss that shoots up in a few runs leaves the panel at its top: the range ends at three times
    the median of the runs' largest values.
    """
    calm = [points for curves in rows for points in (*curves.finished, *curves.unfinished)]
    runs = [values for points in calm if (values := _values(points, metric))]
    if not runs:
        runs = [_values(points, metric) or [0.0] for curves in rows for points in curves.diverged]
    low, high = min(map(min, runs)), max(map(max, runs))
    if metric == "loss":
        high = min(high, 3 * statistics.median(map(max, runs)))
    if log and low > 0:
        axis.set_yscale("log")
        axis.set_ylim(low / 1.1, high * 1.1)
        return
    margin = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
    axis.set_ylim(low - margin, high + margin)


def _values(points: Sequence[Point], metric: str) -> list[float]:
    """Return a run's values of a metric in all parts."""
    return [value for part in PARTS for value in _series(points, part, metric).values()]


def _entry_width(rows: Sequence[Curves]) -> float:
    """Return the width of the longest entry of the legend in inches, its line included."""
    return 0.7 + _CHARACTER_WIDTH * max(len(_entry(curves)) for curves in rows)


def _entry(curves: Curves) -> str:
    counts = [f"n={len(curves.finished)}"]
    if curves.diverged:
        counts.append(f"{len(curves.diverged)} diverged (×)")
    if curves.unfinished:
        counts.append(f"{len(curves.unfinished)} unfinished (thin)")
    return f"{curves.label}: {', '.join(counts)}"


def _add_legend(figure: Figure, rows: Sequence[Curves], band: str, columns: int) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for number, curves in enumerate(rows):
        colour, dash = _look(number)
        handles.append(Line2D([], [], color=colour, linestyle=dash, label=_entry(curves)))
    around = "smallest to largest seed" if band == "range" else "95 % t interval of the mean"
    figure.legend(
        handles=handles,
        title=f"line: mean over n finished seeds; band: {around}",
        loc="outside lower center",
        ncols=columns,
        fontsize=8,
        title_fontsize=8,
        frameon=False,
    )
