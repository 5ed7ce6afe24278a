"""``normbench compare``: two rows in depth."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from normbench.cli.boards import (
    content,
    filter_options,
    moment,
    names_of,
    rows_of,
    suite_options,
)
from normbench.cli.one_off import refuse_unloaded
from normbench.cli.options import Invocation, common_options
from normbench.cli.remembering import remembered
from normbench.cli.sources import open_source, source_option
from normbench.cli.target import Target, deliver, target_options
from normbench.errors import UsageError

if TYPE_CHECKING:
    from normbench.leaderboard.formats import Section
    from normbench.leaderboard.grouping import Wanted
    from normbench.leaderboard.reading import Reader, ReadRow
    from normbench.plugins import Catalogue


@click.command("compare")
@click.argument("new", metavar="A")
@click.argument("base", metavar="B", required=False)
@suite_options
@filter_options
@click.option("--metric", metavar="NAME", help="Judge by another number, such as test_loss.")
@target_options
@source_option
@common_options(store=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    new: str,
    base: str | None,
    suite: str | None,
    words: tuple[str, ...],
    since: str | None,
    metric: str | None,
    target: Target,
    source: str,
    **filters: Any,
) -> None:
    """Compare the rows A and B in depth.

    Shown are every seed, what the test assumes, and a sentence in plain words. A and B are
    beginnings of rows' fingerprints, or words joined by plus signs that fit one row each:
    names, or NAME=VALUE such as optimizer=sgd and lr=0.1.

    \b
    normbench compare group_norm+sgd batch_norm+sgd --problem digits_cnn
    normbench compare 3fa9 b01c
    """  # noqa: D301 - click reads the backspace character
    chosen = {**names_of(filters), "metric": metric, "since": moment(since)}
    reader, catalogue = open_source(invocation, source, chosen["problems"], chosen["protocols"])
    of_suite = rows_of(suite, words, catalogue)
    refuse_unloaded(invocation, reader, catalogue, chosen, of_suite)

    if base is None:
        from normbench.leaderboard import grouping

        wanted = grouping.Wanted(**chosen, suite=of_suite)
        raise _one_alone(new, reader, catalogue, wanted)

    def make() -> tuple[list[Section], bytes]:
        from normbench.leaderboard.choosing import find_row
        from normbench.leaderboard.comparison import duel
        from normbench.leaderboard.duels import duel_section
        from normbench.leaderboard.grouping import (
            Wanted,
            comparable_rows,
            narrowed,
            refuse_damaged,
        )
        from normbench.leaderboard.showing import note_judged

        wanted = Wanted(**chosen, suite=of_suite)

        def named(rows: Sequence[ReadRow]) -> list[ReadRow]:
            # Words that name none by what was recorded may do so by what is known now.
            found = []
            for text in (new, base):
                with contextlib.suppress(UsageError):
                    found.append(find_row(rows, text))
            return found

        everything = comparable_rows(reader, catalogue, wanted, named)
        rows = narrowed(everything, catalogue, wanted)
        found = duel(find_row(rows, new), find_row(rows, base), reader, metric, alpha=0.05)
        refuse_damaged([found.new, found.base])
        pair = (found.new.row, found.base.row)
        shown = note_judged(reader, catalogue, wanted, everything, pair)
        return [duel_section(found)], shown

    asked = {**chosen, "suite": content(of_suite), "compare": [new, base]}
    deliver(remembered(reader, catalogue, target, asked, make), target)


def _one_alone(new: str, reader: Reader, catalogue: Catalogue, wanted: Wanted) -> UsageError:
    """Return the error for one row without the other, with the rows that there are."""
    from normbench.leaderboard.choosing import listed
    from normbench.leaderboard.grouping import chosen_rows

    rows = [row for row in chosen_rows(reader, catalogue, wanted) if row.runs]
    return UsageError(
        f"compare {new}: B is missing, the row to compare with. Expected: normbench compare ROW "
        f"REFERENCE. Rows: {listed(rows)}"
    )
