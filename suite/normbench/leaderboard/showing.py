"""That tables were shown, for later tables to know what may have been chosen after looking."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from normbench.leaderboard.against import LEAST_FOR_INTERVAL
from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.boards import boards_to_note
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.making import judged_incomplete
from normbench.leaderboard.reading import Reader, ReadRow, StoreReader
from normbench.leaderboard.references import Reference
from normbench.leaderboard.verdicts import Verdict
from normbench.plugins import Catalogue
from normbench.store import RunStore, add_shown

_SAID = (
    *(Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT, Verdict.NO_EVIDENCE),
    *(Verdict.UNSTABLE, Verdict.DETERMINISTIC),
)

# More than rounding leaves of equal differences.
_ROUNDING = 1e-6


def note_shown(store: RunStore, boards: Iterable[Board]) -> bytes:
    """Write down which rows of *boards* get their first verdict by its name now, and against what.

    Exploratory tables, such as those that lose results by a date or rows by settings, those by
    another metric, with another correction or a larger alpha, fix nothing for later ones, and
    leave no line; nor do those that judge rows with missing seeds. Where a date or settings leave
    nothing out, or no seed is missing, the table is as if these were not given.

    Returns:
        What was added to the file of the store.
    """
    added: list[bytes] = []
    for board in boards:
        reference, judged = board.reference, [e for e in board.entries if e.verdict in _SAID]
        if reference.row is None or board.exploratory or not judged:
            continue
        if judged_incomplete(board):
            continue
        # By each name that a table is asked for: a suite's rows may leave it later.
        new = {e.row.row: _pairs(e) for e in judged if not _shown(e.row, reference.name)}
        rows = [reference.row, *(entry.row for entry in judged)]
        if not any(_shown(row, reference.name) for row in rows):
            new |= {reference.row.row: len(reference.row.scores)}
        if new:
            row = reference.row.row
            added.append(add_shown(store.root, time.time(), reference.name, row, new))
    return b"".join(added)


def note_judged(
    reader: Reader,
    catalogue: Catalogue,
    wanted: Wanted,
    rows: Sequence[ReadRow],
    pair: Collection[str] = (),
) -> bytes:
    """Write down what another view of rows tells of them, as their leaderboard would.

    Effects of norms and optimizers, and two rows in depth, are judgements of the same pairs. Of two
    rows nothing is fixed unless one is the reference that a table has: else both were chosen.

    Args:
        reader: What the view is made of; only a store takes lines.
        catalogue: Knows the problems.
        wanted: What the view was asked for.
        rows: The comparable rows that it was chosen from.
        pair: The two rows, where it is of two.

    Returns:
        What was added to the file of the store.
    """
    if not isinstance(reader, StoreReader) or not wanted.terms.confirmatory:
        return b""

    def is_new(shown: Sequence[ReadRow], reference: Reference) -> bool:
        return _may_tell(shown, reference) and (not pair or _of(reference) in pair)

    asked = replace(wanted, rows=frozenset(pair))
    return note_shown(reader.store, boards_to_note(rows, reader, catalogue, asked, is_new))


def _may_tell(shown: Sequence[ReadRow], reference: Reference) -> bool:
    """Whether a table of these rows may give one of them its first verdict by its name."""
    base = reference.row
    if base is None or reference.post_hoc:
        return False
    rows = (row for row in shown if row.row != base.row and not _shown(row, reference.name))
    return any(_may_be_judged(row, base) for row in rows)


def _may_be_judged(row: ReadRow, base: ReadRow) -> bool:
    """Whether a row has enough results for a verdict, or none of its seeds differs from others."""
    if len(row.scores) < LEAST_FOR_INTERVAL:
        return False
    lacks = bool(row.missing) or (bool(base.missing) and base.staged is None)
    return row.staged is not None or not lacks or _alike(row, base)


def _alike(row: ReadRow, base: ReadRow) -> bool:
    """Whether a row differs from the *base* by nearly the same at every seed that both have."""
    gaps = [score - base.scores[seed] for seed, score in row.scores.items() if seed in base.scores]
    largest = max(map(abs, (*row.scores.values(), *base.scores.values())), default=0.0)
    return bool(gaps) and max(gaps) - min(gaps) <= _ROUNDING * largest


def _of(reference: Reference) -> str:
    return reference.row.row if reference.row is not None else ""


def _shown(row: ReadRow, name: str) -> bool:
    return any(each.name == name for each in row.shown)


def _pairs(entry: Entry) -> int:
    return entry.comparison.n if entry.comparison else 0
