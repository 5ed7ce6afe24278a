"""``normbench verify``: whether a faster way of computing gives the same results."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from normbench.cli import complete
from normbench.cli.group import NamingGroup
from normbench.cli.launching import hint_again, launch_options, make_launching, why_unfinished
from normbench.cli.options import Invocation, common_options, words_once
from normbench.cli.output import print_json, print_table, print_text
from normbench.errors import UsageError
from normbench.quantities import counted

if TYPE_CHECKING:
    from normbench.verification import Plan, PrecisionTest, TestReport


@click.group("verify", cls=NamingGroup)
def command() -> None:
    """Test whether a faster way of computing gives the same results."""


@command.command("precision")
@click.argument("problem", shell_complete=complete.names_of("problem"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
@click.option(
    "--precision", default="bf16", show_default=True, metavar="NAME", help="The one in question."
)
@click.option("--against", metavar="NAME", help="Held against this one; default the protocol's.")
@click.option(
    "--optimizers",
    default="momentum,adam",
    show_default=True,
    metavar="A,B",
    help="Optimizers to train with.",
)
@click.option(
    "--rates",
    multiple=True,
    metavar="[OPTIMIZER=]A,B,C",
    help="Learning rates; default the optimizer's own here, and half a decade to either side; may "
    "be repeated.",
)
@click.option(
    "--seeds",
    type=int,
    default=12,
    show_default=True,
    metavar="N",
    help="Runs of each optimizer at each rate in each precision.",
)
@click.option("--norm", shell_complete=complete.names_of("norm"), help="Norm at every norm site.")
@click.option(
    "--protocol", shell_complete=complete.names_of("protocol"), help="Rules; default standard."
)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="YAML of words.")
@click.option("--dry-run", is_flag=True, help="Resolve and check, show the runs, train nothing.")
@launch_options
@click.option(
    "--format",
    "shape",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="How to print.",
)
@common_options(store=True, data=True)
@click.pass_obj
def precision(invocation: Invocation, /, shape: str, dry_run: bool, **given: Any) -> int:
    """Test whether a precision gives the results of another one on PROBLEM.

    Both are trained with the same optimizers, learning rates and seeds, in the store, at tuning
    seeds that no leaderboard takes in. They are equivalent if the mean differences of test score
    and test loss, over all pairs, lie within half a standard deviation of what the seed changes
    (two one-sided paired t-tests), no optimizer at one rate is seen to differ by more, and the
    best learning rate of each optimizer is the same. Tables of bf16 rows say whether a full test,
    of two optimizers, three rates and 12 seeds, was passed. The exit code is 0 if they are
    equivalent, in a small test as well, and else 1.

    \b
    normbench verify precision digits_cnn_bn
    normbench verify precision cifar10_3c3d_bn --rates momentum=0.01,0.03,0.1 protocol.epochs=3
    """  # noqa: D301 - click reads the backspace character
    if not dry_run:
        hint_again(invocation, tunes=True)
    from normbench.verification import plan_here, run_test

    asked = _asked(given)
    launching = make_launching(invocation, track=not given.pop("no_track"), **given)
    test = plan_here(asked, invocation.catalogue, launching)
    if dry_run:
        from normbench.store import RunStore

        RunStore.check_place(invocation.store_path)
        return _show_plan(test, as_json=shape == "json")
    report = run_test(test, invocation.catalogue, launching)
    if shape == "json":
        print_json(report.to_dict())
    else:
        _show(invocation, report)
    return 0 if report.judgement.word == "equivalent" else 1


def _asked(given: dict[str, Any]) -> PrecisionTest:
    """Return what is to be tested; what is left of *given* is about launching."""
    from normbench.resolve import Request
    from normbench.verification import PrecisionTest

    optimizers = [name.strip() for name in given.pop("optimizers").split(",") if name.strip()]
    if not optimizers:
        raise UsageError("--optimizers names none: expected names such as momentum,adam.")
    request = Request(
        optimizer=optimizers[0],
        **{name: given.pop(name) for name in ("problem", "words", "norm", "protocol", "config")},
    )
    return PrecisionTest(
        request=request,
        optimizers=optimizers,
        rates=dict(_rates(text) for text in given.pop("rates")),
        **{name: given.pop(name) for name in ("precision", "against", "seeds")},
    )


def _rates(text: str) -> tuple[str, list[float]]:
    """Return an optimizer, empty for all others, and its learning rates."""
    name, _, numbers = text.rpartition("=")
    try:
        rates = [float(number) for number in numbers.split(",")]
    except ValueError:
        rates = []
    if not rates or not all(0 < rate < float("inf") for rate in rates):
        raise UsageError(
            f"--rates {text!r}: expected learning rates above 0, such as 0.01,0.03,0.1 or "
            "momentum=0.01,0.03,0.1"
        )
    return name.strip(), rates


def _show_plan(test: Plan, *, as_json: bool) -> int:
    rows = [
        (spec.fingerprint[:12], spec.optimizer.name, f"{group.rate:g}", arm, str(spec.seed))
        for group in test.groups
        for arm, specs in group.arms.items()
        for spec in specs
    ]
    if as_json:
        names = ("run", "optimizer", "lr", "precision", "seed")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return 0
    table = [
        (group.optimizer, f"{group.rate:g}", arm, str(len(specs)))
        for group in test.groups
        for arm, specs in group.arms.items()
    ]
    print_table(("optimizer", "lr", "precision", "seeds"), table, right=("lr", "seeds"))
    size = "a small test" if test.small else "a full test"
    click.echo(f"\n{counted(len(rows), 'run')}, {size}; nothing was trained.")
    return 0


def _show(invocation: Invocation, report: TestReport) -> None:
    from normbench.verification import words
    from normbench.verification.results import metrics_of

    test, judgement = report.plan, report.judgement
    metrics = metrics_of(test.base)
    heads = words.columns(test, metrics)
    title = f"{test.base.problem.name}: {test.precision} against {test.against}, mean (sd)"
    print_table(heads, words.group_rows(report.pairs, metrics), title=title, right=heads[1:])
    click.echo()
    print_table(words.FOUND, words.found_rows(judgement), right=words.FOUND[1:])
    click.echo(f"\nVerdict: {words.verdict(test, judgement)}")
    print_text(words.sentence(test, judgement), rest="  ")
    for text in why_unfinished(report.launched):
        click.echo(text, err=True)
    if report.launched.going_on:
        click.echo(report.launched.going_on, err=True)
        click.echo(invocation.afterwards.replace("the trials", "the runs"), err=True)
    if report.path:
        click.echo(f"Result: {shlex.quote(str(report.path))}")
    if report.launched.tracking:
        click.echo(f"MLflow: {report.launched.tracking}", err=True)
