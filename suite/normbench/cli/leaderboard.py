"""``normbench leaderboard``: who is better, by how much, and could it be chance."""

from __future__ import annotations

from typing import Any

import click

from normbench.cli import complete
from normbench.cli.boards import (
    filter_options,
    make_terms,
    moment,
    names_of,
    print_sections,
    terms_options,
)
from normbench.cli.options import Invocation, common_options
from normbench.garbage import uncollected


@click.command("leaderboard")
@filter_options
@click.option(
    "--suite",
    metavar="NAME_OR_FILE",
    shell_complete=complete.names_of("suite"),
    help="Only the rows of a suite, against the references that it declares.",
)
@click.option("--metric", metavar="NAME", help="Judge by another number, such as test_loss.")
@click.option(
    "--reference",
    metavar="ROW",
    help="Compare with this row: the beginning of its fingerprint, or words: layer_norm+sgd.",
)
@click.option(
    "--stages",
    metavar="LIST",
    help="Seeds were added in these declared stages, such as 5,10,15,20.",
)
@click.option(
    "--published", is_flag=True, help="Show what others published below, never paired with ours."
)
@terms_options
@common_options(store=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    since: str | None,
    suite: str | None,
    metric: str | None,
    reference: str | None,
    stages: str | None,
    published: bool,
    alpha: float,
    correction: str,
    allow_incomplete: bool,
    shape: str,
    **filters: Any,
) -> None:
    """Show who is better, by how much, and if it could be chance.

    Each problem has a table of its own, the best mean first. Rows are compared by seed with one
    reference: that of the suite, else the problem's default norm with momentum, or with sgd where
    that has no runs. Another one given with --reference makes every verdict exploratory, since it
    may have been chosen after looking.

    \b
    normbench leaderboard --problem digits_cnn
    normbench leaderboard --norm batch_norm,group_norm --format md
    normbench leaderboard --reference batch_norm+sgd
    """  # noqa: D301 - click reads the backspace character
    from normbench.leaderboard.boards import make_boards
    from normbench.leaderboard.grouping import Wanted
    from normbench.leaderboard.reading import StoreReader
    from normbench.leaderboard.sections import report_sections
    from normbench.leaderboard.suites import suite_rows
    from normbench.overrides import parse_seeds

    declared = parse_seeds(stages)
    looks = (declared,) if isinstance(declared, int) else tuple(declared or ())
    wanted = Wanted(
        **names_of(filters),
        metric=metric,
        reference=reference,
        suite=suite_rows(suite, invocation.catalogue) if suite else None,
        since=moment(since),
        terms=make_terms(alpha, correction, allow_incomplete=allow_incomplete, stages=looks),
    )
    reader = StoreReader(invocation.open_store())
    with uncollected():
        boards = make_boards(reader, invocation.catalogue, wanted)
        print_sections(report_sections(boards, invocation.catalogue if published else None), shape)
