"""From all rows of a store to tables, each judged against its reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace

from normbench.comparable import comparable
from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.choosing import of_settings
from normbench.leaderboard.edited_files import edited_files, how_to_leave_out
from normbench.leaderboard.grouping import (
    Needed,
    Wanted,
    as_known_now,
    comparable_rows,
    narrowed,
    recent,
    references_of,
    tables_of,
)
from normbench.leaderboard.making import judged, with_verdicts
from normbench.leaderboard.notes import about_unplaced, notes_of
from normbench.leaderboard.precision_notes import about_precision
from normbench.leaderboard.provenance import input_hash, look_up, refuse_mixed_hardware
from normbench.leaderboard.reading import Reader, ReadRow
from normbench.leaderboard.reference_notes import (
    note_on_its_cell,
    note_on_wider_tables,
    notes_about_looks,
    notes_about_reference,
)
from normbench.leaderboard.references import Reference, of_its_cell
from normbench.leaderboard.settings_shown import as_recorded, unequal_tuning
from normbench.leaderboard.stage_notes import notes_about_stages
from normbench.leaderboard.suites import left_suite
from normbench.leaderboard.values import COSTS, metric_named, values_of
from normbench.plugins import Catalogue


def make_boards(
    reader: Reader, catalogue: Catalogue, wanted: Wanted, needed: Needed | None = None
) -> list[Board]:
    """Return the tables, one for each problem and set of rules.

    Rows are compared, ranked and corrected for among all rows of their table, or of the suite.
    Filters choose which of these are shown, and leave the reference in its table. For *needed* see
    :func:`~normbench.leaderboard.grouping.comparable_rows`.

    Raises:
        UsageError: If a filter or the reference matches nothing; with what there is.
    """
    rows = comparable_rows(reader, catalogue, wanted, needed)
    kept = {row.row for row in narrowed(rows, catalogue, wanted)}
    tables = {
        title: members
        for title, members in tables_of(rows).items()
        if any(row.row in kept for row in members)
    }
    references = references_of(tables, catalogue, wanted)
    boards = [
        _board(title, members, references[title], kept, reader, wanted)
        for title, members in tables.items()
    ]
    return [_with_the_outside(board, reader, catalogue, wanted) for board in boards]


def _with_the_outside(board: Board, reader: Reader, catalogue: Catalogue, wanted: Wanted) -> Board:
    """Return a suite's *board* with notes on the store's rows that the suite does not have.

    These are the others of its reference's cell, and those that its rows were judged among before.
    """
    taken = board.reference.row
    if wanted.suite is None or taken is None:
        return board
    outside = [row for row in reader.rows() if row.row not in wanted.suite.rows]
    alike = [row for row in outside if _table(row) == _table(taken)]
    beside = list(of_its_cell(as_known_now(alike, catalogue), taken))
    more = note_on_its_cell(board, beside, reader.option)
    wider = note_on_wider_tables(board, alike, wanted.suite)
    return replace(board, notes=(*board.notes, *wider, *more))


def boards_to_note(
    rows: Sequence[ReadRow],
    reader: Reader,
    catalogue: Catalogue,
    wanted: Wanted,
    worth: Callable[[Sequence[ReadRow], Reference], bool],
) -> list[Board]:
    """Return the tables of :func:`make_boards` with their verdicts and nothing else.

    They are made of the rows that would be shown: which verdicts there are depends on no other.

    Args:
        rows: The comparable rows.
        reader: Where they were read.
        catalogue: Knows the problems' default norms.
        wanted: Filters and terms; by another metric than a problem's own there is no table.
        worth: Says from its rows and its reference if a table is to be made.
    """
    kept = {row.row for row in narrowed(rows, catalogue, wanted)}
    grouped = tables_of(rows).items()
    tables = {title: own for title, own in grouped if any(row.row in kept for row in own)}
    references = references_of(tables, catalogue, wanted)
    return [
        with_verdicts(
            _bare(
                title,
                members,
                _shown(members, references[title], kept, wanted),
                references[title],
                reader,
                wanted,
            )
        )
        for title, members in tables.items()
        if metric_named(wanted.metric, members[0].metric) == members[0].metric
        and worth(_shown(members, references[title], kept, wanted), references[title])
    ]


def _shown(
    members: Sequence[ReadRow], reference: Reference, kept: Set[str], wanted: Wanted
) -> list[ReadRow]:
    """Return the rows of a table that are kept, and those that they are compared with."""
    base = reference.row.row if reference.row else ""
    bound = {row.bound_to for row in members if row.row in kept}
    shown = {*kept, *bound, base}
    return [row for row in recent(members, wanted) if row.row in shown]


def _bare(
    title: str,
    members: Sequence[ReadRow],
    chosen: Sequence[ReadRow],
    reference: Reference,
    reader: Reader,
    wanted: Wanted,
) -> Board:
    """Return a table of some *members*, with values and nothing said of them."""
    own = chosen[0].metric
    asked = {row.row for row in of_settings(members, wanted.settings)}
    metric = metric_named(wanted.metric, own)
    values = values_of(chosen, metric, reader)
    return Board(
        title=title,
        problem=chosen[0].problem,
        metric=metric,
        primary=metric == own,
        entries=tuple(Entry(row=row, values=v) for row, v in zip(chosen, values, strict=True)),
        reference=reference,
        terms=wanted.terms,
        dated=sum(bool(row.dated) and not row.scores for row in members),
        trimmed=sum(bool(row.dated and row.scores) for row in members),
        unasked=sum(row.has_results and row.row not in asked for row in members),
    )


def _board(
    title: str,
    members: Sequence[ReadRow],
    reference: Reference,
    kept: Set[str],
    reader: Reader,
    wanted: Wanted,
) -> Board:
    everything = {row.row for row in members if row.runs}
    whole = _shown(members, reference, everything, wanted)
    chosen = _shown(members, reference, kept, wanted)
    bare = _bare(title, members, whole, reference, reader, wanted)
    if bare.metric.name in COSTS:
        refuse_mixed_hardware(title, bare.metric.name, look_up(bare.entries, reader)[0])
    table = replace(bare, digest=input_hash(bare.entries))
    board = _showing(table, {row.row for row in chosen}, reader)
    head, below = about_precision(chosen, reader, board.provenance)
    notes = (
        *notes_of(board, members, reader.option),
        *notes_about_reference(board),
        *notes_about_stages(board),
        *notes_about_looks(board),
        *as_recorded(chosen),
        *edited_files(chosen),
        *filter(None, [how_to_leave_out(chosen)]),
        *about_unplaced(reader.unplaced(), reader.option),
        *below,
    )
    left = _left(reader, members[0], wanted)
    return replace(
        board, notes=notes, head=(*head, *left, *unequal_tuning(chosen, wanted.settings))
    )


def _showing(table: Board, names: Set[str], reader: Reader) -> Board:
    """Return the *table*, judged as a whole, with those rows shown that have these *names*."""
    shown = [entry for entry in table.entries if entry.row.row in names]
    provenance, found = look_up(shown, reader)
    costs = dict(zip((entry.row.row for entry in shown), found, strict=True))
    whole = judged(replace(table, provenance=provenance)).entries
    return replace(
        table,
        provenance=provenance,
        entries=tuple(replace(e, costs=costs[e.row.row]) for e in whole if e.row.row in names),
        apart=tuple(entry for entry in whole if entry.row.row not in names),
    )


def _left(reader: Reader, member: ReadRow, wanted: Wanted) -> list[str]:
    """Return what to say of rows that left the suite and are comparable with its *member*."""
    if wanted.suite is None:
        return []
    shown = (row for row in reader.rows() if row.shown)
    table = _table(member)
    members = (row for row in shown if _table(row) == table)
    return list(left_suite(members, wanted.suite, reader.option))


def _table(row: ReadRow) -> str:
    return row.table or comparable(row.identity)
