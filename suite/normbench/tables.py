"""Rows of finished work as text and HTML; what each cell says is decided here once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from normbench.report import Row
from normbench.store import RunState

COLUMNS = ("problem", "norm", "optimizer", "protocol", "setting", "metric", "mean", "sd", "n")
MORE_COLUMNS = (*COLUMNS, "outcome", "time/run", "deviations")
NUMERIC = ("mean", "sd", "n", "time/run")


def row_cells(row: Row) -> list[str]:
    """Return the cells of *row* under :data:`MORE_COLUMNS`."""
    spec = row.spec
    return [
        spec.problem.name,
        spec.norm_label,
        optimizer_cell(row),
        spec.protocol.name,
        row.setting,
        spec.problem.metric.name,
        score(row.mean, spec.problem.metric.name),
        score(row.sd, spec.problem.metric.name),
        str(row.n),
        outcomes_cell(row),
        duration(row.seconds),
        " ".join(spec.deviations),
    ]


def optimizer_cell(row: Row) -> str:
    """Return the optimizer with its learning rate and all that differs from its defaults."""
    spec = row.spec
    values = {"lr": spec.optimizer.parameters["lr"], **spec.identity["optimizer"]["parameters"]}
    shown = " ".join(f"{name}={_short(value)}" for name, value in values.items())
    return f"{spec.optimizer_label} {shown}"


def outcomes_cell(row: Row) -> str:
    """Return the number of runs in each state, such as ``10 finished``."""
    return states_in_words(row.outcomes)


def states_in_words(counts: Mapping[RunState, int]) -> str:
    """Return how many runs are in each state, such as ``8 finished, 2 timed out``."""
    found = [(counts.get(state, 0), state) for state in RunState]
    return ", ".join(f"{count} {state_in_words(state)}" for count, state in found if count)


def state_in_words(state: RunState) -> str:
    """Return a state as a table shows it."""
    return state.value.replace("_", " ")


def score(value: float | None, metric: str) -> str:
    """Return a score as a table shows it: accuracies in percent."""
    if value is None:
        return ""
    return f"{100 * value:.2f} %" if metric.endswith("accuracy") else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """Return seconds in the unit that suits them."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def rows_as_text(rows: Sequence[Row]) -> str:
    """Return *rows* as aligned text."""
    lines = [list(MORE_COLUMNS), *(row_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(MORE_COLUMNS))]
    aligned = (
        "  ".join(
            cell.rjust(width) if column in NUMERIC else cell.ljust(width)
            for cell, width, column in zip(line, widths, MORE_COLUMNS, strict=True)
        ).rstrip()
        for line in lines
    )
    return "\n".join(aligned)


def rows_as_html(rows: Sequence[Row]) -> str:
    """Return *rows* as an HTML table, for notebooks."""
    head = "".join(f"<th>{escape(column)}</th>" for column in MORE_COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row_cells(row)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
