"""``normbench plot``: figures of the runs in a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from normbench.cli.logs import check_folder
from normbench.cli.options import Invocation, common_options
from normbench.cli.selection import find_indexed, find_runs
from normbench.errors import UsageError
from normbench.quantities import counted

if TYPE_CHECKING:
    from normbench.store import RunStore, StoredRun

_BANDS = ("range", "interval")
_PARAMETERS = ("gamma", "beta")


@click.command("plot")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--figure",
    default="curves",
    show_default=True,
    metavar="NAME",
    help="What to draw; see --list.",
)
@click.option("--list", "list_only", is_flag=True, help="List the figures, draw nothing.")
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
@click.option(
    "--parameter",
    type=click.Choice(_PARAMETERS),
    default="gamma",
    show_default=True,
    help="What contour and surface show.",
)
@click.option("--sort", is_flag=True, help="Sort channels by their last value.")
@click.option("--quantity", default="", metavar="NAME", help="Which series of an observer to draw.")
@click.option("--publish", is_flag=True, help="Put the figure into MLflow, too.")
@common_options(store=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    runs: tuple[str, ...],
    figure: str,
    list_only: bool,
    out: Path,
    publish: bool,
    **choices: Any,
) -> None:
    """Draw a figure of the runs in a store.

    RUN is the beginning of a run's or a row's fingerprint, or a word: problem=NAME, norm=NAME,
    optimizer=NAME, protocol=NAME, sites=MASK (or all, none); a word may have several values,
    norm=none,batch_norm. Without any, all rows of the store's one problem are drawn. Trials of
    tuning are left out unless a fingerprint names them; normbench studies STUDY --report DIR draws
    them.

    forest, heatmap, profiles and critical_difference show the rows chosen as normbench leaderboard
    compares them, against its reference, whether that is chosen or not.
    """
    from normbench import plots
    from normbench.cli.output import print_table

    if list_only:
        kinds = {**plots.FIGURES, **plots.BOARD_FIGURES}
        print_table(("figure", "shows"), [(n, kind.summary) for n, kind in kinds.items()])
        return
    plots.check_format(out)
    check_folder("--out", out)
    store = invocation.open_store()
    if figure in plots.BOARD_FIGURES:
        _draw_boards(invocation, store, runs, figure, out, publish=publish)
        return
    chosen = _without_trials(find_runs(store, runs), runs)
    plots.save(plots.draw_figure(figure, chosen, plots.Look(**choices)), out)
    click.echo(f"{out}: {_counted(chosen, plots.FIGURES[figure].observed)}")
    if publish:
        from normbench.tracking import publish_figure

        click.echo(f"MLflow: {publish_figure(store, chosen, out)}")


def _draw_boards(
    invocation: Invocation,
    store: RunStore,
    terms: Sequence[str],
    figure: str,
    out: Path,
    *,
    publish: bool,
) -> None:
    """Draw a figure of the leaderboards of the rows chosen."""
    from normbench import plots
    from normbench.leaderboard.boards import make_boards
    from normbench.leaderboard.grouping import Wanted
    from normbench.leaderboard.reading import StoreReader

    if publish:
        raise UsageError(
            f"--publish puts figures of runs into MLflow, and {figure} is of a leaderboard, which "
            "takes its figures along: normbench leaderboard --publish"
        )
    chosen = frozenset(run.row for run in find_indexed(store.index(), terms)) if terms else None
    wanted = Wanted(rows=chosen or frozenset())
    boards = make_boards(StoreReader(store), invocation.catalogue, wanted)
    if not boards:
        raise UsageError(
            "the runs chosen are trials of tuning, which no leaderboard compares: choose others. "
            "normbench studies STUDY --report DIR draws them."
        )
    plots.save(plots.draw_board_figure(figure, boards), out)
    rows = sum(len(board.entries) for board in boards)
    click.echo(f"{out}: {counted(len(boards), 'table')}, {counted(rows, 'row')}")


def _without_trials(chosen: Sequence[StoredRun], terms: Sequence[str]) -> Sequence[StoredRun]:
    """Leave the trials of tuning out, unless they are named by fingerprint or all there is."""
    own = [run for run in chosen if not run.spec.tuning]
    named = any("=" not in term for term in terms)
    return chosen if named or not own else own


def _counted(runs: Sequence[StoredRun], observed: bool) -> str:
    """Return how many rows and runs a figure is of, and how many lack what it shows."""
    seen = [run for run in runs if run.observed()] if observed else list(runs)
    rows = len({run.spec.row for run in seen})
    lacking = len(runs) - len(seen)
    words = f"{counted(rows, 'row')}, {counted(len(seen), 'run')}"
    return words + (f"; {lacking} without series" if lacking else "")
