"""``normbench suite status`` and ``suite cancel``: the runs that a store has of a suite."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from normbench.cli import complete
from normbench.cli.cancel import cancel_runs, describe_cancelled
from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.output import print_json
from normbench.cli.plan import cell_options, expanded

if TYPE_CHECKING:
    from normbench.forecast.cells import Cell

_STATES = ("done", "running", "queued", "failed", "cancelled", "missing")


@click.command("status")
@click.argument("name", metavar="NAME_OR_FILE", shell_complete=complete.names_of("suite"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
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

    Missing are runs that the store does not have yet. Time left is that of the runs one after
    another, by what runs of the same cell took.
    """
    cells = _cells(invocation, name, words, seeds, only)
    if as_json:
        print_json({"suite": name, "complete": _complete(cells), "cells": _records(cells)})
    else:
        _print(cells)
    return 0 if _complete(cells) else 1


@click.command("cancel")
@click.argument("name", metavar="NAME_OR_FILE", shell_complete=complete.names_of("suite"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
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
        click.echo(f"Readmit them with: normbench suite run {name}")


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

    plan = expanded(invocation, name, words, seeds, only)
    store = RunStore.open_if_there(invocation.store_path)
    cells = gather(plan.requests, invocation.catalogue, store)
    for cell in cells:
        if cell.error:
            raise UsageError(f"cell {cell.label}: {cell.error}")
    return cells


def _complete(cells: Sequence[Cell]) -> bool:
    return all(run.done for cell in cells for run in cell.runs)


def _states(cell: Cell) -> dict[str, int]:
    counts = cell.counts
    missing = sum(run.state is None for run in cell.runs)
    queued = len(cell.runs) - missing - sum(counts.values())
    return {**counts, "queued": queued, "missing": missing}


def _records(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    return [
        {
            "cell": cell.label,
            "row": cell.runs[0].spec.row,
            "seeds": [run.spec.seed for run in cell.runs],
            **_states(cell),
            "metric": cell.runs[0].spec.problem.metric.name,
            "mean": statistics.fmean(cell.scores) if cell.scores else None,
            "n": len(cell.scores),
            "seconds_left": cell.expected_seconds_left,
            "messages": {str(seed): text for seed, text in _messages(cell).items()},
        }
        for cell in cells
    ]


def _print(cells: Sequence[Cell]) -> None:
    from normbench.cli.plan_view import print_cells
    from normbench.tables import duration, score

    rows = []
    for cell in cells:
        counts, metric = _states(cell), cell.runs[0].spec.problem.metric.name
        mean = score(statistics.fmean(cell.scores), metric) if cell.scores else ""
        left = cell.expected_seconds_left
        rows.append(
            (
                *(str(counts[word] or "") for word in _STATES),
                f"{mean} ({len(cell.scores)})" if mean else "",
                "?" if left is None else duration(left) if left else "",
            )
        )
    print_cells(cells, (*_STATES, "mean (n)", "left"), rows, right=(*_STATES, "left"))
    totals = {word: sum(_states(cell)[word] for cell in cells) for word in _STATES}
    runs = sum(len(cell.runs) for cell in cells)
    shown = ", ".join(f"{count} {word}" for word, count in totals.items() if count)
    click.echo(f"\n{len(cells)} cells, {runs} runs: {shown}")
    if line := _left(cells):
        click.echo(line)
    for cell in cells:
        for seed, message in _messages(cell).items():
            click.echo(f"{cell.label} seed {seed} failed: {message}", err=True)


def _left(cells: Sequence[Cell]) -> str:
    from normbench.tables import duration

    known = [cell.expected_seconds_left for cell in cells]
    total = sum(seconds for seconds in known if seconds is not None)
    if not total:
        return ""
    more = ", without the cells that have no finished run" if None in known else ""
    return f"Left: {duration(total)} one after another{more}"


def _messages(cell: Cell) -> dict[int, str]:
    """Return why runs failed, by seed."""
    from normbench.forecast.cells import FAILED

    failed = [run for run in cell.runs if run.state in FAILED and run.run is not None]
    found = {}
    for run in failed:
        attempts = run.run.attempts() if run.run is not None else []
        found[run.spec.seed] = attempts[-1].message if attempts else ""
    return found
