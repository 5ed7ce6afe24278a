"""``normbench bench``: training speed on this machine, as ratios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from normbench.cli import complete
from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.output import print_fields, print_json, print_table, shown
from normbench.errors import UsageError

if TYPE_CHECKING:
    from normbench.bench.measure import BenchReport, BenchRow


@click.command("bench")
@click.argument("problem", shell_complete=complete.names_of("problem"))
@click.argument("optimizer", default="sgd", shell_complete=complete.names_of("optimizer"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--norm", shell_complete=complete.names_of("norm"), help="Norm at every norm site.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--examples",
    default=2048,
    show_default=True,
    type=click.IntRange(min=64),
    help="Examples trained on in a round; a quarter as many are evaluated three times.",
)
@click.option(
    "--rounds",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="Turns each loop takes; medians over them are shown.",
)
@json_option
@common_options(data=True)
@click.pass_obj
def command(
    invocation: Invocation,
    problem: str,
    optimizer: str,
    words: Sequence[str],
    norm: str | None,
    device: str,
    examples: int,
    rounds: int,
    as_json: bool,
) -> None:
    """Time PROBLEM against a plain DataLoader loop in DeepOBS's shape.

    Both do the same work - augmentation, batch size, three evaluations - and take turns in one
    process. On the processor it is this process's own time with one thread, so that other load
    matters little.
    """
    from normbench.resolve import Request, resolve

    request = Request(problem=problem, optimizer=optimizer, norm=norm, words=words, seeds=1)
    spec = resolve(request, invocation.catalogue)[0]
    import torch

    from normbench.bench.measure import bench
    from normbench.data import data_folder
    from normbench.descriptions import Dataset
    from normbench.engine.session import load_data
    from normbench.launchers.devices import devices

    chosen = torch.device(devices(device, 1)[0])
    if chosen.type == "cpu":
        torch.set_num_threads(1)
    dataset = invocation.catalogue.get(Dataset, spec.problem.dataset.name)
    if dataset.content in ("tokens", "files"):
        raise UsageError(
            f"normbench bench {problem}: the plain loop reads images and tables in memory, but the "
            f"content of dataset {dataset.name} is {dataset.content}. Time another problem."
        )
    data = load_data(dataset, data_folder(invocation.data_dir))
    report = bench(spec, invocation.catalogue, data, chosen, examples=examples, rounds=rounds)
    if as_json:
        print_json(report.to_dict())
    else:
        _show(report)


def _show(report: BenchReport) -> None:
    print_fields({name: shown(value) for name, value in report.conditions.items()})
    _show_table("Training and evaluation, end to end", report.end_to_end)
    _show_table("Data pipeline alone", report.pipeline)
    _show_table("Training alone: the harness around the bare step", report.harness)


def _show_table(title: str, rows: Sequence[BenchRow]) -> None:
    click.echo()
    print_table(
        ("loop", "examples/s", "ratio", "lowest", "highest", "share of roof"),
        [
            (
                row.name,
                f"{row.examples_per_second:,.0f}",
                f"{row.ratio:.2f}",
                f"{row.ratio_low:.2f}",
                f"{row.ratio_high:.2f}",
                "" if row.roof_share is None else f"{100 * row.roof_share:.1f} %",
            )
            for row in rows
        ],
        title=title,
        right=("examples/s", "ratio", "lowest", "highest", "share of roof"),
    )
