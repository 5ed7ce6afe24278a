"""``normbench deepobs``: results of DeepOBS read, and ours written in its form."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import click

from normbench.cli import output
from normbench.cli.group import NamingGroup
from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.selection import find_runs
from normbench.quantities import counted
from normbench.tables import score


@click.group("deepobs", cls=NamingGroup)
def command() -> None:
    """Read results of DeepOBS, or write ours in its form.

    Of use to those who have DeepOBS results, or tools that read them. DeepOBS need not be
    installed.
    """


@command.command("read")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@common_options()
def read(folder: Path, as_json: bool) -> None:
    """Show the DeepOBS results below FOLDER, in any of its three forms.

    One line for each setting; final and best are the test metric's mean ± standard deviation over
    the finished seeds. DeepOBS records no status: a run counts as diverged if a value is not finite
    or if all curves end at their values before training, which is how DeepOBS fills up a run that
    failed.
    """
    from normbench.bridges.deepobs import SettingSummary, read_results, summarise

    def line(summary: SettingSummary) -> tuple[str, ...]:
        run = summary.runs[0]
        metric = f"test_{run.metric}"
        words = (f"{name}={output.shown(value)}" for name, value in summary.setting.items())
        return (
            run.problem,
            run.optimizer,
            " ".join(words),
            str(len(summary.runs)),
            metric,
            _moments(summary.final, metric),
            _moments(summary.best, metric),
            summary.status,
        )

    summaries = summarise(read_results(folder))
    if as_json:
        output.print_json([summary.to_dict() for summary in summaries])
        return
    output.print_table(
        ("problem", "optimizer", "setting", "seeds", "metric", "final", "best", "status"),
        [line(summary) for summary in summaries],
        right=("seeds",),
    )


@command.command("write")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@common_options(store=True)
@click.pass_obj
def write(invocation: Invocation, folder: Path, runs: tuple[str, ...]) -> None:
    """Write finished and diverged runs of the store below FOLDER, as DeepOBS 1.2 would.

    RUN is the beginning of a run's or a row's fingerprint, or a word: problem=NAME, norm=NAME,
    optimizer=NAME, protocol=NAME; without any, all runs are written. Losses lack the L2 term that
    DeepOBS adds, and norm and protocol stand among the training parameters.
    """
    from normbench.bridges.deepobs import write_results

    files = write_results(find_runs(invocation.open_store(), runs), folder)
    click.echo(f"{folder}: {counted(len(files), 'run')}")


def _moments(values: Sequence[float], metric: str) -> str:
    """Return mean and spread of *values*."""
    if not values:
        return ""
    mean = score(statistics.fmean(values), metric)
    return f"{mean} ± {score(statistics.stdev(values), metric)}" if len(values) > 1 else mean
