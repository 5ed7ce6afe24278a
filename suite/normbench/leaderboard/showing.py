"""That tables were shown, for later tables to know what may have been chosen after looking."""

from __future__ import annotations

import time
from collections.abc import Iterable

from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.verdicts import Verdict
from normbench.store import RunStore, add_shown

_SAID = (
    *(Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT, Verdict.NO_EVIDENCE),
    *(Verdict.UNSTABLE, Verdict.DETERMINISTIC),
)


def note_shown(store: RunStore, boards: Iterable[Board]) -> bytes:
    """Write down which rows of *boards* get their first verdict now, and against what.

    Returns:
        What was added to the file of the store.
    """
    added = []
    for board in boards:
        reference, judged = board.reference, [e for e in board.entries if e.verdict in _SAID]
        if reference.row is None or reference.post_hoc or not judged:
            continue
        new = {entry.row.row: _pairs(entry) for entry in judged if not entry.row.shown}
        rows = [reference.row, *(entry.row for entry in judged)]
        known = any(each.name == reference.name for row in rows for each in row.shown)
        if not known:
            new |= {reference.row.row: len(reference.row.scores)}
        if new:
            row = reference.row.row
            added.append(add_shown(store.root, time.time(), reference.name, row, new))
    return b"".join(added)


def _pairs(entry: Entry) -> int:
    return entry.comparison.n if entry.comparison else 0
