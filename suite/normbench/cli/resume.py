"""``normbench resume``: continue what is unfinished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from normbench.cli.launching import hint_again, launch_options, make_launching, show_report
from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.selection import find_runs

if TYPE_CHECKING:
    from normbench.api import Report
    from normbench.report import Row
    from normbench.store import RunStore


@click.command("resume")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@launch_options
@json_option
@common_options(store=True, data=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    runs: tuple[str, ...],
    no_track: bool,
    as_json: bool,
    **launch_values: Any,
) -> int:
    """Continue the unfinished runs of a store.

    Each goes on from its last checkpoint. RUN is the beginning of a run's or a row's fingerprint,
    or a word such as problem=NAME; without any, all unfinished runs are continued but those that
    were cancelled, which are readmitted by name. The table shows whole rows, with the seeds that
    were resumed; --json has the resumed runs alone.
    """
    hint_again(invocation)
    from normbench.api import resume
    from normbench.store.untaken import untaken_studies

    store = invocation.open_store()
    report = resume(
        store.root,
        [run.fingerprint for run in find_runs(store, runs)] if runs else None,
        catalogue=invocation.catalogue,
        launching=make_launching(invocation, track=not no_track, **launch_values),
    )
    if not report.rows and not as_json:
        cancelled = _cancelled(invocation, store)
        click.echo(f"nothing to resume: no run of {store.root} is unfinished{cancelled}")
        code, trained = 0, None
    else:
        whole = () if as_json else _whole_rows(store, report)
        code = show_report(invocation, report, as_json=as_json, whole=whole)
        trained = {run for row in report.rows for run in row.fingerprints.values()}
    for sentence in untaken_studies(store, trained):
        click.echo(sentence, err=True)
    return code


def _whole_rows(store: RunStore, report: Report) -> list[Row]:
    """Return the rows of *report*, in its order, over all of the seeds that the store has."""
    from normbench.report import rows_of

    index = store.index()
    order = {row.spec.row: place for place, row in enumerate(report.rows)}
    members = [run for run in index.runs.values() if run.row in order]
    members.sort(key=lambda run: (order[run.row], run.seed))
    return rows_of(map(index.stored, members), index.runs)


def _cancelled(invocation: Invocation, store: RunStore) -> str:
    """Return how many runs were cancelled and how they are readmitted; empty if none."""
    from normbench.store import RunState

    count = store.index().counts()[RunState.CANCELLED]
    words = "is cancelled; readmit it" if count == 1 else "are cancelled; readmit them"
    place = invocation.place_option
    return f", {count} {words} by name: normbench resume RUN{place}" if count else ""
