"""What the commands that train share: options, the launch, and what is printed of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli import complete
from normbench.cli.options import Invocation
from normbench.cli.output import print_json, print_table
from normbench.quantities import counted
from normbench.rungs import AUTO, ENGINES
from normbench.store import RunState

if TYPE_CHECKING:
    from normbench.api import Launching, Report
    from normbench.launchers.base import Pack, Slots
    from normbench.report import Row
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


def _slots(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Slots:  # noqa: ARG001
    from normbench.launchers.devices import parse_slots

    return None if value is None else parse_slots(value)


def _pack(ctx: click.Context, parameter: click.Parameter, value: str) -> Pack:  # noqa: ARG001
    from normbench.launchers.devices import parse_pack

    return parse_pack(value)


def _parsed(name: str) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return a callback that reads a quantity by the function *name*."""

    def callback(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Any:  # noqa: ARG001
        from normbench import quantities

        return None if value is None else getattr(quantities, name)(value)

    return callback


def _named_values(
    ctx: click.Context,  # noqa: ARG001 - click's signature
    parameter: click.Parameter,  # noqa: ARG001
    values: Sequence[str],
) -> dict[str, str]:
    from normbench.errors import UsageError

    found = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"--launcher-option {text!r}: expected NAME=VALUE.")
        found[name.strip()] = value.strip()
    return found


_LIMITS = {RunState.TIMED_OUT: "--time-limit", RunState.OUT_OF_MEMORY: "--memory-limit"}
_AGAIN = {*_LIMITS, RunState.FAILED, RunState.INTERRUPTED, RunState.PENDING}
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
        callback=_slots,
        metavar="N|auto",
        help="Runs trained at once on the processor (default: one a core) or on each GPU (one; "
        "auto: as many as its memory allows).",
    ),
    click.option(
        "--pack",
        callback=_pack,
        default="auto",
        show_default=True,
        metavar="N|auto|off",
        help="Runs of one kind that a process on a GPU trains at once, as branches of one CUDA "
        "graph, each as it is alone; auto: as many as its memory allows, once one was alone. Not "
        "run on a GPU yet.",
    ),
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default=AUTO,
        show_default=True,
        help="How steps are carried out: graph replays captured CUDA graphs, compile compiles the "
        "forward pass as well; auto is the fastest that holds, on the processor eager. On GPUs "
        "none has been run yet.",
    ),
    click.option(
        "--time-limit",
        callback=_parsed("parse_seconds"),
        metavar="TIME",
        help="Of each run, loading its data included, such as 90, 30m or 2h; beyond it the run "
        "ends as timed_out.",
    ),
    click.option(
        "--memory-limit",
        callback=_parsed("parse_bytes"),
        metavar="SIZE",
        help="Of each worker, such as 4G; beyond it its run ends as out_of_memory.",
    ),
    click.option(
        "--launcher",
        default="local",
        show_default=True,
        shell_complete=complete.names_of("launcher"),
        metavar="NAME",
        help="Who starts the workers; see: normbench list launchers.",
    ),
    click.option(
        "--launcher-option",
        "launcher_options",
        multiple=True,
        callback=_named_values,
        metavar="NAME=VALUE",
        help="A word for that launcher, such as partition=gpu; may be repeated.",
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
    from normbench.api import check_launching, launch
    from normbench.cadence import asked_observers

    observers = asked_observers(observe, invocation.catalogue)
    launching = make_launching(invocation, track=not no_track, observers=observers, **launch_values)
    if enqueue:
        _enqueue(invocation, specs, launching)
    else:
        check_launching(launching, invocation.catalogue)
    if dry_run or enqueue:
        return _show_plan(invocation, specs, as_json=as_json, added=enqueue)
    hint_again(invocation)
    return show_report(invocation, launch(specs, invocation.catalogue, launching), as_json=as_json)


def make_launching(
    invocation: Invocation,
    *,
    track: bool,
    observers: Sequence[ComponentSpec] = (),
    **launch_values: Any,
) -> Launching:
    """Return how runs get trained, with the progress display of the command line.

    Args:
        invocation: What the shared options said.
        track: Whether MLflow is fed.
        observers: What looks on.
        launch_values: What the other options of :func:`launch_options` said.
    """
    from normbench.api import Launching
    from normbench.cli.progress import watch

    return Launching(
        store=invocation.store_path,
        data_dir=invocation.data_dir,
        track=track,
        observers=observers,
        watch=watch,
        **launch_values,
    )


def show_report(
    invocation: Invocation,
    report: Report,
    *,
    as_json: bool,
    trials: Collection[RunState] = (),
    whole: Sequence[Row] = (),
) -> int:
    """Print the closing table and where the results are; return the exit code.

    It is 0 once every run has its result: that MLflow lacks some is said in the last line.

    Args:
        invocation: What was typed.
        report: What came of it.
        as_json: Print JSON.
        trials: States of runs that the same command trains and the report does not have.
        whole: The rows with all of their seeds, where the report has only those that were resumed;
            the table shows these, and names the others.
    """
    if as_json:
        print_json(report.to_dict())
    else:
        _print_report(invocation, report, trials, whole)
    if report.behind:
        click.echo(f"{report.behind} Send them with: {_sync_command(report)}", err=True)
    return 0 if report.complete or report.going_on else 1


def _print_report(
    invocation: Invocation, report: Report, trials: Collection[RunState], whole: Sequence[Row]
) -> None:
    from normbench.tables import MORE_COLUMNS, NUMERIC, row_cells

    columns: Sequence[str] = MORE_COLUMNS
    lines: list[Sequence[str]] = [row_cells(row) for row in whole or report.rows]
    if whole:
        seeds = {row.spec.row: ", ".join(map(str, sorted(row.fingerprints))) for row in report.rows}
        columns = (*columns, "resumed seeds")
        lines = [(*line, seeds[row.spec.row]) for line, row in zip(lines, whole, strict=True)]
    print_table(columns, lines, right=NUMERIC)
    click.echo(f"\n{_counts(report)}. Results: {report.store}")
    place = invocation.store_option
    lacks = not (report.tracking or report.going_on)
    first = f"normbench sync{place}, then " if lacks else ""
    click.echo(
        f"Curves: normbench plot{invocation.place_option}. MLflow: {first}normbench ui{place}"
    )
    for words in why_unfinished(report):
        click.echo(words, err=True)
    for sentence in report.lacking:
        click.echo(sentence, err=True)
    if report.tracking:
        click.echo(f"MLflow: {report.tracking}", err=True)
    if report.going_on:
        click.echo(report.going_on, err=True)
    elif invocation.resume_hint:
        say_how_to_go_on(invocation, {*trials, *(s for row in report.rows for s in row.outcomes)})


def why_unfinished(report: Report) -> list[str]:
    """Return why runs ended badly, each with its seed, and its row where there are several."""
    from normbench.cli.run_names import row_names
    from normbench.store import RunStore

    if not any(row.messages for row in report.rows):
        return []
    names = row_names(RunStore.open(report.store), [row.spec for row in report.rows])
    return [
        f"{name} seed {seed}: {message}".lstrip()
        for name, row in zip(names, report.rows, strict=True)
        for seed, message in sorted(row.messages.items())
    ]


def say_how_to_go_on(invocation: Invocation, states: Collection[RunState]) -> None:
    """Print the command that trains what ended badly, if runs in these *states* did."""
    if words := how_to_go_on(invocation, states):
        click.echo(words, err=True)


def how_to_go_on(invocation: Invocation, states: Collection[RunState]) -> str:
    """Return the command that trains what ended badly, with limits that let it get further."""
    if _AGAIN.isdisjoint(states):
        return ""
    larger = [name for state, name in _LIMITS.items() if state in states]
    words = "with twice the limit: " if invocation.limited(larger) else "with: "
    return f"Go on {words}{invocation.again(larger)}"


def _sync_command(report: Report) -> str:
    return shlex.join(["normbench", "sync", "--store", str(report.store)])


def _enqueue(invocation: Invocation, specs: Sequence[RunSpec], launching: Launching) -> None:
    from normbench.store import RunStore
    from normbench.store.plugin_files import note_plugin_files

    store = RunStore.open(invocation.store_path, create=True)
    note_plugin_files(store.root, invocation.catalogue.offered_by_files())
    for spec in specs:
        run = store.add(spec)
        run.readmit()
        run.ask(launching.observers)


def _show_plan(
    invocation: Invocation, specs: Sequence[RunSpec], *, as_json: bool, added: bool
) -> int:
    """Print the runs that a request stands for."""
    from normbench.report import Row
    from normbench.store import RunStore
    from normbench.tables import optimizer_cell

    path = invocation.store_path
    RunStore.check_place(path)
    store = RunStore.open_if_there(path)
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
        names=("run",),
    )
    for sentence in _missing_data(invocation, specs):
        click.echo(sentence, err=True)
    verb = f"added to {path}" if added else "nothing was trained"
    click.echo(f"\n{counted(len(specs), 'run')}; {verb}.")
    return 0


