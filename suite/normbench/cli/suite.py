"""``normbench suite``: list, show and train whole sets of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from normbench.cli import complete
from normbench.cli.boards import hint_table
from normbench.cli.group import NamingGroup
from normbench.cli.launching import hint_again, request_options, train
from normbench.cli.options import Invocation, common_options, json_option, words_once
from normbench.cli.output import plain, print_json, print_table, print_text
from normbench.cli.plan import cell_options, expanded, plan_options, show_plan
from normbench.cli.suite_runs import cancel, status
from normbench.cli.suite_tune import cells_again, tune, tune_suite
from normbench.descriptions import Suite
from normbench.errors import UsageError
from normbench.quantities import counted

if TYPE_CHECKING:
    from normbench.specs import RunSpec
    from normbench.suites import Plan


@click.group("suite", cls=NamingGroup)
def command() -> None:
    """Train or show a whole set of cells.

    A set may be that of a paper's tables. NAME_OR_FILE is a registered suite (normbench suite list)
    or a YAML file with lists of problems, norms, ablations and optimizers, whose every combination
    is a cell.
    """


@command.command("list")
@json_option
@common_options()
@click.pass_obj
def list_suites(invocation: Invocation, as_json: bool) -> None:
    """List the suites that plugins offer."""
    offers = invocation.catalogue.offers(Suite)
    if as_json:
        print_json([plain(offer.component) for offer in offers])
        return
    print_table(("suite", "summary"), [(o.component.name, o.component.summary) for o in offers])


@command.command("describe")
@click.argument("name", metavar="NAME_OR_FILE", shell_complete=complete.names_of("suite"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
@cell_options
@json_option
@common_options(store=True)
@click.pass_obj
def describe(
    invocation: Invocation,
    /,
    name: str,
    words: Sequence[str],
    seeds: str | None,
    only: Sequence[str],
    as_json: bool,
) -> None:
    """Show the cells of a suite, and those that it leaves out.

    Known settings are those of the plugins and of the store. Words, --only and --seeds mean what
    they mean to suite run, which would train what is shown.
    """
    from normbench.resolve import request_label
    from normbench.suites import as_known_now

    plan = as_known_now(expanded(invocation, name, words, seeds, only), invocation.catalogue)
    rows = _rows(invocation, plan)
    if as_json:
        cells = [{"cell": _cell(specs[0]), "seeds": [s.seed for s in specs]} for specs in rows]
        left_out = [plain(exclusion) for exclusion in plan.exclusions]
        references = [request_label(request) for request in plan.references]
        print_json(
            {
                "suite": name,
                "title": plan.title,
                "cells": cells,
                "references": references,
                "tune": plan.trials and vars(plan.trials),
                "excluded": left_out,
            }
        )
        return
    table = [(*_cell(specs[0]).values(), str(len(specs))) for specs in rows]
    print_table((*_COLUMNS, "seeds"), table, right=("epochs", "seeds"))
    for request in plan.references:
        print_text(f"reference: {request_label(request)}", rest="  ")
    if plan.trials is not None:
        click.echo(f"tuned first: {plan.trials}")
    for exclusion in plan.exclusions:
        words = f"left out: {' '.join(exclusion.cell.values())}: {exclusion.reason}"
        print_text(words, rest="  ")
    runs = counted(sum(map(len, rows)), "run")
    click.echo(f"\n{counted(len(rows), 'cell')}, {runs}.")


@command.command("plan")
@click.argument("name", metavar="NAME_OR_FILE", shell_complete=complete.names_of("suite"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
@plan_options
@json_option
@common_options(store=True, data=True)
@click.pass_obj
def plan(
    invocation: Invocation,
    /,
    name: str,
    words: Sequence[str],
    seeds: str | None,
    only: Sequence[str],
    **planning: Any,
) -> int:
    """Say what a suite will take, and what it will be able to show; see normbench plan."""
    return show_plan(invocation, expanded(invocation, name, words, seeds, only), **planning)


@command.command("run")
@click.argument("name", metavar="NAME_OR_FILE", shell_complete=complete.names_of("suite"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
@cell_options
@click.option("--no-tune", is_flag=True, help="Train at what is known, though the suite is tuned.")
@request_options
@json_option
@common_options(store=True, data=True)
@click.pass_obj
def run(
    invocation: Invocation,
    /,
    name: str,
    words: Sequence[str],
    seeds: str | None,
    only: Sequence[str],
    no_tune: bool,
    **training: Any,
) -> int:
    """Train all cells of a suite; runs that the store already has are kept.

    Words such as protocol.epochs=1 hold for every cell and win over the suite's. Cancelled runs
    are readmitted. A suite that says how it is tuned (tune: {trials: 20}) is tuned first, as by
    normbench suite tune.

    \b
    normbench suite run group_norm_study --only norm=group_norm
    normbench suite run my_suite.yaml protocol.epochs=1 --seeds 2
    """  # noqa: D301 - click reads the backspace character
    trains = not (training["dry_run"] or training["enqueue"])
    if trains:
        hint_again(invocation)
    from normbench.planning import plan_all

    suite = expanded(invocation, name, words, seeds, only)
    if suite.trials is not None and not no_tune:
        again = ["suite", "run", *cells_again(name, words, seeds, only)]
        _refuse_observers(training.pop("observe"))
        flags = {"no_evaluate": False, "skip_failed": False}
        code = tune_suite(invocation, suite, again, {}, **flags, **training)
        hint_table(invocation, name, words, training)
        return code
    catalogue, folder = invocation.catalogue, invocation.data_dir
    specs = plan_all(suite.requests, catalogue, folder, files=trains)
    code = train(invocation, specs, **training)
    hint_table(invocation, name, words, training)
    return code


def _rows(invocation: Invocation, plan: Plan) -> list[list[RunSpec]]:
    """Return the runs of each cell.

    Raises:
        UsageError: If a cell cannot be resolved, or its mask does not fit; the message names it.
    """
    from normbench.planning import check_built
    from normbench.resolve import request_label, resolve

    rows = []
    for request in plan.requests:
        try:
            specs = resolve(request, invocation.catalogue)
            check_built(specs[:1], invocation.catalogue)
        except UsageError as error:
            raise type(error)(f"cell {request_label(request)}: {error}") from None
        rows.append(specs)
    return rows


def _refuse_observers(observe: Sequence[str]) -> None:
    if observe:
        raise UsageError(
            "--observe looks on at single runs, and this suite is tuned first. Tune it: normbench "
            "suite tune; then add --no-tune to suite run."
        )


command.add_command(tune)
command.add_command(status)
command.add_command(cancel)

_COLUMNS = ("problem", "norm", "optimizer", "protocol", "setting", "epochs")


def _cell(spec: RunSpec) -> dict[str, str]:
    from normbench.report import Row
    from normbench.tables import optimizer_cell

    row = Row(spec=spec, scores={}, outcomes={})
    protocol = " ".join((spec.protocol.name, *spec.deviations))
    cells = (spec.problem.name, spec.norm_label, optimizer_cell(row), protocol, row.setting)
    return dict(zip(_COLUMNS, (*cells, str(spec.epochs)), strict=True))
