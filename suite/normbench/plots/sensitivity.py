"""Final score against the learning rate: a mark for each seed, a line through the means."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from normbench.errors import UsageError
from normbench.plots.figures import Look, refuse_pooling, title_of
from normbench.plots.style import (
    AXIS_LABELS,
    Entry,
    add_grid,
    add_legend,
    add_title,
    in_unit,
    look,
    new_figure,
)
from normbench.specs import RunSpec
from normbench.store import RunState, StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Scores = Mapping[float, Sequence[float]]


def figure(runs: Sequence[StoredRun], choice: Look) -> Figure:  # noqa: ARG001 - one of several
    """Return the figure of *runs*; a diverged run counts with the problem's worst score.

    Raises:
        UsageError: If no run has a result, or there is one learning rate only.
    """
    refuse_pooling(runs, lambda spec: (_label(spec), spec.learning_rate))
    lines = _scores(runs)
    rates = {rate for scores in lines.values() for rate in scores}
    if len(rates) < 2:
        raise UsageError(
            f"these runs have {len(rates)} learning rates with a result: expected two or more. "
            "Train others: normbench run PROBLEM OPTIMIZER lr=0.02"
        )
    entries = [Entry(label, *look(number)) for number, label in enumerate(lines)]
    drawn = new_figure(1, 1, entries, panel=(5.2, 3.4))
    axis = drawn.subplots()
    for entry, scores in zip(entries, lines.values(), strict=True):
        _draw_line(axis, entry, scores)
    part, _, metric = runs[0].spec.problem.metric.name.partition("_")
    axis.set_xscale("log")
    axis.set_xlabel("learning rate η")
    axis.set_ylabel(f"{part} {AXIS_LABELS.get(metric, metric)}")
    add_grid(axis)
    diverged = sum(run.state() is RunState.DIVERGED for run in runs)
    add_title(drawn, title_of(runs))
    note = f"; {diverged} diverged runs at the worst score" if diverged else ""
    add_legend(drawn, entries, f"line: mean; +: a seed{note}")
    return drawn


def _scores(runs: Sequence[StoredRun]) -> dict[str, dict[float, list[float]]]:
    """Return the scores by norm and optimizer, and by learning rate in ascending order."""
    found: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in sorted(runs, key=lambda run: run.spec.learning_rate):
        result = run.result()
        if result is None:
            continue
        metric = run.spec.problem.metric.name.partition("_")[2]
        found[_label(run.spec)][run.spec.learning_rate].append(in_unit(metric, result["score"]))
    return found


def _label(spec: RunSpec) -> str:
    return f"{spec.norm_label}, {spec.optimizer.name}"


def _draw_line(axis: Axes, entry: Entry, scores: Scores) -> None:
    means = [math.fsum(values) / len(values) for values in scores.values()]
    axis.plot(list(scores), means, color=entry.colour, linestyle=entry.dash, linewidth=1.5)
    for rate, values in scores.items():
        axis.plot([rate] * len(values), values, "+", color=entry.colour, markersize=6)
