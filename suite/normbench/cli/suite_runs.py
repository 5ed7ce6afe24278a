"""``normbench suite status`` and ``suite cancel``: the runs that a store has of a suite."""

from __future__ import annotations

import shlex
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from normbench.cli import complete
from normbench.cli.cancel import cancel_runs, describe_cancelled
from normbench.cli.options import Invocation, common_options, json_option, words_once
from normbench.cli.output import print_json, print_text
from normbench.cli.plan import cell_options, expanded
from normbench.quantities import counted
from normbench.store import RunState

if TYPE_CHECKING:
    from normbench.forecast.cells import Cell
    from normbench.forecast.standing import Standing

_QUEUED = {RunState.PENDING, RunState.INTERRUPTED}


@click.command("status")
@click.argument("name", metavar="NAME_OR_FILE", shell_complete=complete.names_of("suite"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
@cell_options
@json_option
@common_options(store=True)
@click.pass_obj
def status(
    invocation: Invocation,
    /,
    name: str,
    words: Sequence[str],
    seeds: str | None,
    only: Sequence[str],
    as_json: bool,
) -> int:
    """Show how far the runs of a suite are; the exit code is 0 once all are done.

    Missing are runs that the store does not have yet; --store names one that is there. Time left
    is that of the runs one after another, by what runs of the same cell took.
    """
    cells = _cells(invocation, name, words, seeds, only)
    if as_json:
        print_json({"suite": name, "complete": _complete(cells), "cells": _records(cells)})
    else:
        _print(cells, _run_again(invocation, name, words, seeds, only))
    return 0 if _complete(cells) else 1


@click.command("cancel")
@click.argument("name", metavar="NAME_OR_FILE", shell_complete=complete.names_of("suite"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
@cell_options
@json_option
@common_options(store=True)
@click.pass_obj
def cancel(
    invocation: Invocation,
    /,
    name: str,
    words: Sequence[str],
    seeds: str | None,
    only: Sequence[str],
    as_json: bool,
) -> None:
    """Keep the runs of a suite from being trained, until it is run again.

    Concerned are the runs that the store has, also those that other suites or requests share.
    """
    invocation.open_store()
    cells = _cells(invocation, name, words, seeds, only)
    runs = [run.run for cell in cells for run in cell.runs if run.run is not None]
    counts = cancel_runs(runs)
    if as_json:
        print_json(counts)
        return
    click.echo(describe_cancelled(counts))
    if counts["waiting"] or counts["running"]:
        again = _run_again(invocation, name, words, seeds, only)
        click.echo(f"Readmit them with: {shlex.join(again)}")
    _say_trials(invocation, cells)


def _say_trials(invocation: Invocation, cells: Sequence[Cell]) -> None:
    """Say which trials of the cells stay, such as those that words of ``suite tune`` asked for."""
    from normbench.store import RunStore

    index = RunStore.open(invocation.store_path).index()
    wanted = {run.spec.cell for cell in cells for run in cell.runs}
    waiting = (run for run in index.runs.values() if not (run.done or run.cancelled))
    left = [
        run
        for run in index.in_order(waiting)
        if (row := index.describe(run)).tuning and row.cell in wanted
    ]
    if not left:
        return
    place = invocation.store_words
    rows = dict.fromkeys(run.row[:8] for run in left)
    runs = counted(len(left), "run of a trial", "runs of trials")
    print_text(f"{runs} of these cells, asked for by tuning, can still be trained.")
    click.echo(f"Cancel them with: {shlex.join(['normbench', 'cancel', *rows, *place])}")


def _run_again(
    invocation: Invocation, name: str, words: Sequence[str], seeds: str | None, only: Sequence[str]
) -> list[str]:
    """Return the command that trains these cells and no others."""
    choice = ["--seeds", seeds] if seeds else []
    choice += [word for each in only for word in ("--only", each)]
    again = ["normbench", "suite", "run", name, *words, *choice, *invocation.store_words]
    return [*again, *invocation.plugin_words]


def _cells(
    invocation: Invocation,
    name: str,
    words: Sequence[str],
    seeds: str | None,
    only: Sequence[str],
) -> list[Cell]:
    """Return the cells of a suite as they are in the store.

    Raises:
        UsageError: If a cell cannot be resolved.
    """
    from normbench.errors import UsageError
    from normbench.forecast.cells import gather
    from normbench.store import RunStore
    from normbench.suites import as_known_now

    if invocation.store is not None:
        invocation.open_store()  # what was named must be there; the default may not have been made
    plan = expanded(invocation, name, words, seeds, only)
    known = as_known_now(plan, invocation.catalogue)
    store = RunStore.open_if_there(invocation.store_path)
    cells = gather(known.requests, invocation.catalogue, store)
    for cell in cells:
        if cell.error:
            raise UsageError(f"cell {cell.label}: {cell.error}")
    _check_masks(invocation, cells)
    if plan.trials is None:
        return cells
    from normbench.forecast.trials import trial_cells

    return [*trial_cells(plan, invocation.catalogue, store), *cells]


def _check_masks(invocation: Invocation, cells: Sequence[Cell]) -> None:
    """Check the masks of cells that the store has no runs of; the others were checked before."""
    from normbench.errors import UsageError
    from normbench.planning import check_built

    for cell in cells:
        if any(run.run is not None for run in cell.runs):
            continue
        try:
            check_built([cell.runs[0].spec], invocation.catalogue)
        except UsageError as error:
            raise UsageError(f"cell {cell.label}: {error}") from None


def _complete(cells: Sequence[Cell]) -> bool:
    return all(run.done for cell in cells for run in cell.runs)


def _states(cell: Cell) -> dict[str, int]:
    counts = cell.counts
    missing = sum(run.state is None for run in cell.runs)
    queued = len(cell.runs) - missing - sum(counts.values())
    return {**counts, "queued": queued, "missing": missing}


def _outcomes(cell: Cell) -> Counter[RunState]:
    return Counter(run.state for run in cell.runs if run.state is not None)


def _records(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    return [
        {
            "cell": cell.label,
            "row": cell.runs[0].spec.row,
            "seeds": [run.spec.seed for run in cell.runs],
            **_states(cell),
            "states": {state.value: count for state, count in sorted(_outcomes(cell).items())},
            "metric": cell.runs[0].spec.problem.metric.name,
            "trials": cell.trials,
            "mean": statistics.fmean(cell.scores) if _has_mean(cell) else None,
            "n": len(cell.scores),
            "seconds_left": cell.expected_seconds_left,
            "messages": {str(run.spec.seed): _message(run) for run in _failed(cell)},
        }
        for cell in cells
    ]


def _print(cells: Sequence[Cell], again: Sequence[str]) -> None:
    from normbench.cli.failures import Failure, print_failures
    from normbench.cli.plan_view import print_cells
    from normbench.tables import duration, score

    rows = []
    for cell in cells:
        metric = cell.runs[0].spec.problem.metric.name
        left = cell.expected_seconds_left
        rows.append(
            (
                _in_words([cell]),
                score(statistics.fmean(cell.scores), metric) if _has_mean(cell) else "",
                "?" if left is None else duration(left) if left else "",
            )
        )
    print_cells(cells, ("runs", "mean", "left"), rows, right=("mean", "left"))
    runs = counted(sum(len(cell.runs) for cell in cells), "run")
    click.echo()
    own = counted(sum(not cell.trials for cell in cells), "cell")
    print_text(f"{own}, {runs}: {_in_words(cells)}", rest="  ")
    if line := _left(cells):
        click.echo(line)
    failed = [(cell.label, run) for cell in cells for run in _failed(cell)]
    failures = [
        Failure(f"{label} seed {run.spec.seed}", run.state, _message(run))
        for label, run in failed
        if run.state is not None
    ]
    print_failures(failures, again, err=True)
    states = {run.state for cell in cells for run in cell.runs}
    if not failures and None in states:
        click.echo(f"Train what is missing with: {shlex.join(again)}")
    elif not failures and states & _QUEUED and RunState.RUNNING not in states:
        click.echo(f"None is running. Train what is queued with: {shlex.join(again)}")


def _has_mean(cell: Cell) -> bool:
    """Whether a mean over its runs means something: trials have a setting each."""
    return bool(cell.scores) and not cell.trials


def _in_words(cells: Sequence[Cell]) -> str:
    """Return how many runs of *cells* are done, under way, failed by their outcomes, or missing."""
    from normbench.live import totals_in_words

    counts = sum(map(_outcomes, cells), Counter[RunState]())
    missing = sum(run.state is None for cell in cells for run in cell.runs)
    parts = [totals_in_words(counts), f"{missing} missing" if missing else ""]
    return ", ".join(filter(None, parts))


def _left(cells: Sequence[Cell]) -> str:
    from normbench.tables import duration

    known = [cell.expected_seconds_left for cell in cells]
    total = sum(seconds for seconds in known if seconds is not None)
    if not total:
        return ""
    more = ", without the cells that have no finished run" if None in known else ""
    return f"Left: {duration(total)} one after another{more}"


def _failed(cell: Cell) -> list[Standing]:
    """Return the runs that a new launch tries again."""
    from normbench.live import FAILED

    return [run for run in cell.runs if run.state in FAILED]


def _message(run: Standing) -> str:
    """Return why a run failed."""
    attempts = run.run.attempts() if run.run is not None else []
    return attempts[-1].message if attempts else ""