def _missing_data(invocation: Invocation, specs: Sequence[RunSpec]) -> list[str]:
    """Return what the datasets of *specs* lack here, in a sentence each."""
    from normbench.places import data_folder
    from normbench.planning import missing_data

    datasets = {spec.problem.dataset.name: spec for spec in specs}
    folder, catalogue = data_folder(invocation.data_dir), invocation.catalogue
    return [said for spec in datasets.values() if (said := missing_data(spec, catalogue, folder))]


def hint_again(invocation: Invocation, *, tunes: bool = False) -> None:
    """Have an interruption say how to go on: by the same command, which keeps what is done.

    From here on SIGTERM is such an interruption as well.

    Args:
        invocation: What was typed.
        tunes: Whether the command has more to do once jobs that go on by themselves have ended.
    """
    from normbench.launchers.signals import interrupted_by_signals

    invocation.resume_hint = f" Go on with: {invocation.again()}"
    invocation.to_the_end.enter_context(interrupted_by_signals())
    if tunes:
        invocation.afterwards = f"Once the trials have ended, go on with: {invocation.again()}"


def _counts(report: Report) -> str:
    """Return how many runs ended now, had ended before, and have not ended."""
    ended = sum(row.n for row in report.rows)
    unfinished = sum(sum(row.outcomes.values()) for row in report.rows) - ended
    parts = [(report.trained, "finished now"), (ended - report.trained, "finished before")]
    parts += [(unfinished, "unfinished"), (report.observed, "got their series")]
    shown = [f"{count} {words}" for count, words in parts if count]
    return f"Runs: {', '.join(shown)}"
