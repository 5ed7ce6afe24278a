"""What the commands that train share: options, the launch, and what is printed of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli import complete
from normbench.cli.options import Invocation
from normbench.cli.output import print_json, print_table

if TYPE_CHECKING:
    from normbench.api import Launching, Report
    from normbench.specs import ComponentSpec, RunSpec

_F = TypeVar("_F", bound=Callable[..., Any])


def launch_options(function: _F) -> _F:
    """Add the options that say how runs get trained."""
    return _with(function, _LAUNCH)


def request_options(function: _F) -> _F:
    """Add the options of commands that ask for runs: what is recorded, and whether to train."""
    return _with(function, (*_REQUEST, *_LAUNCH))


def _with(function: _F, options: Sequence[Callable[[_F], _F]]) -> _F:
    for option in reversed(options):
        function = option(function)
    return function


_REQUEST = (
    click.option(
        "--observe",
        multiple=True,
        metavar="OBSERVER",
        shell_complete=complete.names_of("observer"),
        help="Record series meanwhile: activations, norm_parameters:every=0.1; may be repeated.",
    ),
    click.option(
        "--dry-run", is_flag=True, help="Resolve and check, show the runs, train nothing."
    ),
    click.option("--enqueue", is_flag=True, help="Add the runs to the store, train nothing."),
)
_LAUNCH = (
    click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="DEVICE",
        help="auto, cpu, cuda or cuda:N.",
    ),
    click.option(
        "--slots",
        type=click.IntRange(min=1),
        metavar="N",
        help="Runs trained at once on the processor (default: one a core) or on each GPU (one).",
    ),
    click.option("--no-track", is_flag=True, help="Do not feed MLflow."),
    click.option("--keep-weights", is_flag=True, help="Keep the final weights of each run."),
)


def train(
    invocation: Invocation,
    specs: Sequence[RunSpec],
    *,
    observe: Sequence[str],
    dry_run: bool,
    enqueue: bool,
    as_json: bool,
    no_track: bool,
    **launch_values: Any,
) -> int:
    """Train *specs*, or only show or enqueue them; return the exit code."""
    from normbench.api import launch
    from normbench.cadence import asked_observers
    from normbench.launchers.local import devices

    observers = asked_observers(observe, invocation.catalogue)
    launching = make_launching(invocation, track=not no_track, observers=observers, **launch_values)
    if enqueue:
        _enqueue(invocation, specs, launching)
    else:
        devices(launching.device, launching.slots)
    if dry_run or enqueue:
        return _show_plan(invocation, specs, as_json=as_json, added=enqueue)
    invocation.resume_hint = resume_hint(invocation)
    return show_report(invocation, launch(specs, invocation.catalogue, launching), as_json=as_json)


def make_launching(
    invocation: Invocation,
    *,
    device: str,
    slots: int | None,
    track: bool,
    keep_weights: bool,
    observers: Sequence[ComponentSpec] = (),
) -> Launching:
    """Return how runs get trained, with the progress display of the command line."""
    from normbench.api import Launching
    from normbench.cli.progress import watch

    return Launching(
        store=invocation.store_path,
        device=device,
        slots=slots,
        data_dir=invocation.data_dir,
        track=track,
        keep_weights=keep_weights,
        observers=observers,
        watch=watch,
    )


def show_report(invocation: Invocation, report: Report, *, as_json: bool) -> int:
    """Print the closing table and where the results are; return the exit code."""
    from normbench.tables import MORE_COLUMNS, NUMERIC, row_cells

    if as_json:
        print_json(report.to_dict())
        return 0 if report.complete else 1
    print_table(MORE_COLUMNS, [row_cells(row) for row in report.rows], right=NUMERIC)
    click.echo(f"\n{_counts(report)}. Results: {report.store}")
    place = f" --store {invocation.store}" if invocation.store else ""
    click.echo(f"Curves: normbench plot{place}. MLflow: normbench ui{place}")
    for row in report.rows:
        for seed, message in sorted(row.messages.items()):
            click.echo(f"seed {seed}: {message}", err=True)
    for sentence in report.lacking:
        click.echo(sentence, err=True)
    if report.tracking:
        click.echo(f"MLflow: {report.tracking}", err=True)
    return 0 if report.complete else 1


def _enqueue(invocation: Invocation, specs: Sequence[RunSpec], launching: Launching) -> None:
    from normbench.store import RunStore

    store = RunStore.open(invocation.store_path, create=True)
    for spec in specs:
        store.add(spec).ask(launching.observers)


def _show_plan(
    invocation: Invocation, specs: Sequence[RunSpec], *, as_json: bool, added: bool
) -> int:
    """Print the runs that a request stands for."""
    from normbench.report import Row
    from normbench.store import RunState, RunStore
    from normbench.tables import optimizer_cell

    path = invocation.store_path
    store = RunStore.open(path) if path.exists() else None
    states = []
    for spec in specs:
        run = store.get(spec.fingerprint) if store is not None else None
        states.append(RunState.PENDING if run is None else run.state())
    if as_json:
        print_json([{**json.loads(spec.to_json()), "run": spec.fingerprint} for spec in specs])
        return 0
    rows = [Row(spec=spec, scores={}, outcomes={}) for spec in specs]
    print_table(
        ("run", "seed", "problem", "norm", "optimizer", "setting", "epochs", "deviations", "state"),
        [
            (
                spec.fingerprint[:12],
                str(spec.seed),
                spec.problem.name,
                spec.norm_label,
                optimizer_cell(row),
                row.setting,
                str(spec.epochs),
                " ".join(spec.deviations),
                state.value,
            )
            for spec, row, state in zip(specs, rows, states, strict=True)
        ],
        right=("seed", "epochs"),
    )
    verb = f"added to {path}" if added else "nothing was trained"
    click.echo(f"\n{len(specs)} runs; {verb}.")
    return 0


def resume_hint(invocation: Invocation) -> str:
    """Return the sentence that tells how to go on after an interruption."""
    words = ["normbench", "resume", "--store", str(invocation.store_path)]
    if invocation.data_dir:
        words += ["--data-dir", str(invocation.data_dir)]
    for file in invocation.plugin_files:
        words += ["--plugin", str(file)]
    return f" Go on with: {shlex.join(words)}"


def _counts(report: Report) -> str:
    """Return how many runs ended now, had ended before, and have not ended."""
    ended = sum(row.n for row in report.rows)
    unfinished = sum(sum(row.outcomes.values()) for row in report.rows) - ended
    parts = [(report.trained, "finished now"), (ended - report.trained, "finished before")]
    parts += [(unfinished, "unfinished"), (report.observed, "got their series")]
    shown = [f"{count} {words}" for count, words in parts if count]
    return f"Runs: {', '.join(shown)}"
