"""Validation score of every trial of a study against each hyper-parameter, a panel for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.parameters import typed
from normbench.plots.style import Entry, add_grid, add_legend, add_title, in_unit, new_figure
from normbench.plots.tuning_words import (
    CURVE,
    DEFAULT,
    DIVERGED,
    GOOD,
    default_entries,
    metric_of,
    outcome_words,
    score_label,
    title_of,
)
from normbench.tuning.good import near_best
from normbench.tuning.places import number, ordered_choices
from normbench.tuning.sensitivity import Sensitivity
from normbench.tuning.space import Axis
from normbench.tuning.study import Trial
from normbench.tuning.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_COLUMNS = 3
_LONG_LABELS = 24


def hyperparameter_figure(summary: Summary) -> Figure:
    """Return the figure of a study.

    Good trials, those within the problem's smallest difference of interest of the best one, are
    told apart. Diverged ones have no score; they are marked at the worse edge of the panels.
    """
    count = len(summary.sensitivities)
    columns = min(count, _MOST_COLUMNS)
    lines = math.ceil(count / columns)
    entries = [*_trial_entries(summary), *default_entries(summary)]
    drawn = new_figure(lines, columns, entries, panel=(3.6, 3.2))
    panels = drawn.subplots(lines, columns, squeeze=False, sharey=True).flatten().tolist()
    for axis, sensitivity in zip(panels, summary.sensitivities, strict=False):
        _draw(axis, summary, sensitivity)
    for spare in panels[count:]:
        spare.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel(score_label(summary, "validation"))
    add_title(drawn, title_of(summary))
    add_legend(drawn, entries, outcome_words(summary))
    return drawn


def _trial_entries(summary: Summary) -> list[Entry]:
    difference = in_unit(metric_of(summary), summary.study.metric.smallest_difference)
    entries = [
        Entry(f"a trial within {difference:g} of the best", GOOD, marker="D"),
        Entry("another trial", CURVE, marker="o"),
    ]
    if summary.diverged.count:
        entries.append(Entry("one that diverged, at the edge", DIVERGED, marker="x"))
    return entries


def _draw(axis: Axes, summary: Summary, sensitivity: Sensitivity) -> None:
    searched = summary.study.space[sensitivity.name]
    good = near_best(summary.trials, summary.study.metric)
    for near, colour, marker in ((False, CURVE, "o"), (True, GOOD, "D")):
        shown = [
            trial
            for trial, is_near in zip(summary.trials, good, strict=True)
            if is_near is near and trial.score is not None
        ]
        scores = [in_unit(metric_of(summary), trial.score or 0.0) for trial in shown]
        axis.plot(_abscissas(searched, shown), scores, marker, color=colour, markersize=4)
    _draw_diverged(axis, summary, searched)
    if default_entries(summary) and summary.default is not None:
        score = in_unit(metric_of(summary), summary.default.validation)
        axis.axhline(score, color=DEFAULT, linestyle="--", linewidth=1.0)
    _set_scale(axis, searched)
    axis.set_xlabel(searched.word)
    axis.set_title(_numbers(sensitivity), fontsize=8)
    add_grid(axis)


def _draw_diverged(axis: Axes, summary: Summary, searched: Axis) -> None:
    places = _abscissas(searched, [trial for trial in summary.trials if trial.diverged])
    edge = 0.02 if summary.study.metric.direction == "max" else 0.98
    inside = axis.get_xaxis_transform()
    axis.plot(places, [edge] * len(places), "x", color=DIVERGED, markersize=6, transform=inside)


def _set_scale(axis: Axes, searched: Axis) -> None:
    """Show the whole range searched, on its own scale."""
    search = searched.search
    if search.scale == "choice":
        labels = [typed(choice) for choice in ordered_choices(searched)]
        tilt = 45.0 if sum(map(len, labels)) > _LONG_LABELS else 0.0
        axis.set_xticks(range(len(labels)), labels, rotation=tilt)
        axis.set_xlim(-0.5, len(labels) - 0.5)
    elif search.scale == "log":
        margin = (search.high / search.low) ** 0.03
        axis.set_xscale("log")
        axis.set_xlim(search.low / margin, search.high * margin)
    else:
        margin = 0.03 * (search.high - search.low)
        axis.set_xlim(search.low - margin, search.high + margin)


def _abscissas(searched: Axis, trials: Sequence[Trial]) -> list[float]:
    """Return where on the horizontal axis *trials* lie: choices by their number."""
    values = [trial.values[searched.word] for trial in trials]
    if searched.search.scale == "choice":
        choices = ordered_choices(searched)
        return [float(choices.index(value)) for value in values]
    return [number(value) for value in values]


def _numbers(sensitivity: Sensitivity) -> str:
    """Return what is known of one hyper-parameter, in a line."""
    words = []
    if sensitivity.share is not None and sensitivity.share_interval is not None:
        low, high = (100 * end for end in sensitivity.share_interval)
        words.append(f"explains {100 * sensitivity.share:.0f} % [{low:.0f}, {high:.0f}]")
    if sensitivity.correlation is not None:
        words.append(f"rank correlation {sensitivity.correlation:+.2f}")
    return ", ".join(words) or f"{sensitivity.finished} finished: too few trials"
