"""From all rows of a store to tables, each judged against its reference."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from normbench.comparable import comparable
from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.grouping import (
    Wanted,
    comparable_rows,
    narrowed,
    recent,
    references_of,
    tables_of,
)
from normbench.leaderboard.making import judged
from normbench.leaderboard.notes import notes_of
from normbench.leaderboard.precision_notes import about_precision
from normbench.leaderboard.provenance import input_hash, look_up, refuse_mixed_hardware
from normbench.leaderboard.reading import Reader, ReadRow
from normbench.leaderboard.reference_notes import notes_about_looks, notes_about_reference
from normbench.leaderboard.references import Reference
from normbench.leaderboard.settings_shown import unequal_tuning
from normbench.leaderboard.stage_notes import notes_about_stages
from normbench.leaderboard.suites import left_suite
from normbench.leaderboard.values import COSTS, metric_named, values_of
from normbench.plugins import Catalogue


def make_boards(reader: Reader, catalogue: Catalogue, wanted: Wanted) -> list[Board]:
    """Return the tables, one for each problem and set of rules.

    Filters by norm and optimizer leave the reference in its table.

    Raises:
        UsageError: If a filter or the reference matches nothing; with what there is.
    """
    rows = comparable_rows(reader, catalogue, wanted)
    kept = {row.row for row in narrowed(rows, catalogue, wanted)}
    tables = {
        title: members
        for title, members in tables_of(rows).items()
        if any(row.row in kept for row in members)
    }
    references = references_of(tables, catalogue, wanted)
    return [
        _board(title, members, references[title], kept, reader, wanted)
        for title, members in tables.items()
    ]


def _board(
    title: str,
    members: Sequence[ReadRow],
    reference: Reference,
    kept: Set[str],
    reader: Reader,
    wanted: Wanted,
) -> Board:
    base = reference.row.row if reference.row else ""
    bound = {row.bound_to for row in members if row.row in kept}
    shown = {*kept, *bound, base}
    chosen = [row for row in recent(members, wanted) if row.row in shown]
    own = chosen[0].metric
    metric = metric_named(wanted.metric, own)
    values = values_of(chosen, metric, reader)
    entries = [Entry(row=row, values=v) for row, v in zip(chosen, values, strict=True)]
    provenance, costs = look_up(entries, reader)
    if metric.name in COSTS:
        refuse_mixed_hardware(title, metric.name, provenance)
    board = judged(
        Board(
            title=title,
            problem=chosen[0].problem,
            metric=metric,
            primary=metric == own,
            entries=tuple(replace(e, costs=c) for e, c in zip(entries, costs, strict=True)),
            reference=reference,
            terms=wanted.terms,
            provenance=provenance,
            digest=input_hash(entries),
        )
    )
    head, below = about_precision(chosen, reader, provenance)
    notes = (
        *notes_of(board, members),
        *notes_about_reference(board),
        *notes_about_stages(board),
        *notes_about_looks(board),
        *below,
    )
    left = _left(reader, members[0], wanted)
    return replace(
        board, notes=notes, head=(*head, *left, *unequal_tuning(chosen, wanted.settings))
    )


def _left(reader: Reader, member: ReadRow, wanted: Wanted) -> list[str]:
    """Return what to say of rows that left the suite and are comparable with its *member*."""
    if wanted.suite is None:
        return []
    shown = (row for row in reader.rows() if row.shown)
    table = _table(member)
    return list(left_suite((row for row in shown if _table(row) == table), wanted.suite))


def _table(row: ReadRow) -> str:
    return row.table or comparable(row.identity)
