"""The report of a study: tables as text, and a folder with Markdown, JSON and figures.

Every form shows the same tables; what a cell says is decided in :mod:`normbench.tuning.cells`.
"""

from __future__ import annotations

import json
from pathlib import Path

from normbench.errors import NormbenchError
from normbench.tuning import tables
from normbench.tuning.cells import Table, budget_table, summary_tables, trial_table
from normbench.tuning.choice import Choice
from normbench.tuning.study import Study
from normbench.tuning.summary import Summary, summarize


def report_tables(study: Study) -> list[Table]:
    """Return the tables of budgets, hyper-parameters and divergence.

    Raises:
        UsageError: If no trial has ended with results.
    """
    return summary_tables(summarize(study))


def budget_tables(study: Study) -> list[Table]:
    """Return the table of budgets alone; none before a trial has a result."""
    if not any(trial.complete for trial in study.trials):
        return []
    return [budget_table(summarize(study))]


def write_report(study: Study, folder: Path, choice: Choice | None = None) -> list[Path]:
    """Write ``report.md``, ``report.json`` and the figures of *study*; return their paths.

    Args:
        study: The study.
        folder: Where to; it is made if it is not there.
        choice: What the study chose, and what became of it.

    Raises:
        UsageError: If no trial has ended with results.
        NormbenchError: If a file cannot be written.
    """
    from normbench.plots.budget import budget_figure
    from normbench.plots.hyperparameters import hyperparameter_figure
    from normbench.plots.style import save

    summary = summarize(study)
    paths = [
        folder / name for name in ("report.md", "report.json", "budget.png", "hyperparameters.png")
    ]
    content = summary.to_dict() | (choice.to_dict() if choice else {})
    _write(paths[0], as_markdown(summary, choice))
    _write(paths[1], json.dumps(content, indent=1, allow_nan=False) + "\n")
    save(budget_figure(summary), paths[2])
    save(hyperparameter_figure(summary), paths[3])
    return paths


def as_markdown(summary: Summary, choice: Choice | None = None) -> str:
    """Return the report in Markdown, with its figures by name."""
    study = summary.study
    budgets, hyperparameters, *rest = summary_tables(summary)
    blocks = [
        f"# Tuning {study.optimizer} on {study.problem}, {study.norm_label}",
        f"Study {study.id}: {tables.headline(study)}.",
        *tables.closing(study),
        *(_marked(line) for line in (choice.lines if choice else ())),
        *_section(budgets),
        "![Score against the number of trials](budget.png)",
        *_section(hyperparameters),
        "![Score against each hyper-parameter](hyperparameters.png)",
    ]
    for table in (*rest, trial_table(study)):
        blocks += _section(table)
    return "\n\n".join(blocks) + "\n"


def _section(table: Table) -> list[str]:
    head = [table.columns, ["---:" if column in table.right else "---" for column in table.columns]]
    lines = [
        "| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in [*head, *table.rows]
    ]
    return [f"## {table.title}", "\n".join(lines), *table.notes]


def _marked(line: str) -> str:
    """Return *line* with what is to be typed as code."""
    head, _, command = line.partition(": ")
    return f"{head}: `{command}`" if command.startswith("normbench ") else line


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise NormbenchError(f"{path} cannot be written: {error.strerror}.") from error
