"""``normbench check``: whether the files of a store are whole and agree with themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from normbench.cli import output
from normbench.cli.options import Invocation, common_options, json_option
from normbench.errors import DamagedFileError, StoreError
from normbench.quantities import counted
from normbench.store import RunStore


@click.command("check")
@json_option
@common_options(store=True)
@click.pass_obj
def command(invocation: Invocation, as_json: bool) -> int:
    """Read all runs of a store and name the files that are damaged.

    A spec must be what its run's fingerprint is made of. A result must be the run's own, with a
    score that agrees with its numbers, as its attempt published it. Records of studies, known
    settings, declared stages and tests of a precision must be readable. Each line names a file and
    the remedy, and the exit code is then 1. What checkpoints and series hold is not read. The
    next command reads all runs anew, too: those of a big store otherwise miss what an editor wrote
    into a file rather than replaced.
    """
    from normbench.store.checking import forget_index, list_fingerprints, told_of

    store = invocation.open_store()
    names = list_fingerprints(store.root)
    damaged: dict[str, tuple[str, StoreError]] = {}
    for name, error in _problems(store, names):
        # A study may be unreadable for a run that was named before.
        damaged.setdefault(told_of(error), (name, error))
    forget_index(store.root)
    found = list(damaged.values())
    if as_json:
        shown = [_as_json(name, error) for name, error in found]
        output.print_json({"store": str(store.root), "runs": len(names), "damaged": shown})
    else:
        _print(store, len(names), found)
    return 1 if found else 0


def _problems(store: RunStore, names: Sequence[str]) -> Iterator[tuple[str, StoreError]]:
    """Yield what is wrong in *store*, and of which run; of none for other files."""
    from normbench.store.checking import check_records, check_run

    watched = sys.stderr.isatty()
    with click.progressbar(names, label="runs", file=sys.stderr, hidden=not watched) as shown:
        for name in shown:
            for error in check_run(store.root, name):
                yield name, error
    for error in (*check_records(store.root), *_study_errors(store)):
        yield "", error


def _study_errors(store: RunStore) -> Iterator[StoreError]:
    """Yield why studies cannot be read."""
    from normbench.store.layout import TUNING_FOLDER
    from normbench.tuning.record import read_study

    for path in sorted((store.root / TUNING_FOLDER).glob("*.json")):
        try:
            read_study(store, path.stem)
        except StoreError as error:
            yield error


def _as_json(name: str, error: StoreError) -> dict[str, Any]:
    file = error.file if isinstance(error, DamagedFileError) else Path()
    return {
        "run": name or None,
        "file": str(file) if file != Path() else None,
        "problem": str(error),
    }


def _print(store: RunStore, runs: int, found: Sequence[tuple[str, StoreError]]) -> None:
    for name, error in found:
        click.echo(f"run {name[:8]}: {error}" if name else str(error))
    checked = f"{store.root}: {counted(runs, 'run')} checked"
    if not found:
        click.echo(f"{checked}, all files are whole and agree")
        return
    files = counted(len(found), "problem")
    damaged = len({name for name, _ in found if name})
    click.echo(f"{checked}, {files} found, in {counted(damaged, 'run')}")
