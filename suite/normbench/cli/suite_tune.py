"""``normbench suite tune``: every cell of a suite tuned with the same budget, then its seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli import complete
from normbench.cli.boards import hint_table
from normbench.cli.launching import (
    hint_again,
    launch_options,
    make_launching,
    say_how_to_go_on,
    show_report,
)
from normbench.cli.options import Invocation, common_options, json_option, words_once
from normbench.cli.output import print_json, print_table, print_text
from normbench.cli.plan import cell_options, expanded
from normbench.quantities import counted

if TYPE_CHECKING:
    from normbench.specs import RunSpec
    from normbench.suites import Plan
    from normbench.tuning import TuningReport
    from normbench.tuning.together import SuiteTuning, Together

_F = TypeVar("_F", bound=Callable[..., Any])
_NAMES = ("problem", "norm", "optimizer", "protocol")
_FLAGS = ("no_evaluate", "skip_failed")
_TRIALS = ("trials", "method", "search", "draw_seed", "tuning_seeds")


def _trial_options(function: _F) -> _F:
    """Add the options that say how cells are tuned; what is left out is as the suite says."""
    for option in reversed(
        (
            click.option(
                "--trials",
                type=int,
                metavar="N",
                help="Settings to try for each cell; default: as the suite says, else 20 or fewer.",
            ),
            click.option("--method", metavar="NAME", help="sobol, grid or tpe."),
            click.option(
                "--search",
                multiple=True,
                metavar="[OPTIMIZER.]NAME=FORM",
                help="Search NAME of all optimizers, or of one, in another form; see normbench "
                "tune. May be repeated.",
            ),
            click.option(
                "--draw-seed",
                type=click.IntRange(min=0),
                metavar="N",
                help="Another number draws other trials.",
            ),
            click.option("--tuning-seeds", type=int, metavar="N", help="Seeds of a trial."),
        )
    ):
        function = option(function)
    return function


@click.command("tune")
@click.argument("name", metavar="NAME_OR_FILE", shell_complete=complete.names_of("suite"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
@_trial_options
@cell_options
@click.option("--no-evaluate", is_flag=True, help="Leave the suite's own seeds out.")
@click.option("--skip-failed", is_flag=True, help="Choose among the others if trials failed.")
@click.option("--dry-run", is_flag=True, help="Draw and check, show the cells, train nothing.")
@click.option("--enqueue", is_flag=True, help="Add the trials to the store, train nothing.")
@launch_options
@json_option
@common_options(store=True, data=True)
@click.pass_obj
def tune(
    invocation: Invocation,
    /,
    name: str,
    words: Sequence[str],
    seeds: str | None,
    only: Sequence[str],
    **given: Any,
) -> int:
    """Tune every cell of a suite with the same budget, then train its seeds at the winners.

    Each cell is tuned as by normbench tune, once however often the suite has it; the trials of all
    cells are trained together. What the suite fixes by words is not searched, and a cell with all
    of its search fixed, or with setting_of, is trained as it is. Tuning again goes on where it
    stopped. A suite may say how it is tuned (tune: {trials: 20}); then suite run does all this.

    \b
    normbench suite tune my_suite.yaml --trials 20
    normbench suite tune my_suite.yaml --trials 8 --search adam.lr=log:0.0001:0.1 --only norm=none
    """  # noqa: D301 - click reads the backspace character
    if not (given["dry_run"] or given["enqueue"]):
        hint_again(invocation)
    plan = expanded(invocation, name, words, seeds, only)
    changes = {
        option: value for option in _TRIALS if (value := given.pop(option)) not in (None, ())
    }
    again = ["suite", "tune", *cells_again(name, words, seeds, only)]
    for option, value in changes.items():
        each = value if isinstance(value, tuple) else (value,)
        again += [w for v in each for w in (f"--{option.replace('_', '-')}", str(v))]
    again += [f"--{flag.replace('_', '-')}" for flag in _FLAGS if given[flag]]
    code = tune_suite(invocation, plan, again, changes, **given)
    if not given["no_evaluate"]:
        hint_table(invocation, name, words, given)
    return code


def cells_again(
    name: str, words: Sequence[str], seeds: str | None, only: Sequence[str]
) -> list[str]:
    """Return the words that choose these cells of a suite, whatever folder they are typed in."""
    file = Path(name)
    place = str(file.absolute()) if file.is_file() else name
    choice = ["--seeds", seeds] if seeds else []
    return [place, *words, *choice, *(word for each in only for word in ("--only", each))]


def tune_suite(
    invocation: Invocation,
    plan: Plan,
    again: Sequence[str],
    changes: dict[str, Any],
    *,
    no_evaluate: bool,
    skip_failed: bool,
    dry_run: bool,
    enqueue: bool,
    as_json: bool,
    no_track: bool,
    **launch_values: Any,
) -> int:
    """Tune the cells of *plan* as it says but for the *changes*, and return the exit code.

    Args:
        invocation: What the shared options said.
        plan: The suite's cells.
        again: What to type to do so once more, but for the store and for how to launch.
        changes: What options said of the trials.
        no_evaluate: Whether the suite's seeds are left out.
        skip_failed: Choose among the others when trials have failed.
        dry_run: Only show what would be trained.
        enqueue: Only add it to the store.
        as_json: Print JSON.
        no_track: Whether MLflow is left out.
        launch_values: What the options of a launch said.
    """
    from normbench.suites.files import Trials
    from normbench.tuning.commands import plugin_words
    from normbench.tuning.together import Together

    together = Together(
        plan.requests,
        replace(plan.trials or Trials(), **changes),
        invocation.catalogue,
        make_launching(invocation, track=not no_track, **launch_values),
        skip_failed=skip_failed,
        command=["normbench", *again, *plugin_words(invocation.catalogue.files)],
    )
    if dry_run or enqueue:
        return _show_plan(invocation, together, as_json=as_json, added=enqueue)
    hint_again(invocation, tunes=True)
    return _show(invocation, together.run(evaluate=not no_evaluate), as_json=as_json)


def _show_plan(invocation: Invocation, together: Together, *, as_json: bool, added: bool) -> int:
    """Print the cells and how many trials of each are drawn, after adding them if asked for."""
    from normbench.store import RunStore

    RunStore.check_place(invocation.store_path)
    drawn = together.enqueue() if added else together.draw()
    if as_json:
        cells = {
            label: {
                "study": together.members[label].conduct.plan.id,
                "trials": [
                    {"number": t.number, "values": dict(t.values), "runs": list(t.runs.values())}
                    for t in each.trials
                ],
            }
            for label, each in drawn.items()
        }
        print_json({"cells": cells, "untuned": together.untuned})
        return 0
    rows = []
    for label, each in drawn.items():
        plan = together.members[label].conduct.plan
        counts = (str(plan.budget), str(len(each.runs)))
        rows.append((*_names(plan.base), str(plan.space), plan.method.label, *counts, plan.id[:8]))
    columns = (*_NAMES, "space", "method", "trials", "runs", "study")
    print_table(columns, rows, right=("trials", "runs"))
    click.echo()
    _print_untuned(together.untuned)
    runs = len({spec.fingerprint for each in drawn.values() for spec in each.runs})
    verb = f"added to {invocation.store_path}" if added else "nothing was trained"
    click.echo(f"{counted(len(drawn), 'cell')}, {counted(runs, 'run')}; {verb}.")
    if not all(each.complete for each in drawn.values()):
        click.echo("Later trials depend on the results of these.")
    return 0


def _names(spec: RunSpec) -> tuple[str, ...]:
    protocol = " ".join((spec.protocol.name, *spec.deviations))
    return (spec.problem.name, spec.norm_label, spec.optimizer_label, protocol)


def _print_untuned(untuned: Mapping[str, str]) -> None:
    for label, reason in untuned.items():
        print_text(f"not tuned: {label}: {reason}", rest="  ")


def _show(invocation: Invocation, found: SuiteTuning, *, as_json: bool) -> int:
    """Print a line for each study, what is to be known of it, and the suite's own rows."""
    code = 0 if found.complete or found.going_on else 1
    if as_json:
        print_json(found.to_dict())
        return code
    columns = (*_NAMES, "trials", "winner", "validation", "default", "diverged", "study")
    numbers = ("trials", "validation", "default", "diverged")
    if found.reports:
        print_table(columns, [_cells(report) for report in found.reports], right=numbers)
        click.echo()
    for report in found.reports:
        for line in _remarks(report):
            print_text(f"{report.study.id[:8]}: {line}", rest="  ")
    _print_untuned(found.untuned)
    if found.reports:
        click.echo(f"Each in full: normbench studies STUDY{invocation.place_option}\n")
    failed = {s for each in found.reports if each.winner is None for s in each.outcomes}
    if found.evaluation is not None:
        show_report(invocation, found.evaluation, as_json=False, trials=failed)
    elif found.going_on:
        click.echo(found.going_on, err=True)
        click.echo(invocation.afterwards, err=True)
    else:
        say_how_to_go_on(invocation, failed)
    return code


def _cells(report: TuningReport) -> tuple[str, ...]:
    from normbench.tables import score
    from normbench.tuning.commands import trial_words

    study, metric = report.study, report.study.metric.name
    winner = "none" if report.winner is None else " ".join(trial_words(report.winner.values))
    return (
        study.problem,
        study.norm_label,
        study.optimizer,
        " ".join((study.protocol, *study.deviations)),
        str(len(study.trials)),
        winner,
        score(report.winner.score if report.winner else None, metric),
        score(study.default.score, metric),
        str(study.diverged or ""),
        study.id[:8],
    )


def _remarks(report: TuningReport) -> list[str]:
    """Return what a table of studies cannot say of one, in sentences."""
    if report.waits:
        return []
    lines = [f"No winner: {report.problem} Its seeds are left out."] if report.problem else []
    lines += [str(edge) for edge in report.edges]
    lines += [report.behind] if report.behind else []
    if report.kept is not None and not report.kept.current:
        lines.append(report.kept.words)
    return [*lines, *report.messages]
