"""``normbench tune``: trials on tuning seeds, the winner's setting, then the evaluation seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from normbench.cli import complete
from normbench.cli.launching import (
    hint_again,
    how_to_go_on,
    launch_options,
    make_launching,
    say_how_to_go_on,
    show_report,
)
from normbench.cli.options import Invocation, common_options, json_option, words_once
from normbench.cli.output import print_json, print_table, print_text
from normbench.cli.studies import print_report_tables, write
from normbench.quantities import counted

if TYPE_CHECKING:
    from normbench.tuning import Conduct, TuningReport


@click.command("tune")
@click.argument("problem", shell_complete=complete.names_of("problem"))
@click.argument("optimizer", shell_complete=complete.names_of("optimizer"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
@click.option("--trials", type=int, metavar="N", help="Settings to try; default 20, or fewer.")
@click.option(
    "--method", default="sobol", show_default=True, metavar="NAME", help="sobol, grid or tpe."
)
@click.option(
    "--search",
    multiple=True,
    metavar="NAME=FORM",
    help="Search NAME in log:LOW:HIGH, linear:LOW:HIGH, int:LOW:HIGH, choice:A,B,C, grid:A,B,C or "
    "not at all: none; may be repeated.",
)
@click.option(
    "--draw-seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Another number draws other trials.",
)
@click.option(
    "--tuning-seeds", type=int, default=1, show_default=True, metavar="N", help="Seeds of a trial."
)
@click.option("--norm", shell_complete=complete.names_of("norm"), help="Norm at every norm site.")
@click.option("--sites", metavar="MASK", help="Sites that carry the norm, such as 0,0,1,1,1.")
@click.option("--ablation", metavar="MODE", help="Which of γ and β train; see normbench run.")
@click.option(
    "--protocol", shell_complete=complete.names_of("protocol"), help="Rules; default standard."
)
@click.option("--seeds", metavar="N|LIST", help="Evaluation seeds: so many, or the seeds: 3,7,9.")
@click.option("--no-evaluate", is_flag=True, help="Leave the evaluation seeds out.")
@click.option("--skip-failed", is_flag=True, help="Choose among the others if trials failed.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="YAML of words.")
@click.option("--dry-run", is_flag=True, help="Draw and check, show the trials, train nothing.")
@click.option("--enqueue", is_flag=True, help="Add the trials to the store, train nothing.")
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the full report with its figures into DIR.",
)
@launch_options
@json_option
@common_options(store=True, data=True)
@click.pass_obj
def command(invocation: Invocation, /, **given: Any) -> int:
    """Look for the best setting of OPTIMIZER on PROBLEM.

    Trials are drawn beforehand from the optimizer's search space (normbench describe optimizer
    NAME) and trained at seeds of their own, from 100000 on. The one with the best validation score
    becomes the known setting of this cell in the store, and the evaluation seeds are trained at it.
    Words such as momentum=0.9 hold for every trial. Tuning again goes on where it stopped; more
    trials extend fewer.

    \b
    normbench tune digits_cnn_bn sgd --trials 8 --protocol quick --seeds 3
    normbench tune cifar10_resnet20 adamw --search weight_decay=choice:0.01,0.1 --tuning-seeds 2
    normbench tune cifar10_3c3d sgd --norm group_norm --search norm.num_groups=choice:2,4,8
    """  # noqa: D301 - click reads the backspace character
    dry_run, enqueue = given.pop("dry_run"), given.pop("enqueue")
    if not (dry_run or enqueue):
        hint_again(invocation, tunes=True)
    as_json, folder = given.pop("as_json"), given.pop("folder")
    slots = given["slots"]
    conduct = _conduct(invocation, given)
    if (
        conduct.plan.method.sequential
        and isinstance(slots, int)
        and slots > len(conduct.plan.seeds)
    ):
        print_text(_one_by_one(conduct, slots), rest="  ", err=True)
    if dry_run or enqueue:
        return _show_plan(invocation, conduct, as_json=as_json, added=enqueue)
    report = _run(invocation, conduct)
    code = _show(invocation, report, as_json=as_json)
    if folder is not None:
        write(report.study, report.choice, folder)
    return code


def _run(invocation: Invocation, conduct: Conduct) -> TuningReport:
    """Train the study; where it cannot go on, the error says with which command it does."""
    from normbench.tuning.conduct import UnfinishedTrialError

    try:
        return conduct.run()
    except UnfinishedTrialError as error:
        words = how_to_go_on(invocation, error.outcomes)
        raise UnfinishedTrialError(f"{error}\n{words}".rstrip(), error.outcomes) from None


def _conduct(invocation: Invocation, given: dict[str, Any]) -> Conduct:
    """Return the study that the options ask for; what is left of *given* is about launching."""
    from normbench.overrides import parse_mask, parse_seeds
    from normbench.resolve import Request
    from normbench.tuning import Conduct, Tuning

    request = Request(
        sites=parse_mask(given.pop("sites")),
        seeds=parse_seeds(given.pop("seeds")),
        **{name: given.pop(name) for name in _REQUEST},
    )
    tuning = Tuning(
        request=request,
        evaluate=not given.pop("no_evaluate"),
        **{name: given.pop(name) for name in _TUNING},
    )
    launching = make_launching(invocation, track=not given.pop("no_track"), **given)
    return Conduct(tuning, invocation.catalogue, launching)


_REQUEST = ("problem", "optimizer", "words", "norm", "ablation", "protocol", "config")
_TUNING = ("search", "method", "trials", "draw_seed", "tuning_seeds", "skip_failed")


def _show_plan(invocation: Invocation, conduct: Conduct, *, as_json: bool, added: bool) -> int:
    """Print the trials that were drawn, after adding them if that is asked for."""
    from normbench.parameters import typed
    from normbench.store import RunStore

    RunStore.check_place(invocation.store_path)
    drawn = conduct.draw()
    if added:
        conduct.enqueue(drawn)
    if as_json:
        trials = [
            {
                "number": trial.number,
                "values": dict(trial.values),
                "runs": {str(seed): run for seed, run in trial.runs.items()},
            }
            for trial in drawn.trials
        ]
        print_json({"study": conduct.plan.id, "trials": trials})
        return 0
    axes = [axis.word for axis in conduct.plan.space]
    rows = [
        (
            str(trial.number) if trial.number else "default",
            *(typed(trial.values.get(word, "")) for word in axes),
            " ".join(run[:12] for run in trial.runs.values()),
        )
        for trial in drawn.trials
    ]
    print_table(("trial", *axes, "runs"), rows, right=("trial", *axes))
    verb = f"added to {invocation.store_path}" if added else "nothing was trained"
    click.echo(f"\n{counted(len(drawn.runs), 'run')}; {verb}. Study {conduct.plan.id}.")
    if not drawn.complete:
        click.echo("Later trials depend on the results of these.")
    return 0


def _show(invocation: Invocation, report: TuningReport, *, as_json: bool) -> int:
    """Print the best trials, the default setting, the winner and its evaluation."""
    from normbench.tuning import tables
    from normbench.tuning.report import budget_tables

    code = 0 if report.complete or report.going_on else 1
    if as_json:
        print_json(report.to_dict())
        return code
    study = report.study
    print_text(tables.headline(study), rest="  ")
    print_table(tables.columns(study), tables.best_rows(study), right=tables.numeric_columns(study))
    click.echo()
    for line in tables.report_lines(report):
        print_text(line, rest="  ")
    for line in tables.place_lines(report):
        click.echo(line)
    if report.going_on and report.evaluation is None:
        click.echo(invocation.afterwards)
    print_report_tables(budget_tables(study))
    click.echo(
        f"Full report: normbench studies {study.id[:8]}{invocation.place_option} --report DIR\n"
    )
    for message in () if report.waits else report.messages:
        click.echo(message, err=True)
    if report.evaluation is None and report.winner is None and not report.going_on:
        say_how_to_go_on(invocation, report.outcomes)
    if report.evaluation is not None:
        show_report(invocation, report.evaluation, as_json=False)
    return code


def _one_by_one(conduct: Conduct, slots: int) -> str:
    method, seeds = conduct.plan.method.name, len(conduct.plan.seeds)
    runs = f"{seeds} runs at a time, its tuning seeds" if seeds > 1 else "one run at a time"
    return (
        f"--slots {slots}: after the first trials, method {method} draws one when the one before "
        f"has ended, which leaves {runs}."
    )
