"""A study as text and as JSON values; what each cell says is decided here once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from normbench.parameters import Value, typed
from normbench.tables import rows_as_text, score
from normbench.tuning.divergence import Share
from normbench.tuning.methods import find_method
from normbench.tuning.study import Study, Trial

if TYPE_CHECKING:
    from normbench.tuning.conduct import TuningReport

SHOWN = 5


def columns(study: Study) -> list[str]:
    """Return the headings of :func:`trial_cells`."""
    name = study.metric.name.partition("_")[2]
    axes = [axis.word for axis in study.space]
    return ["trial", *axes, f"validation {name}", study.metric.name.replace("_", " "), "outcome"]


def numeric_columns(study: Study) -> list[str]:
    """Return the headings of numbers."""
    return columns(study)[:-1]


def best_rows(study: Study, count: int = SHOWN) -> list[list[str]]:
    """Return cells of the best *count* trials, and of the default setting."""
    return [trial_cells(study, trial) for trial in (*study.ranked[:count], study.default)]


def trial_cells(study: Study, trial: Trial) -> list[str]:
    """Return the cells of *trial* under :func:`columns`."""
    metric = study.metric.name
    return [
        str(trial.number) if trial.number else "default",
        *(_cell(trial, axis.word) for axis in study.space),
        score(trial.score, metric),
        score(trial.test, metric),
        outcome(trial),
    ]


def outcome(trial: Trial) -> str:
    """Return what became of the runs of *trial*, such as ``1 finished``."""
    counts = [(len(trial.scores), "finished"), (len(trial.diverged), "diverged")]
    missing = len(trial.runs) - sum(count for count, _ in counts)
    return ", ".join(f"{n} {word}" for n, word in [*counts, (missing, "without result")] if n)


def headline(study: Study) -> str:
    """Return what was searched and how, in a line."""
    rules = " ".join((study.protocol, *study.deviations))
    fixed = "".join(f" {word}={typed(value)}" for word, value in study.fixed.items())
    method = find_method(study.method)
    drawn = f", draw seed {study.draw_seed}" if method.seeded else ""
    return (
        f"{study.problem} {study.norm_label} {study.optimizer}{fixed}, protocol {rules}: "
        f"{len(study.trials)} trials of {study.space}, method {method.label}{drawn}"
    )


def closing(study: Study) -> list[str]:
    """Return what is said of a study below its table."""
    count, seeds = len(study.trials), len(study.tuning_seeds)
    chosen = "best epoch" if study.select == "best" else "final epoch"
    several = f", mean of {seeds} tuning seeds" if seeds > 1 else ""
    lines = [
        f"Ranked by validation score of the {chosen}{several}; the default is not in the budget."
    ]
    low, high = Share(count=study.diverged, total=count).interval
    lines.append(
        f"Diverged: {study.diverged} of {count} trials ({100 * study.diverged / count:.0f} %, 95 % "
        f"interval {100 * low:.0f} to {100 * high:.0f} %)."
    )
    return lines


def report_lines(report: TuningReport) -> list[str]:
    """Return what is said of a report below its table of trials."""
    lines = closing(report.study)
    if report.going_on and report.evaluation is None:
        lines.append(report.going_on)
    if report.problem and not report.waits:
        lines.append(f"No winner: {report.problem}")
    if report.winner is not None:
        values = " ".join(f"{word}={typed(value)}" for word, value in report.winner.values.items())
        lines.append(f"Winner: trial {report.winner.number}, {values}")
    lines += [f"Edge: {edge}" for edge in report.edges]
    return [*lines, report.behind] if report.behind else lines


def place_lines(report: TuningReport) -> list[str]:
    """Return where the winner is kept and, unless it was, what trains it, to be copied."""
    lines = []
    if report.kept is not None:
        lines.append(f"{report.kept.words[:1].upper()}{report.kept.words[1:]}")
    trains = report.choice.command and report.evaluation is None
    return lines + ([f"Train it with: {report.choice.command}"] if trains else [])


def report_as_text(report: TuningReport) -> str:
    """Return *report* as aligned text."""
    study = report.study
    table = aligned([columns(study), *best_rows(study)], columns(study), numeric_columns(study))
    parts = [headline(study), table, *report_lines(report), *place_lines(report)]
    if report.evaluation is not None:
        parts += ["", rows_as_text(report.evaluation.rows)]
        parts += [report.going_on] if report.going_on else []
    return "\n".join(parts)


def aligned(lines: Sequence[Sequence[str]], headings: Sequence[str], right: Sequence[str]) -> str:
    """Return *lines* of cells with columns aligned, those in *right* to the right."""
    widths = [max(len(line[index]) for line in lines) for index in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if heading in right else cell.ljust(width)
            for cell, width, heading in zip(line, widths, headings, strict=True)
        ).rstrip()
        for line in lines
    )


def study_as_dict(study: Study) -> dict[str, Any]:
    """Return *study* as strict JSON values."""
    return {
        "study": study.id,
        "problem": study.problem,
        "norm": study.norm_label,
        "optimizer": study.optimizer,
        "protocol": study.protocol,
        "deviations": list(study.deviations),
        "fixed": _listed(study.fixed),
        "space": [str(axis) for axis in study.space],
        "method": study.method,
        "sequential": find_method(study.method).sequential,
        "draw_seed": study.draw_seed,
        "tuning_seeds": list(study.tuning_seeds),
        "metric": study.metric.name,
        "select": study.select,
        "diverged": study.diverged,
        "default": _trial(study.default),
        "trials": [_trial(trial) for trial in study.trials],
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "values": _listed(trial.values),
        "validation": trial.score,
        "test": trial.test,
        "scores": {str(seed): value for seed, value in sorted(trial.scores.items())},
        "diverged": sorted(trial.diverged),
        "complete": trial.complete,
        "runs": {str(seed): run for seed, run in sorted(trial.runs.items())},
    }


def _listed(values: Any) -> dict[str, Any]:
    return {word: list(v) if isinstance(v, tuple) else v for word, v in values.items()}


def _cell(trial: Trial, word: str) -> str:
    missing: Value = ""
    return typed(trial.values.get(word, missing))
