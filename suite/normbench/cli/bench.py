"""``normbench bench``: training speed on this machine, as ratios."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from normbench.cli import complete
from normbench.cli.options import Invocation, common_options, words_once
from normbench.errors import UsageError

if TYPE_CHECKING:
    from normbench.bench.against import Change
    from normbench.cli.target import Target
    from normbench.leaderboard.formats import Section

_SHAPES = ("table", "md", "json")
_SUFFIXES = {".json": "json", ".md": "md", ".txt": "table"}


@click.command("bench")
@click.argument("problem", required=False, shell_complete=complete.problems)
@click.argument("optimizer", default="sgd", shell_complete=complete.optimizers)
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
@click.option("--norm", shell_complete=complete.norms, help="Norm at every norm site.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--examples",
    type=click.IntRange(min=64),
    metavar="N",
    help="Examples of an epoch; a quarter as many are evaluated three times. Default 2048 on a "
    "processor, 200 batches on a GPU.",
)
@click.option(
    "--rounds",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Turns that each row takes; medians and extremes over them are shown.",
)
@click.option(
    "--rows",
    metavar="A,B",
    help="Only these of deepobs, no_loader, tuned, eager, graph, compile, pack.",
)
@click.option(
    "--pack",
    default=8,
    show_default=True,
    type=click.IntRange(min=2),
    metavar="N",
    help="Runs of the pack, at other seeds.",
)
@click.option(
    "--workers",
    default=16,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Loader processes of the tuned loop, at most one a core.",
)
@click.option(
    "--deterministic",
    type=click.Choice(("on", "off", "both")),
    help="Of the engine's rows; default the protocol's. both shows what it costs.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Compare ratios with those of a JSON report; exit code 1 if one has regressed.",
)
@click.option(
    "--tolerance",
    default=0.1,
    show_default=True,
    type=click.FloatRange(min=0, max=1, max_open=True),
    metavar="SHARE",
    help="Loss of a ratio that is none yet; up to twice as much where the report's own rounds, "
    "three or more, were further apart.",
)
@click.option(
    "--norms",
    type=click.Choice(("fp32", "bf16")),
    help="Time norms alone instead, each against torch.nn's, on activations of this precision.",
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(_SHAPES),
    help="How to print; default table.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to FILE as well; its ending, .json, .md or .txt, decides the format.",
)
@common_options(data=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    shape: str | None,
    output: Path | None,
    against: Path | None,
    tolerance: float,
    norms: str | None,
    **given: Any,
) -> int:
    """Time PROBLEM against a plain DataLoader loop in DeepOBS's shape.

    All rows do the same work - augmentation, batch size, three evaluations - and take turns in one
    process. Ratios are over the first row. End to end, the engine's rows are runs as a worker
    trains them, with all that it writes. On a processor it is processor time with one thread, that
    of loader processes added; on a GPU the time between events on the device. Rows that the device
    cannot have are named with the reason. What the engine's rows compute is compared with a plain
    loop; the exit code is 1 if one differs.

    \b
    normbench bench cifar10_3c3d
    normbench bench cifar10_resnet20 momentum --deterministic both --output bench.json
    normbench bench cifar10_3c3d --against bench.json --tolerance 0.05
    normbench bench --norms bf16 --output norms.json
    """  # noqa: D301 - click reads the backspace character
    target = _target(output)
    if norms is not None:
        return _time_norms(invocation, norms, given, against, tolerance, shape, target)
    if given["problem"] is None:
        raise UsageError(
            "normbench bench: nothing to time. Give a PROBLEM, such as digits_cnn, or --norms fp32."
        )
    from normbench.bench.against import compare
    from normbench.cli.bench_run import measured
    from normbench.cli.bench_view import complain, section_of

    report, then = measured(invocation, against, given)
    changes = compare(then, report, tolerance) if then else []
    content = report.to_dict() | _compared(against, tolerance, changes)
    _deliver(section_of(report, changes, str(against)), content, shape or "table", target)
    complain(report, changes)
    return int(bool(report.wrong) or any(change.regressed for change in changes))


def _time_norms(
    invocation: Invocation,
    precision: str,
    given: Mapping[str, Any],
    against: Path | None,
    tolerance: float,
    shape: str | None,
    target: Target | None,
) -> int:
    if given["problem"] is not None:
        raise UsageError(
            "normbench bench --norms times norms alone: give no PROBLEM beside it. One norm alone "
            "is --norm NAME."
        )
    from normbench.bench.against import compare
    from normbench.cli.bench_run import measured_norms
    from normbench.cli.bench_view import complain_of_changes, norms_section

    report, then = measured_norms(invocation, precision, against, given)
    changes = compare(then, report, tolerance) if then else []
    content = report.to_dict() | _compared(against, tolerance, changes)
    _deliver(norms_section(report, changes, str(against)), content, shape or "table", target)
    complain_of_changes(changes, report.left_out)
    return int(any(change.regressed for change in changes))


def _compared(against: Path | None, tolerance: float, changes: Sequence[Change]) -> dict[str, Any]:
    """Return what a report says of another one that it was held against, if it was."""
    if against is None:
        return {}
    told = [asdict(change) for change in changes]
    return {"against": {"file": str(against), "tolerance": tolerance, "changes": told}}


def _target(output: Path | None) -> Target | None:
    """Return where the report goes, and in which format, checked before anything is measured."""
    from normbench.cli.target import target_of

    if output is None:
        return None
    if output.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"--output {output}: expected a name that ends in {', '.join(_SUFFIXES)}.")
    return target_of(_SUFFIXES[output.suffix.lower()], output)


def _deliver(
    section: Section, content: Mapping[str, Any], shape: str, target: Target | None
) -> None:
    """Print the report, and write it where *target* says."""
    from normbench.cli.target import Drawn, Target, deliver, draw

    def drawn(shape: str) -> Drawn:
        if shape != "json":
            return draw([section], Target(shape))
        return Drawn(shape, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False))

    drawn(shape).print()
    if target is not None:
        # Standard output may be read by a program.
        with contextlib.redirect_stdout(sys.stderr):
            deliver(drawn(target.shape), target)
