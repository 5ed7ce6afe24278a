"""``normbench status``: how far the runs of a store are."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence

import click

from normbench.cli import complete, output
from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.selection import find_indexed
from normbench.cli.status_rows import GROUPS, StatusRow, status_rows, tuning_rows
from normbench.live import totals
from normbench.store import Index
from normbench.tables import duration, score

_MOVING = ("running", "pending")
_MOST_MESSAGES = 20
_WATCH_SECONDS = 2.0
_log = logging.getLogger(__name__)


@click.command("status")
@click.option("--problem", shell_complete=complete.problems, help="Only this problem.")
@click.option("--norm", shell_complete=complete.norms, help="Only this norm.")
@click.option("--optimizer", shell_complete=complete.optimizers, help="Only this optimizer.")
@click.option("--protocol", shell_complete=complete.protocols, help="Only this protocol.")
@click.option("--trials", is_flag=True, help="Show each trial of a tuning, not only their number.")
@click.option(
    "--watch",
    type=click.FloatRange(min=0.1),
    is_flag=False,
    flag_value=_WATCH_SECONDS,
    metavar="[SECONDS]",
    help="Look again every SECONDS (default 2) until no run is running or pending.",
)
@json_option
@common_options(store=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    trials: bool,
    watch: float | None,
    as_json: bool,
    **filters: str | None,
) -> None:
    """Show how far the runs of a store are.

    One line for each cell at a setting. The score is the mean over finished and diverged
    seeds, with the standard deviation (n - 1) and their number; a diverged seed counts with the
    problem's worst score. The trials of a cell's tuning share a line.
    """
    store = invocation.open_store()
    words = [f"{name}={value}" for name, value in filters.items() if value]
    while True:
        index = store.index()
        rows = status_rows(index, find_indexed(index, words))
        _warn_of(index)
        if as_json:
            output.print_json([row.to_dict() for row in rows])
        else:
            _print(index, rows, trials=trials)
        if watch is None or not any(row.counts[state] for row in rows for state in _MOVING):
            return
        time.sleep(watch)
        click.clear()


def _warn_of(index: Index) -> None:
    """Say which runs are left out."""
    for fingerprint, problem in sorted(index.damaged.items()):
        _log.warning("run %s is left out: %s", fingerprint[:8], problem)


def _print(index: Index, rows: Sequence[StatusRow], *, trials: bool) -> None:
    if not rows:
        click.echo(f"the store {index.root} holds no runs")
        return
    shown = rows if trials else [row for row in rows if not row.entry.tuning]
    cells = [] if trials else tuning_rows([row for row in rows if row.entry.tuning])
    output.print_table(
        (
            "problem",
            "norm",
            "optimizer",
            "protocol",
            "setting",
            *GROUPS,
            "mean ± sd (n)",
            "epoch",
            "left",
            "row",
        ),
        [*map(_cells, shown), *map(_cells, cells)],
        right=(*GROUPS, "left"),
    )
    if shown:
        click.echo(f"\nmean ± sd (n): of {_metrics(shown)}, over done and diverged seeds")
    _print_totals([*shown, *cells])
    _print_messages(rows)


def _cells(row: StatusRow) -> tuple[str, ...]:
    entry = row.entry
    return (
        entry.problem,
        entry.norm_label,
        entry.optimizer,
        " ".join([entry.protocol, *entry.deviations]),
        row.setting,
        *(str(count or "") for count in row.counts.values()),
        _score(row),
        row.live,
        row.left,
        row.name,
    )


def _print_totals(rows: Sequence[StatusRow]) -> None:
    counted = totals(run.state for row in rows for run in row.runs)
    shown = ", ".join(f"{count} {word}" for word, count in counted.items() if count)
    click.echo(f"runs: {shown}{_time_left(rows)}")


def _time_left(rows: Sequence[StatusRow]) -> str:
    """Return when all that trains or waits will be done, if as many go on to train at once."""
    known = [row.seconds_left for row in rows if row.seconds_left is not None]
    if not any(known):
        return ""
    running = sum(row.counts["running"] for row in rows)
    at_once = f" with {running} at a time" if running > 1 else " one after another"
    unknown = len(rows) - len(known)
    more = f", and {unknown} row{'s'[: unknown > 1]} of unknown pace" if unknown else ""
    return f"; {duration(sum(known) / max(running, 1))} left{at_once}{more}"


def _print_messages(rows: Sequence[StatusRow]) -> None:
    """Say why runs failed, of the first ones."""
    messages = [(row, *pair) for row in rows for pair in row.messages.items()]
    for row, seed, message in messages[:_MOST_MESSAGES]:
        click.echo(f"row {row.entry.row[:8]} seed {seed} failed: {message}")
    if len(messages) > _MOST_MESSAGES:
        left = len(messages) - _MOST_MESSAGES
        click.echo(f"and {left} more failed; see: normbench status --json")


def _metrics(rows: Sequence[StatusRow]) -> str:
    """Return what the scores are, by problem where they differ."""
    problems = {row.entry.problem: row.entry.metric for row in rows}
    if len(set(problems.values())) == 1:
        return next(iter(problems.values()))
    return ", ".join(f"{metric} ({problem})" for problem, metric in problems.items())


def _score(row: StatusRow) -> str:
    """Return mean, spread and number of the finished seeds' scores."""
    if row.mean is None:
        return ""
    mean = score(row.mean, row.entry.metric)
    if row.n == 1:
        return f"{mean} (1)"
    # statistics.stdev counts in fractions, which takes seconds for thousands of rows.
    squares = math.fsum((each - row.mean) ** 2 for each in row.scores)
    return f"{mean} ± {score(math.sqrt(squares / (row.n - 1)), row.entry.metric)} ({row.n})"
