"""The tables of a study's report; what each cell says is decided here once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from normbench.parameters import Value, typed
from normbench.tables import score
from normbench.tuning import tables
from normbench.tuning.budget import Budget
from normbench.tuning.divergence import Region
from normbench.tuning.good import GoodRegion
from normbench.tuning.methods import find_method
from normbench.tuning.sensitivity import LEAST_CORRELATED, LEAST_TRIALS, Sensitivity
from normbench.tuning.study import Study
from normbench.tuning.summary import Summary


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table.

    Attributes:
        title: Above it.
        columns: Headings.
        rows: Cells, as many in each row as there are columns.
        right: Headings of the columns that are aligned on the right.
        notes: Sentences below it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def summary_tables(summary: Summary) -> list[Table]:
    """Return the tables of budgets, of hyper-parameters and, where some did, of divergence."""
    found = [budget_table(summary), hyperparameter_table(summary)]
    return [*found, divergence_table(summary)] if summary.diverged.count else found


def budget_table(summary: Summary) -> Table:
    """Return what 5, 10, 20 and all trials find, beside the default setting."""
    extends = find_method(summary.study.method).extends
    ordered = extends and not summary.sequential and not summary.missing
    columns = ["trials", "validation", "middle 95 %", "test", "test, middle 95 %", "as drawn"]
    rows = [_default_row(summary)]
    rows += [
        _budget_row(summary, budget, ordered=ordered, name=str(budget.trials))
        for budget in summary.budgets
    ]
    kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    return Table(
        title="What a number of trials finds",
        columns=[columns[i] for i in kept],
        rows=[[row[i] for i in kept] for row in rows],
        right=columns,
        notes=(_budget_note(summary, ordered=ordered), *_default_note(summary)),
    )


def hyperparameter_table(summary: Summary) -> Table:
    """Return how much each hyper-parameter matters."""
    metric = summary.study.metric
    difference = f"{metric.smallest_difference:g}"
    if metric.name.endswith("accuracy"):
        difference = f"{100 * metric.smallest_difference:g} percentage points"
    crowded = (
        " Trials of a sequential method crowd where scores are good." if summary.sequential else ""
    )
    return Table(
        title="How much each hyper-parameter matters",
        columns=(
            "searched",
            "share of variance",
            "rank correlation",
            "good values",
            "of the range",
        ),
        rows=[
            [
                str(summary.study.space[each.name]),
                _variance_cell(each),
                _correlation_cell(summary, each),
                _good_cell(each.good),
                f"{100 * each.good.share:.0f} %" if each.good else "",
            ]
            for each in summary.sensitivities
        ],
        right=("of the range",),
        notes=(
            "Share of the variance of the validation score that the hyper-parameter explains "
            "alone, and Spearman's rank correlation (positive: larger values did better), each "
            "with its 95 % interval, over trials that did not diverge. Good: within "
            f"{difference} of the best trial; * a region that reaches the edge of what was "
            f"searched.{crowded}",
        ),
    )


def divergence_table(summary: Summary) -> Table:
    """Return where trials diverged."""
    return Table(
        title="Where trials diverged",
        columns=("hyper-parameter", "diverged", "largest that finished", "smallest that diverged"),
        rows=[
            [
                each.name,
                "; ".join(_region(region) for region in each.divergence.regions),
                _number(each.divergence.largest_finished),
                _number(each.divergence.smallest_diverged),
            ]
            for each in summary.sensitivities
        ],
        right=("largest that finished", "smallest that diverged"),
        notes=("Diverged of all trials in each third of the range, or with each choice.",),
    )


def trial_table(study: Study) -> Table:
    """Return every trial of *study*, and the default setting."""
    return Table(
        title="Trials",
        columns=tables.columns(study),
        rows=[tables.trial_cells(study, trial) for trial in (*study.trials, study.default)],
        right=tables.numeric_columns(study),
    )


def _default_row(summary: Summary) -> list[str]:
    if summary.default is None:
        return ["default setting", "no result", "", "", "", ""]
    row = _budget_row(summary, summary.default, ordered=False, name="default setting")
    return [*row[:-1], "diverged"] if summary.study.default.diverged else row


def _budget_row(summary: Summary, budget: Budget, *, ordered: bool, name: str) -> list[str]:
    metric = summary.study.metric.name
    realised = score(summary.realised[budget.trials - 1].validation, metric) if ordered else ""
    return [
        name,
        score(budget.validation, metric),
        _interval(budget.interval, metric),
        score(budget.test, metric),
        _interval(budget.test_interval, metric),
        realised,
    ]


def _interval(interval: tuple[float, float] | None, metric: str) -> str:
    if interval is None:
        return ""
    return f"{score(interval[0], metric)} to {score(interval[1], metric)}"


def _budget_note(summary: Summary, *, ordered: bool) -> str:
    worst = score(summary.study.metric.worst, summary.study.metric.name)
    diverged = f" A diverged trial counts as {worst}." if summary.diverged.count else ""
    if summary.sequential:
        return (
            "Each trial depends on those before it, so this is the best so far, trial after trial; "
            f"nothing can be said of another order.{diverged}"
        )
    drawn = " As drawn: the best of the first so many." if ordered else ""
    return (
        "Expected score of the trial that is best on validation among so many of these "
        f"{len(summary.trials)}, drawn without replacement; the middle 95 % over which come first, "
        f"which closes at all of them and is no interval for another sweep.{drawn}{diverged}"
    )


def _default_note(summary: Summary) -> tuple[str, ...]:
    if summary.default is None:
        return ()
    reached = summary.trials_to_default
    if reached is None:
        return ("The best of these trials does not do as well as the default setting.",)
    done = "took" if summary.sequential else "are expected to take"
    return (f"To do as well as the default setting, these trials {done} {reached}.",)


def _variance_cell(sensitivity: Sensitivity) -> str:
    if sensitivity.share is None or sensitivity.share_interval is None:
        return _why_none(sensitivity, LEAST_TRIALS)
    low, high = sensitivity.share_interval
    return f"{100 * sensitivity.share:.0f} % ({100 * low:.0f} to {100 * high:.0f} %)"


def _correlation_cell(summary: Summary, sensitivity: Sensitivity) -> str:
    if not summary.study.space[sensitivity.name].numeric:
        return "no order"
    if sensitivity.correlation is None or sensitivity.correlation_interval is None:
        return _why_none(sensitivity, LEAST_CORRELATED)
    low, high = sensitivity.correlation_interval
    return f"{sensitivity.correlation:+.2f} ({low:+.2f} to {high:+.2f})"


def _why_none(sensitivity: Sensitivity, least: int) -> str:
    if sensitivity.finished < least:
        return f"too few trials ({sensitivity.finished} of {least})"
    return "no variance"


def _good_cell(good: GoodRegion | None) -> str:
    if good is None:
        return "none"
    values = ", ".join(map(_word, good.choices)) if good.choices else _from_to(good.low, good.high)
    counted = f"{good.good} of {good.trials} trials"
    return f"{values}{'*' if good.at_edge else ''} ({counted})"


def _from_to(low: Value, high: Value) -> str:
    return _word(low) if low == high else f"{_word(low)} to {_word(high)}"


def _word(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else typed(value)


def _region(region: Region) -> str:
    return f"{_from_to(region.low, region.high)}: {region.share.count} of {region.share.total}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
