"""``normbench run --until-decided``: what is shown of stages, before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli.launching import hint_again, make_launching, show_report
from normbench.cli.options import Invocation
from normbench.cli.output import print_json, print_table, print_text

if TYPE_CHECKING:
    from normbench.staging import StagePlan, Staging
    from normbench.store import RunStore

_F = TypeVar("_F", bound=Callable[..., Any])


def stage_options(function: _F) -> _F:
    """Add ``--until-decided``, ``--max-seeds`` and ``--stages``."""
    for option in reversed(
        (
            click.option(
                "--until-decided",
                is_flag=True,
                help="Add seeds in stages, declared beforehand, until the verdict against the "
                "table's reference is better, worse or equivalent; trains the reference too.",
            ),
            click.option(
                "--max-seeds",
                type=int,
                metavar="N",
                help="Last stage of --until-decided; default 20.",
            ),
            click.option(
                "--stages",
                metavar="LIST",
                help="Stages of --until-decided; default every five seeds: 5,10,15,20.",
            ),
        )
    ):
        function = option(function)
    return function


def parse_stages(text: str | None) -> tuple[int, ...] | None:
    """Return the numbers of seeds in ``5,10,20``.

    Raises:
        UsageError: If *text* is something else.
    """
    from normbench.errors import UsageError

    if text is None:
        return None
    try:
        return tuple(int(number) for number in text.split(",") if number.strip())
    except ValueError:
        raise UsageError(f"--stages {text!r}: expected numbers of seeds such as 5,10,20.") from None


def check_stage_options(*, until_decided: bool, max_seeds: int | None, stages: object) -> None:
    """Refuse options of stages without ``--until-decided``.

    Raises:
        UsageError: If there are some.
    """
    from normbench.errors import UsageError

    given = {"--max-seeds": max_seeds, "--stages": stages}
    names = [name for name, value in given.items() if value is not None]
    if names and not until_decided:
        raise UsageError(
            f"{' and '.join(names)}: only with --until-decided, which adds seeds in stages. For a "
            "fixed number of seeds give --seeds N."
        )


def train_until_decided(
    invocation: Invocation,
    asked: Staging,
    *,
    observe: Sequence[str],
    dry_run: bool,
    enqueue: bool,
    as_json: bool,
    no_track: bool,
    **launch_values: Any,
) -> int:
    """Train stage after stage, or only show them; return the exit code."""
    from normbench.api import check_launching
    from normbench.cadence import asked_observers
    from normbench.errors import UsageError
    from normbench.staging import plan_stages, run_staged
    from normbench.store import RunStore

    if enqueue:
        raise UsageError(
            "--until-decided looks at the results of each stage, and --enqueue waits for none. "
            "Leave one of them out."
        )
    observers = asked_observers(observe, invocation.catalogue)
    launching = make_launching(invocation, track=not no_track, observers=observers, **launch_values)
    if dry_run:
        check_launching(launching, invocation.catalogue)
        RunStore.check_place(invocation.store_path)
        store = RunStore.open_if_there(invocation.store_path)
        planned = plan_stages(asked, store, invocation.catalogue, invocation.data_dir)
        _show_plan(planned, store, as_json=as_json)
        return 0
    hint_again(invocation)
    report = run_staged(asked, invocation.catalogue, launching, say=_say)
    code = show_report(invocation, report, as_json=as_json)
    if report.decision is not None and not as_json:
        click.echo()
        print_text(report.decision.why, rest="  ")
        if report.decision.looks:
            problem = asked.request.problem
            click.echo(
                f"Its table: normbench leaderboard --problem {problem}{invocation.place_option}"
            )
    return code


def _say(sentence: str) -> None:
    print_text(sentence, rest="  ", err=True)


def _show_plan(planned: StagePlan, store: RunStore | None, *, as_json: bool) -> None:
    """Print the stages of a row and how much of each there is."""
    from normbench.staging.conduct import introduction

    known = store.index().runs if store is not None else {}
    done = {name for name, run in known.items() if run.done}
    stages = [(stage, planned.specs(stage)) for stage in planned.declaration.stages]
    counts = [(stage, specs, sum(s.fingerprint in done for s in specs)) for stage, specs in stages]
    if as_json:
        print_json(
            {
                "row": planned.spec.row,
                "reference": planned.opponent.spec.row,
                "declared": planned.declared,
                "before": list(planned.declaration.before),
                "seeds": list(planned.declaration.seeds),
                "stages": [
                    {"stage": stage, "runs": [s.fingerprint for s in specs], "done": ended}
                    for stage, specs, ended in counts
                ],
            }
        )
        return
    for sentence in introduction(planned):
        print_text(sentence, rest="  ")
    rows = [
        (str(stage), _seeds(planned, stage), str(len(specs)), str(ended))
        for stage, specs, ended in counts
    ]
    columns = ("stage", "seeds", "runs up to it, both rows", "done")
    print_table(columns, rows, right=(columns[0], *columns[2:]))
    state = "declared already" if planned.declared else "not declared yet"
    click.echo(f"\nThe stages are {state}; nothing was trained.")


def _seeds(planned: StagePlan, stage: int) -> str:
    from normbench.leaderboard.notes import seed_list

    return seed_list(planned.declaration.seeds[:stage])
