"""``normbench run``: train a problem with an optimizer on paired seeds."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli import complete
from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.output import print_json, print_table

if TYPE_CHECKING:
    from normbench.api import Launching, Report
    from normbench.specs import ComponentSpec, RunSpec

_F = TypeVar("_F", bound=Callable[..., Any])


def launch_options(function: _F) -> _F:
    """Add the options that say how runs get trained."""
    for option in reversed(_LAUNCH):
        function = option(function)
    return function


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


@click.command("run")
@click.argument("problem", shell_complete=complete.names_of("problem"))
@click.argument("optimizer", shell_complete=complete.names_of("optimizer"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--norm", shell_complete=complete.names_of("norm"), help="Norm at every norm site.")
@click.option("--sites", metavar="MASK", help="Sites that carry the norm, such as 0,0,1,1,1.")
@click.option(
    "--ablation",
    metavar="MODE",
    help="Which of γ and β train: trained, fixed, fixed_gamma or fixed_beta.",
)
@click.option(
    "--protocol", shell_complete=complete.names_of("protocol"), help="Rules; default standard."
)
@click.option("--seeds", metavar="N|LIST", help="So many seeds, or the seeds: 3,7,9.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="YAML of words.")
@click.option("--setting-of", metavar="CELL", help="Use the setting of norm=..., protocol=...")
@click.option(
    "--observe",
    multiple=True,
    metavar="OBSERVER",
    shell_complete=complete.names_of("observer"),
    help="Record series meanwhile: activations, norm_parameters:every=0.1; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Resolve and check, show the runs, train nothing.")
@click.option("--enqueue", is_flag=True, help="Add the runs to the store, train nothing.")
@click.option("--download", is_flag=True, help="Fetch data files that are missing.")
@launch_options
@json_option
@common_options(store=True, data=True)
@click.pass_obj
def command(
    invocation: Invocation,
    problem: str,
    optimizer: str,
    words: Sequence[str],
    norm: str | None,
    sites: str | None,
    ablation: str | None,
    protocol: str | None,
    seeds: str | None,
    config: Path | None,
    setting_of: str | None,
    observe: Sequence[str],
    dry_run: bool,
    enqueue: bool,
    download: bool,
    device: str,
    slots: int | None,
    no_track: bool,
    keep_weights: bool,
    as_json: bool,
) -> int:
    """Train PROBLEM with OPTIMIZER, one run for each seed.

    Runs that the store already has are kept; interrupted ones go on from their checkpoint. Words
    such as lr=0.02 set the optimizer's parameters; protocol.epochs=100, problem.batch_size=64,
    norm.num_groups=4, ablation.scale_init=0.1 and network.bias=always set the others'. Observers
    never change a run; one that has its result is trained again for series that it lacks.

    \b
    normbench run digits_cnn_bn sgd
    normbench run cifar10_resnet20 momentum --norm group_norm norm.num_groups=4
    normbench run cifar10_3c3d_bn sgd --sites 0,0,1,1,1 --ablation fixed_gamma lr=0.02
    normbench run cifar10_resnet20 sgd --observe activations --observe norm_parameters:every=0.1
    """  # noqa: D301 - click reads the backspace character
    from normbench.api import launch
    from normbench.cadence import asked_observers
    from normbench.launchers.local import devices
    from normbench.overrides import parse_mask, parse_seeds
    from normbench.planning import plan
    from normbench.resolve import Request

    request = Request(
        problem=problem,
        optimizer=optimizer,
        norm=norm,
        sites=parse_mask(sites),
        ablation=ablation,
        protocol=protocol,
        seeds=parse_seeds(seeds),
        words=words,
        config=config,
        setting_of=setting_of,
    )
    launching = make_launching(
        invocation,
        device=device,
        slots=slots,
        track=not no_track,
        keep_weights=keep_weights,
        observers=asked_observers(observe, invocation.catalogue),
    )
    if download:
        _fetch(invocation, problem)
    specs = plan(request, invocation.catalogue, invocation.data_dir)
    if not enqueue:
        devices(device, slots)
    if dry_run or enqueue:
        if enqueue:
            _enqueue(invocation, specs, launching)
        return show_plan(invocation, specs, as_json=as_json, add=enqueue)
    invocation.resume_hint = resume_hint(invocation)
    report = launch(specs, invocation.catalogue, launching)
    return show_report(invocation, report, as_json=as_json)


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


def show_plan(invocation: Invocation, specs: Sequence[RunSpec], *, as_json: bool, add: bool) -> int:
    """Print the runs that a request stands for, and add them to the store if asked to."""
    from normbench.report import Row
    from normbench.store import RunState, RunStore
    from normbench.tables import optimizer_cell

    path = invocation.store_path
    store = RunStore.open(path, create=add) if add or path.exists() else None
    if store is not None and add:
        for spec in specs:
            store.add(spec)
    states = []
    for spec in specs:
        run = store.get(spec.fingerprint) if store is not None else None
        states.append(RunState.PENDING if run is None else run.state())
    if as_json:
        print_json([{**json.loads(spec.to_json()), "run": spec.fingerprint} for spec in specs])
        return 0
    rows = [Row(spec=spec, scores={}, outcomes={}) for spec in specs]
    print_table(
        ("run", "seed", "problem", "norm", "optimizer", "setting", "epochs", "state"),
        [
            (
                spec.fingerprint[:12],
                str(spec.seed),
                spec.problem.name,
                spec.norm_label,
                optimizer_cell(row),
                row.setting,
                str(spec.epochs),
                state.value,
            )
            for spec, row, state in zip(specs, rows, states, strict=True)
        ],
        right=("seed", "epochs"),
    )
    verb = f"added to {path}" if add else "nothing was trained"
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


def _fetch(invocation: Invocation, problem: str) -> None:
    from normbench.cli.prepare import datasets_of, prepare_dataset
    from normbench.data import data_folder

    for dataset in datasets_of(invocation.catalogue, (problem,)):
        prepare_dataset(dataset, data_folder(invocation.data_dir))
