"""``normbench plot``: figures of the runs in a store."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from normbench.cli.boards import (
    declared_stages,
    filter_options,
    judging_options,
    make_terms,
    moment,
    names_of,
    reference_options,
    rows_of,
    suite_option,
)
from normbench.cli.logs import check_folder
from normbench.cli.one_off import refuse_unknown_age
from normbench.cli.options import Invocation, common_options
from normbench.cli.selection import find_indexed, find_runs
from normbench.errors import UsageError
from normbench.quantities import counted

if TYPE_CHECKING:
    from normbench.leaderboard.grouping import Wanted
    from normbench.store import RunStore, StoredRun

_BANDS = ("range", "interval")
_PARAMETERS = ("gamma", "beta")
_OF_BOARDS = frozenset(
    {
        "suite",
        "problems",
        "norms",
        "optimizers",
        "protocols",
        "settings",
        "since",
        "current",
        "metric",
    }
    | {"reference", "stages", "alpha", "correction", "allow_incomplete"}
)


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
    "--output",
    "out",
    type=click.Path(path_type=Path, dir_okay=False),
    show_default="normbench-FIGURE.png",
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
@suite_option
@filter_options
@click.option("--metric", metavar="NAME", help="Judge by another number, such as test_loss.")
@reference_options
@judging_options
@common_options(store=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    runs: tuple[str, ...],
    figure: str,
    list_only: bool,
    out: Path | None,
    publish: bool,
    band: str,
    log_loss: bool,
    parameter: str,
    sort: bool,
    quantity: str,
    **asked: Any,
) -> None:
    """Draw a figure of the runs in a store.

    RUN is the beginning of a run's or a row's fingerprint, or a word: problem=NAME, norm=NAME,
    optimizer=NAME, protocol=NAME, sites=MASK (or all, none); a word may have several values,
    norm=none,batch_norm. Without any, all rows of the store's one problem are drawn. Trials of
    tuning are left out unless a fingerprint names them; normbench studies STUDY --report DIR draws
    them.

    Figures of leaderboards (forest, heatmap, profiles, critical_difference, time_to_target) show
    the same as normbench leaderboard with the same options, from --suite to --allow-incomplete;
    with --suite, words are those of its suite run. These options choose nothing for other figures.

    \b
    normbench plot norm=group_norm,batch_norm
    normbench plot --figure heatmap --suite group_norm_study protocol.epochs=1
    """  # noqa: D301 - click reads the backspace character
    from normbench import plots
    from normbench.cli.output import print_table

    if list_only:
        kinds = {**plots.FIGURES, **plots.BOARD_FIGURES}
        print_table(("figure", "shows"), [(n, kind.summary) for n, kind in kinds.items()])
        return
    out = out or Path(f"normbench-{Path(figure).name}.png")
    plots.check_format(out)
    check_folder("--output", out)
    _refuse_files(runs)
    store = invocation.open_store()
    if figure in plots.BOARD_FIGURES:
        _draw_boards(invocation, store, runs, figure, out, publish=publish, **asked)
        return
    _refuse_board_options(figure)
    chosen = _without_trials(find_runs(store, runs), runs)
    look = plots.Look(
        band=band, log_loss=log_loss, parameter=parameter, sort=sort, quantity=quantity
    )
    plots.save(plots.draw_figure(figure, chosen, look), out)
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
    **asked: Any,
) -> None:
    """Draw a figure of the leaderboards of the rows chosen."""
    from normbench import plots
    from normbench.leaderboard.boards import make_boards
    from normbench.leaderboard.reading import StoreReader

    if publish:
        raise UsageError(
            f"--publish puts figures of runs into MLflow, and {figure} is of a leaderboard, which "
            "takes its figures along: normbench leaderboard --publish"
        )
    wanted = _wanted(invocation, store, terms, **asked)
    reader = StoreReader(store, invocation.place_option)
    if wanted.current:
        refuse_unknown_age(invocation, reader, invocation.catalogue, wanted)
    boards = make_boards(reader, invocation.catalogue, wanted)
    if not boards:
        raise UsageError(
            "the runs chosen are trials of tuning, which no leaderboard compares: choose others. "
            "normbench studies STUDY --report DIR draws them."
        )
    plots.save(plots.draw_board_figure(figure, boards), out)
    rows = sum(len(board.entries) for board in boards)
    click.echo(f"{out}: {counted(len(boards), 'table')}, {counted(rows, 'row')}")


def _wanted(
    invocation: Invocation,
    store: RunStore,
    words: Sequence[str],
    *,
    suite: str | None,
    metric: str | None,
    reference: str | None,
    stages: str | None,
    alpha: float,
    correction: str,
    allow_incomplete: bool,
    since: str | None,
    **filters: Any,
) -> Wanted:
    """Return what ``normbench leaderboard`` would be asked for; without a suite, words choose."""
    from normbench.leaderboard.grouping import Wanted

    rows: frozenset[str] = frozenset()
    if words and suite is None:
        rows = frozenset(run.row for run in find_indexed(store.index(), words))
    terms = make_terms(
        alpha, correction, allow_incomplete=allow_incomplete, stages=declared_stages(stages)
    )
    return Wanted(
        **names_of(filters),
        metric=metric,
        reference=reference,
        since=moment(since),
        suite=rows_of(suite, words, invocation.catalogue) if suite else None,
        rows=rows,
        terms=terms,
    )


def _refuse_files(terms: Sequence[str]) -> None:
    """Refuse the name of a file where runs are named.

    Raises:
        UsageError: With the option that it belongs to.
    """
    from normbench.plots.style import FORMATS

    for term in terms:
        if "=" not in term and Path(term).suffix.lower() in FORMATS:
            raise UsageError(
                f"{term!r} names no run: expected the beginning of a fingerprint, or a word such "
                f"as norm=NAME. To draw into that file: --output {shlex.quote(term)}"
            )


def _refuse_board_options(figure: str) -> None:
    """Refuse what is for figures of leaderboards where *figure* is not one of them.

    Raises:
        UsageError: With the option, and how rows are chosen instead.
    """
    from normbench.plots import BOARD_FIGURES

    context = click.get_current_context()
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in _OF_BOARDS and source is not click.core.ParameterSource.DEFAULT:
            raise UsageError(
                f"{parameter.opts[0]} is for figures of leaderboards ({', '.join(BOARD_FIGURES)}), "
                f"and {figure} is none of them. Choose its runs with words: normbench plot "
                f"--figure {figure} norm=NAME optimizer=NAME"
            )


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
