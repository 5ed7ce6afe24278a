"""``normbench leaderboard``: who is better, by how much, and could it be chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from normbench.cli.boards import (
    content,
    declared_stages,
    filter_options,
    make_terms,
    moment,
    names_of,
    reference_options,
    rows_of,
    suite_options,
    terms_options,
)
from normbench.cli.links import links_option, links_to
from normbench.cli.one_off import refuse_unloaded
from normbench.cli.options import Invocation, common_options
from normbench.cli.publish import publish_boards, publish_option, refuse_filters
from normbench.cli.remembering import remembered
from normbench.cli.sources import STORE, open_source, source_option
from normbench.cli.target import Target, deliver, draw
from normbench.garbage import uncollected

if TYPE_CHECKING:
    from normbench.leaderboard.board import Board
    from normbench.leaderboard.formats import Section


@click.command("leaderboard")
@filter_options
@suite_options
@click.option("--metric", metavar="NAME", help="Judge by another number, such as test_loss.")
@reference_options
@click.option(
    "--published", is_flag=True, help="Show what others published below, never paired with ours."
)
@terms_options
@links_option
@source_option
@publish_option
@common_options(store=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    since: str | None,
    suite: str | None,
    words: tuple[str, ...],
    metric: str | None,
    reference: str | None,
    stages: str | None,
    published: bool,
    alpha: float,
    correction: str,
    allow_incomplete: bool,
    target: Target,
    server: str | None,
    source: str,
    to_mlflow: bool,
    **filters: Any,
) -> None:
    """Show who is better, by how much, and if it could be chance.

    Each problem has a table of its own, the best mean first. Rows are compared by seed with one
    reference: that of the suite, else the problem's default norm with momentum, or with sgd where
    that has no runs. Another one given with --reference makes every verdict exploratory, since it
    may have been chosen after looking.

    The verdict is one word: better or worse (the corrected one-sided p is below alpha), equivalent
    (the difference is shown to be below the smallest one of interest), no evidence (of these),
    exploratory (below five pairs, with missing seeds, or chosen after looking), too few (below
    three pairs), unstable (seeds diverged, and it depends on how they are counted), deterministic
    (every seed differs by the same), reference. Below a table stands what its columns mean.

    --norm, --optimizer and --setting choose which rows are shown; p, ranks and letters are those of
    the whole table, or of the suite.

    \b
    normbench leaderboard --problem digits_cnn
    normbench leaderboard --norm batch_norm,group_norm --format md
    normbench leaderboard --suite group_norm_study protocol.epochs=1
    normbench leaderboard --reference batch_norm+sgd
    normbench leaderboard --output board.html
    normbench leaderboard --publish
    """  # noqa: D301 - click reads the backspace character
    chosen = {**names_of(filters), "metric": metric, "reference": reference, "since": moment(since)}
    if to_mlflow:
        refuse_filters(
            {
                name: chosen[name]
                for name in ("norms", "optimizers", "settings", "since", "current")
            },
            incomplete=allow_incomplete,
        )
    reader, catalogue = open_source(invocation, source, chosen["problems"], chosen["protocols"])
    of_suite = rows_of(suite, words, catalogue)
    refuse_unloaded(invocation, reader, catalogue, chosen, of_suite)

    def make() -> tuple[list[Board], list[Section], bytes]:
        from normbench.leaderboard.boards import make_boards
        from normbench.leaderboard.grouping import Wanted
        from normbench.leaderboard.reading import StoreReader
        from normbench.leaderboard.sections import report_sections
        from normbench.leaderboard.showing import note_shown

        looks = declared_stages(stages)
        terms = make_terms(alpha, correction, allow_incomplete=allow_incomplete, stages=looks)
        wanted = Wanted(**chosen, suite=of_suite, terms=terms)
        boards = make_boards(reader, catalogue, wanted)
        sections = report_sections(boards, catalogue if published else None)
        store = reader.store if isinstance(reader, StoreReader) else None
        shown = note_shown(store, boards) if store else b""
        return boards, sections, shown

    if to_mlflow or server is not None:
        with uncollected():
            boards, sections, _ = make()
            links = links_to(invocation, boards, server)
            deliver(draw(sections, target, links), target)
    else:
        asked = {**chosen, "suite": content(of_suite), "stages": stages}
        asked |= {"alpha": alpha, "correction": correction, "allow_incomplete": allow_incomplete}
        asked |= {"leaderboard": True, "published": published}
        deliver(remembered(reader, catalogue, target, asked, lambda: make()[1:]), target)
    if source != STORE and invocation.store_path.exists():
        place = invocation.store_path
        click.echo(f"Read from MLflow, so {place} does not note what was shown.", err=True)
    if to_mlflow:
        publish_boards(invocation, boards, sections, source=source, suite=of_suite, target=target)
