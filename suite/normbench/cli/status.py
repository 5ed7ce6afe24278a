"""``normbench status``: how far the runs of a store are."""

from __future__ import annotations

import json
import logging
import math
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import click

from normbench.cli import complete, output
from normbench.cli.failures import Failure, print_failures
from normbench.cli.one_off import differing_sources, place_words
from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.selection import damaged_among, find_indexed
from normbench.cli.status_rows import StatusRow, TuningRow, status_rows, tuning_rows
from normbench.errors import DamagedFileError
from normbench.garbage import uncollected
from normbench.live import totals_in_words
from normbench.quantities import counted
from normbench.setting_files import SETTINGS_FOLDER
from normbench.store import Index, IndexedRow, RunState
from normbench.tables import duration, score, states_in_words

_WAITING = (RunState.PENDING, RunState.INTERRUPTED)
_MOVING = (RunState.RUNNING, RunState.PENDING)
_NAMES = ("problem", "norm", "optimizer", "protocol")
_MEAN = "mean ± sd"
_MOST_NAMED = 3
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

    One line for each cell at a setting. The score is the mean over finished and diverged seeds,
    with the standard deviation (n - 1); a diverged seed counts with the problem's worst score. The
    trials of a cell's tuning share a line of a table of their own. What failed, timed out, ran out
    of memory or was killed is named with its reason, and the command that tries again.
    """
    store = invocation.open_store()
    words = [f"{name}={value}" for name, value in filters.items() if value]
    while True:
        with uncollected():
            moving = _show(invocation, store.index(), words, trials=trials, as_json=as_json)
        if watch is None or not moving:
            return
        time.sleep(watch)
        click.clear()


def _show(
    invocation: Invocation, index: Index, words: Sequence[str], *, trials: bool, as_json: bool
) -> bool:
    """Show how far the runs are that *words* name; return whether one is running or pending."""
    runs = find_indexed(index, words)
    damaged = set(damaged_among(index, words)) if index.damaged else set()
    lost = [index.lost[name] for name in sorted(damaged & index.lost.keys())]
    rows = _as_known_now(status_rows(index, runs, lost, engines=as_json), invocation)
    _warn_of(index)
    if as_json:
        output.print_json([row.to_dict() for row in rows])
    else:
        _print(index, rows, len(damaged), invocation, trials=trials)
        _print_failures(index, rows, invocation)
        _print_damaged(rows, len(damaged), invocation)
        _print_waiting(index, rows, invocation)
    return any(run.state in _MOVING for run in runs)


def _as_known_now(rows: list[StatusRow], invocation: Invocation) -> list[StatusRow]:
    """Return *rows* with the origins that settings have by what the store has tuned since."""
    if not (invocation.store_path / SETTINGS_FOLDER).is_dir():
        return rows
    from normbench.settings_now import has_settings, origin_now

    catalogue = invocation.catalogue.with_store(invocation.store_path)
    found = []
    catalogue.settings()
    for row in rows:
        entry = row.entry
        names = (entry.problem, entry.norm, entry.optimizer, entry.protocol)
        try:
            if not entry.tuning and has_settings(catalogue, *names):
                origin = origin_now(json.loads(entry.text), catalogue)
                row = replace(row, entry=replace(entry, setting_origin=origin))
        except DamagedFileError:
            # A warning has told of it: where the setting came from stays as it was recorded.
            pass
        found.append(row)
    return found


def _warn_of(index: Index) -> None:
    """Say which runs are left out."""
    for sentence in index.left_out():
        _log.warning("%s", sentence)


def _print(
    index: Index,
    rows: Sequence[StatusRow],
    damaged: int,
    invocation: Invocation,
    *,
    trials: bool,
) -> None:
    if not rows and not damaged:
        click.echo(f"the store {index.root} holds no runs")
        return
    shown = rows if trials else [row for row in rows if not row.entry.tuning]
    cells = [] if trials else tuning_rows([row for row in rows if row.entry.tuning])
    if shown:
        more = ("setting", "runs", _MEAN, "epoch", "left", "row")
        output.print_table((*_NAMES, *more), list(map(_cells, shown)), right=(_MEAN, "left"))
        click.echo()
    if cells:
        columns = (*_NAMES, "trials", "runs", "epoch", "left")
        lines = list(map(_trial_cells, cells))
        output.print_table(columns, lines, title="Tuning", right=("trials", "left"))
        click.echo()
    if any(map(_score, shown)):
        output.print_text(
            f"{_MEAN}: of {_metrics(shown)}, over finished and diverged seeds", rest="  "
        )
    for sentence in differing_sources(invocation, (row.entry for row in shown)):
        output.print_text(sentence, rest="  ")
    _print_totals([*shown, *cells], damaged)


def _names(row: StatusRow) -> tuple[str, ...]:
    entry = row.entry
    label = [f"({row.label})"] if row.label else []
    rules = " ".join([entry.protocol, *entry.deviations, *label])
    return (entry.problem, entry.norm_label, entry.optimizer, rules)


def _cells(row: StatusRow) -> tuple[str, ...]:
    more = (_states(row), _score(row), row.live, row.left, row.entry.row[:8])
    return (*_names(row), row.setting, *more)


def _trial_cells(cell: TuningRow) -> tuple[str, ...]:
    return (*_names(cell), cell.trials_done, _states(cell), cell.live, cell.left)


def _states(row: StatusRow) -> str:
    damaged = f"{len(row.damaged)} damaged" if row.damaged else ""
    return ", ".join(filter(None, [states_in_words(row.counts), damaged]))


def _print_totals(rows: Sequence[StatusRow], damaged: int) -> None:
    counts: Counter[RunState] = Counter()
    for row in rows:
        counts.update(row.counts)
    output.print_text(f"runs: {totals_in_words(counts, damaged)}{_time_left(rows)}", rest="  ")


def _time_left(rows: Sequence[StatusRow]) -> str:
    """Return when all that trains or waits will be done, if as many go on to train at once."""
    known = [row.seconds_left for row in rows if row.seconds_left is not None]
    if not any(known):
        return ""
    running = sum(row.counts[RunState.RUNNING] for row in rows)
    at_once = f" with {running} at a time" if running > 1 else " one after another"
    unknown = len(rows) - len(known)
    more = f", and {counted(unknown, 'row')} of unknown pace" if unknown else ""
    return f"; {duration(sum(known) / max(running, 1))} left{at_once}{more}"


def _print_failures(index: Index, rows: Sequence[StatusRow], invocation: Invocation) -> None:
    """Say which runs a new launch tries again; of few rows the command names each."""
    failed = [(row.entry.row[:8], run) for row in rows for run in row.failed]
    failures = [
        Failure(f"row {row} seed {run.seed}", run.state, run.message) for row, run in failed
    ]
    named = list(dict.fromkeys(row for row, _ in failed))
    few = len(named) <= _MOST_NAMED
    concerned = [row.entry for row in rows if row.failed] if few else _unfinished(index)
    place, lacking = place_words(invocation, concerned)
    words = ["normbench", "resume", *(named if few else ()), *place]
    print_failures(failures, words, lacking=lacking)


def _print_damaged(rows: Sequence[StatusRow], damaged: int, invocation: Invocation) -> None:
    """Say what trains damaged runs again."""
    if not damaged:
        return
    output.print_text(
        f"{counted(damaged, 'damaged run')} left out; the warnings name the files. Restore them, "
        "or delete a damaged result, and the run is trained again with:"
    )
    _print_resume([row.entry for row in rows if row.damaged], invocation)


def _print_waiting(index: Index, rows: Sequence[StatusRow], invocation: Invocation) -> None:
    """Say what trains the runs that wait, unless a worker is there that may come to them."""
    waiting = sum(run.state in _WAITING and run.claimable for row in rows for run in row.runs)
    if not waiting or any(run.held for run in index.runs.values()):
        return
    output.print_text(
        f"No worker holds the {counted(waiting, 'queued run')}. Unless jobs of a scheduler are to "
        "come, train them with:"
    )
    _print_resume(_unfinished(index), invocation)


def _print_resume(concerned: Sequence[IndexedRow], invocation: Invocation) -> None:
    """Print the command that trains what is left of some rows, and what it lacks."""
    place, lacking = place_words(invocation, concerned)
    click.echo(shlex.join(["normbench", "resume", *place]))
    if lacking:
        output.print_text(lacking)


def _unfinished(index: Index) -> list[IndexedRow]:
    """Return the rows of the runs that a command without names continues."""
    runs = (run for run in index.runs.values() if not (run.complete or run.cancelled))
    return [index.describe(run) for run in {run.description: run for run in runs}.values()]


def _metrics(rows: Sequence[StatusRow]) -> str:
    """Return what the scores are, by problem where they differ."""
    problems = {row.entry.problem: row.entry.metric for row in rows}
    if len(set(problems.values())) == 1:
        return next(iter(problems.values()))
    return ", ".join(f"{metric} ({problem})" for problem, metric in problems.items())


def _score(row: StatusRow) -> str:
    """Return mean and spread of the scores; of one score no spread."""
    if row.mean is None:
        return ""
    mean = score(row.mean, row.entry.metric)
    if row.n == 1:
        return mean
    # statistics.stdev counts in fractions, which takes seconds for thousands of rows.
    squares = math.fsum((each - row.mean) ** 2 for each in row.scores)
    spread = score(math.sqrt(squares / (row.n - 1)), row.entry.metric)
    return f"{mean.removesuffix(' %')} ± {spread}"
