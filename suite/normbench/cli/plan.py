"""``normbench plan``: what a suite or a request will take, before any of it is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli import complete
from normbench.cli.options import Invocation, common_options, json_option, words_once
from normbench.cli.output import print_json
from normbench.garbage import uncollected

if TYPE_CHECKING:
    from normbench.forecast.plan import Forecast
    from normbench.plugins import Catalogue
    from normbench.resolve import Request
    from normbench.store import RunStore
    from normbench.suites import Plan

_F = TypeVar("_F", bound=Callable[..., Any])
_PLAN = (
    click.option(
        "--devices",
        type=click.IntRange(min=1),
        metavar="N",
        help="Runs trained at once; default: as many as --device gives here.",
    ),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="DEVICE",
        help="auto, cpu, cuda or cuda:N.",
    ),
    click.option("--no-probe", is_flag=True, help="Time nothing; use what the store knows."),
    click.option(
        "--probe-seconds",
        type=click.FloatRange(min=1),
        default=120.0,
        show_default=True,
        metavar="SECONDS",
        help="Longest time that one probe may take.",
    ),
)
_SEEDS = click.option("--seeds", metavar="N|LIST", help="So many seeds, or the seeds: 3,7,9.")
_ONLY = click.option(
    "--only",
    multiple=True,
    metavar="AXIS=NAME",
    help="Only cells with this problem, norm or optimizer; may be given several times.",
)


def cell_options(function: _F) -> _F:
    """Add the options that choose among a suite's cells and seeds."""
    return _SEEDS(_ONLY(function))


def plan_options(function: _F) -> _F:
    """Add the options of commands that plan."""
    for option in reversed(_PLAN):
        function = option(function)
    return cell_options(function)


