"""``normbench sync``: bring MLflow up to date with a store."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from normbench.cli import output
from normbench.cli.options import Invocation, common_options, json_option


@click.command("sync")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR|TAR",
    help="First take over the runs of another store: its folder, or a .tar or .tar.gz of it.",
)
@json_option
@common_options(store=True)
@click.pass_obj
def command(invocation: Invocation, source: Path | None, as_json: bool) -> int:
    """Bring MLflow up to date with a store.

    Nothing is sent twice. With --from, runs trained elsewhere are merged into the store first,
    which is made if it does not exist; a published result is never overwritten. Runs with a damaged
    file are named and left out, and the exit code is then 1.
    """
    from normbench.store import merge_into

    if source is None:
        store, merged = invocation.open_store(), None
    else:
        store, merged = merge_into(invocation.store_path, source)
    from normbench.errors import BusyError
    from normbench.tracking import SyncReport, sync

    try:
        report = sync(store)
    except BusyError as busy:
        click.echo(str(busy), err=True)
        report = SyncReport()
    if as_json:
        output.print_json(
            {
                "merged": None if merged is None else dataclasses.asdict(merged),
                "tracking": dataclasses.asdict(report),
            }
        )
    else:
        if merged is not None:
            click.echo(f"merged from {source}: {merged}")
        click.echo(f"MLflow: {report}")
    for problem in merged.problems if merged else ():
        click.echo(problem, err=True)
    return 1 if report.failed or (merged and merged.failed) else 0
