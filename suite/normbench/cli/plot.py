"""``normbench plot``: training curves of runs in a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from normbench.cli.options import Invocation, common_options
from normbench.cli.selection import find_runs
from normbench.errors import UsageError
from normbench.store import StoredRun

_BANDS = ("range", "interval")


@click.command("plot")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("normbench-plot.png"),
    show_default=True,
    metavar="FILE",
    help="Where to draw to; the ending .png, .svg or .pdf decides the format.",
)
@click.option(
    "--band",
    type=click.Choice(_BANDS),
    default="range",
    show_default=True,
    help="Around the mean: from the smallest to the largest seed, or its 95 % t interval.",
)
@click.option("--log-loss", is_flag=True, help="Logarithmic loss axis.")
@common_options(store=True)
@click.pass_obj
def command(
    invocation: Invocation, runs: tuple[str, ...], out: Path, band: str, log_loss: bool
) -> None:
    """Draw training curves.

    RUN is the beginning of a run's or a row's fingerprint, or a word: problem=NAME, norm=NAME,
    optimizer=NAME, protocol=NAME. Without any, all rows of the store's one problem are drawn.
    """
    from normbench import plots

    plots.check_format(out)
    store = invocation.open_store()
    chosen = find_runs(store, runs)
    _refuse_mixture(chosen)
    curves = plots.gather(chosen)
    if not curves:
        raise UsageError(
            f"none of the {len(chosen)} runs chosen in {store.root} has a curve yet. "
            "See: normbench status"
        )
    figure = plots.draw(curves, band=band, log_loss=log_loss, title=_title(chosen))
    plots.save(figure, out)
    click.echo(f"{out}: {len(curves)} rows, {sum(curve.count for curve in curves)} runs")


def _refuse_mixture(runs: Sequence[StoredRun]) -> None:
    """Refuse runs of several problems: their losses share no axis."""
    problems = sorted({run.spec.problem.name for run in runs})
    if len(problems) > 1:
        raise UsageError(
            f"the runs chosen belong to {len(problems)} problems ({', '.join(problems)}), whose "
            f"curves share no axis. Choose one: normbench plot problem={problems[0]}"
        )


def _title(runs: Sequence[StoredRun]) -> str:
    """Return the problem, and the protocol if there is but one."""
    protocols = {" ".join([run.spec.protocol.name, *run.spec.deviations]) for run in runs}
    problem = runs[0].spec.problem.name
    return f"{problem}, protocol {protocols.pop()}" if len(protocols) == 1 else problem
