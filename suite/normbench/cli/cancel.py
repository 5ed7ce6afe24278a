"""``normbench cancel``: keep runs from being trained, and stop a launcher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.output import print_json
from normbench.errors import UsageError
from normbench.quantities import counted

if TYPE_CHECKING:
    from normbench.store import StoredRun


@click.command("cancel")
@click.argument("runs", nargs=-1, metavar="[RUN|ROW]...")
@click.option("--launch", metavar="ID", help="Stop this launch too; its runs keep checkpoints.")
@json_option
@common_options(store=True)
@click.pass_obj
def command(invocation: Invocation, runs: Sequence[str], launch: str | None, as_json: bool) -> None:
    """Keep runs from being trained, or stop a launch.

    RUN is the beginning of a run's or a row's fingerprint, or a word such as problem=NAME. A run
    that trains is given up at its next step report and keeps its last checkpoint; one that is done
    stays done. Cancelled runs wait until normbench run, resume RUN or suite run asks for them
    again. With --launch alone a launcher is stopped and no run is cancelled: normbench resume goes
    on.

    \b
    normbench cancel 1f3a
    normbench cancel problem=cifar10_3c3d optimizer=adam
    normbench cancel --launch 20260102-1504
    """  # noqa: D301 - click reads the backspace character
    from normbench.cli.selection import find_runs

    store = invocation.open_store()
    if not runs and launch is None:
        raise UsageError(
            "cancel names no run. Give beginnings of fingerprints, words such as problem=NAME, or "
            "--launch ID; see: normbench status"
        )
    chosen = find_runs(store, runs) if runs else []
    stopped = _stop(invocation, launch) if launch is not None else ""
    counts = cancel_runs(chosen)
    if as_json:
        print_json({**counts, "launch": stopped})
        return
    if stopped:
        click.echo(stopped)
    if runs:
        click.echo(describe_cancelled(counts))


def cancel_runs(runs: Iterable[StoredRun]) -> dict[str, int]:
    """Mark *runs* as cancelled; return how many were waiting, running, cancelled and done before.

    Raises:
        StoreError: If the store cannot be written.
    """
    from normbench.store import RunState

    words = {RunState.RUNNING: "running", RunState.CANCELLED: "cancelled_before"}
    counts = Counter(dict.fromkeys(("waiting", "running", "cancelled_before", "done"), 0))
    for run in runs:
        state = run.state()
        counts[words.get(state, "waiting") if run.cancel() else "done"] += 1
    return dict(counts)


def describe_cancelled(counts: dict[str, int]) -> str:
    """Return in a line what :func:`cancel_runs` did."""
    now = counts["waiting"] + counts["running"]
    parts = [f"cancelled {counted(now, 'run')}"]
    if counts["running"]:
        parts.append(f"{counts['running']} of them in training, given up at their next report")
    if counts["cancelled_before"]:
        parts.append(f"{counts['cancelled_before']} were cancelled before")
    if counts["done"]:
        parts.append(f"{counts['done']} are done and stay so")
    return "; ".join(parts)


def _stop(invocation: Invocation, launch: str) -> str:
    from normbench.launchers.cancelling import cancel_launch, find_launch

    return cancel_launch(find_launch(invocation.store_path, launch), invocation.catalogue)