@click.command("plan")
@click.argument(
    "name", metavar="SUITE|PROBLEM", shell_complete=complete.names_of("suite", "problem")
)
@click.argument("words", nargs=-1, metavar="[OPTIMIZER] [NAME=VALUE]...", callback=words_once)
@click.option("--norm", shell_complete=complete.names_of("norm"), help="Norm at every norm site.")
@click.option("--sites", metavar="MASK", help="Sites that carry the norm, such as 0,0,1,1,1.")
@click.option("--ablation", metavar="MODE", help="Which of γ and β train.")
@click.option("--protocol", shell_complete=complete.names_of("protocol"), help="Rules.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="YAML of words.")
@click.option("--setting-of", metavar="CELL", help="Use the setting of norm=..., protocol=...")
@plan_options
@json_option
@common_options(store=True, data=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    name: str,
    words: Sequence[str],
    seeds: str | None,
    only: Sequence[str],
    **rest: Any,
) -> int:
    """Say what a suite or a request will take and can show.

    Of each cell: runs, seconds per training step and memory (from finished runs of the store, else
    from finished trials of the cell's tuning, else from a short probe), and the time that is left.
    In total: device-hours, when N devices are done, disk, and the smallest difference that the
    planned seeds detect. No run is added to the store.
    The exit code is 1 if some cell is known not to be trainable here: what only a built network
    shows, such as a mask of the wrong length, a probe finds and --no-probe does not.

    \b
    normbench plan my_suite.yaml --devices 8
    normbench plan cifar10_resnet20 momentum --norm group_norm --seeds 5
    """  # noqa: D301 - click reads the backspace character
    names = ("norm", "sites", "ablation", "protocol", "config", "setting_of")
    given = {name: rest.pop(name) for name in names}
    if _is_suite(invocation, name):
        _refuse_request_options(name, words, given)
        plan = expanded(invocation, name, words, seeds, only)
    else:
        plan = _single(invocation.catalogue, name, words, seeds, only, given)
    return show_plan(invocation, plan, **rest)


def expanded(
    invocation: Invocation,
    name: str,
    words: Sequence[str] = (),
    seeds: str | None = None,
    only: Sequence[str] = (),
) -> Plan:
    """Return the cells of a suite that *only* keeps.

    Raises:
        UsageError: If the suite is not written as one, or no cell is left.
    """
    from dataclasses import replace

    from normbench.errors import UsageError
    from normbench.suites import expand, find_suite

    suite = find_suite(name, invocation.catalogue, Path())
    with uncollected():
        plan = expand(suite, invocation.catalogue, words, seeds)
    for label in plan.repeated:
        click.echo(f"{label} is written more than once; it counts once", err=True)
    kept = [each for each in plan.requests if _wanted(each, only)]
    if not kept:
        raise UsageError(
            f"suite {name} has no cell with {' '.join(only)}. "
            f"See its cells: normbench suite describe {name}"
        )
    return replace(plan, requests=kept)


def show_plan(
    invocation: Invocation,
    plan: Plan,
    *,
    devices: int | None,
    device: str,
    no_probe: bool,
    probe_seconds: float,
    as_json: bool,
) -> int:
    """Plan *plan*'s cells, print what was found and return the exit code."""
    from normbench.cli.plan_view import print_forecast
    from normbench.launchers.signals import interrupted_by_signals

    invocation.to_the_end.enter_context(interrupted_by_signals())
    with uncollected():
        forecast = _forecast(invocation, plan, devices, device, not no_probe, probe_seconds)
    if as_json:
        print_json(forecast.to_dict())
    else:
        print_forecast(forecast)
    return 1 if any(cell.error or cell.missing_data for cell in forecast.cells) else 0


def _forecast(
    invocation: Invocation,
    plan: Plan,
    number: int | None,
    device: str,
    probe: bool,
    probe_seconds: float,
) -> Forecast:
    from normbench.forecast.plan import forecast
    from normbench.forecast.probes import Prober
    from normbench.launchers.devices import devices as devices_of
    from normbench.places import data_folder

    there = devices_of(device, None)
    folder = data_folder(invocation.data_dir)
    prober = Prober(
        invocation.store_path, folder, there[0], invocation.catalogue.files, probe_seconds
    )
    return forecast(
        plan,
        invocation.catalogue,
        _store(invocation),
        folder,
        prober,
        devices=number or len(there),
        probe=probe,
        note=lambda text: click.echo(text, err=True),
    )


def _store(invocation: Invocation) -> RunStore | None:
    from normbench.store import RunStore

    RunStore.check_place(invocation.store_path)
    return RunStore.open_if_there(invocation.store_path)


def _is_suite(invocation: Invocation, name: str) -> bool:
    from normbench.descriptions import Problem, Suite
    from normbench.errors import unknown_name
    from normbench.suites.files import ENDINGS, refuse_other_files

    suites = invocation.catalogue.names(Suite)
    problems = invocation.catalogue.names(Problem)
    if name.endswith(ENDINGS) or name in suites:
        return True
    if name not in problems:
        refuse_other_files(name)
        raise unknown_name("suite or problem", name, {*suites, *problems})
    return False


def _refuse_request_options(name: str, words: Sequence[str], given: dict[str, Any]) -> None:
    from normbench.errors import UsageError

    stray = [f"--{option.replace('_', '-')}" for option, value in given.items() if value]
    stray += [word for word in words if "=" not in word]
    if stray:
        raise UsageError(
            f"{stray[0]} does not go with suite {name}, which names its own cells. Leave it out, "
            "or choose cells with --only."
        )


def _single(
    catalogue: Catalogue,
    problem: str,
    words: Sequence[str],
    seeds: str | None,
    only: Sequence[str],
    given: dict[str, Any],
) -> Plan:
    """Return the plan of one cell."""
    from normbench.errors import UsageError
    from normbench.overrides import parse_mask, parse_seeds
    from normbench.planning import resolve_checked
    from normbench.resolve import Request
    from normbench.suites import Plan

    if not words or "=" in words[0] or only:
        what = "--only chooses among a suite's cells" if only else "the optimizer is missing"
        raise UsageError(
            f"normbench plan {problem}: {what}. Give a problem and an optimizer, or a suite."
        )
    request = Request(
        problem=problem,
        optimizer=words[0],
        words=words[1:],
        seeds=parse_seeds(seeds),
        **{**given, "sites": parse_mask(given["sites"])},
    )
    # Of a single cell there is nothing to show if it is none.
    resolve_checked(request, catalogue)
    return Plan(requests=(request,))


def _wanted(request: Request, only: Sequence[str]) -> bool:
    """Whether *request* has one of the names that ``--only`` gives for each axis."""
    from normbench.errors import UsageError

    names: dict[str, set[str]] = {}
    for word in only:
        axis, equals, name = word.partition("=")
        if axis not in _ONLY_AXES or not equals:
            raise UsageError(
                f"--only {word}: expected AXIS=NAME with an axis among {', '.join(_ONLY_AXES)}."
            )
        names.setdefault(axis, set()).add(name)
    return all(getattr(request, axis) in chosen for axis, chosen in names.items())


_ONLY_AXES = ("problem", "norm", "optimizer")
