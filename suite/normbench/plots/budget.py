"""What a number of trials finds: validation and test score against the number of trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normbench.plots.style import Entry, add_grid, add_legend, add_title, in_unit, new_figure
from normbench.plots.tuning_words import (
    CURVE,
    DEFAULT,
    default_entries,
    metric_of,
    outcome_words,
    score_label,
    title_of,
)
from normbench.tuning.budget import Budget
from normbench.tuning.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def budget_figure(summary: Summary) -> Figure:
    """Return the figure of a study.

    The band is the middle 95 % over which trials come first; of a sequential method there is none,
    and the line is the best so far among the trials, which are marked. Panels show the scores from
    two trials upward; what is worse leaves them.
    """
    entries = [*_curve_entries(summary), *default_entries(summary)]
    parts = ["validation"] if summary.curve[0].test is None else ["validation", "test"]
    drawn = new_figure(1, len(parts), entries, panel=(4.4, 3.2))
    panels = drawn.subplots(1, len(parts), squeeze=False)[0]
    for axis, part in zip(panels, parts, strict=True):
        _draw(axis, summary, part)
    add_title(drawn, title_of(summary))
    band = "" if summary.sequential else "band: middle 95 % over which trials come first; "
    add_legend(drawn, entries, f"{band}{outcome_words(summary)}")
    return drawn


def _curve_entries(summary: Summary) -> list[Entry]:
    if summary.sequential:
        return [Entry("best so far", CURVE), Entry("a trial", CURVE, marker="+")]
    return [Entry("expected best of k trials, drawn without replacement", CURVE)]


def _draw(axis: Axes, summary: Summary, part: str) -> None:
    from matplotlib.ticker import MaxNLocator

    metric = metric_of(summary)
    trials = [budget.trials for budget in summary.curve]
    scores = [in_unit(metric, _score(budget, part)) for budget in summary.curve]
    if summary.sequential:
        axis.plot(trials, scores, color=CURVE, drawstyle="steps-post")
        _mark_trials(axis, summary, part)
    else:
        axis.plot(trials, scores, color=CURVE, marker=".", markersize=4)
        _draw_band(axis, summary, part)
    shown = scores[1:] or scores
    if default_entries(summary) and summary.default is not None:
        default = in_unit(metric, _score(summary.default, part))
        axis.axhline(default, color=DEFAULT, linestyle="--", linewidth=1.0)
        shown = [*shown, default]
    _limit(axis, shown)
    axis.set_xlabel("trials k")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel(score_label(summary, part))
    add_grid(axis)


def _draw_band(axis: Axes, summary: Summary, part: str) -> None:
    ends = [
        budget.interval if part == "validation" else budget.test_interval
        for budget in summary.curve
    ]
    known = [pair for pair in ends if pair is not None]
    low, high = (
        [in_unit(metric_of(summary), end) for end in column] for column in zip(*known, strict=True)
    )
    trials = [budget.trials for budget in summary.curve]
    axis.fill_between(trials, low, high, color=CURVE, alpha=0.2, linewidth=0)


def _mark_trials(axis: Axes, summary: Summary, part: str) -> None:
    for trial, place in zip(summary.trials, range(1, len(summary.trials) + 1), strict=True):
        score = trial.score if part == "validation" else trial.test
        if score is not None:
            axis.plot([place], [in_unit(metric_of(summary), score)], "+", color=CURVE)


def _limit(axis: Axes, shown: list[float]) -> None:
    """Fit the panel to *shown*: with one trial nearly anything can happen."""
    low, high = min(shown), max(shown)
    margin = 0.15 * (high - low) or 0.01 * abs(high) or 1.0
    axis.set_ylim(low - margin, high + margin)


def _score(budget: Budget, part: str) -> float:
    return budget.validation if part == "validation" else budget.test or 0.0
