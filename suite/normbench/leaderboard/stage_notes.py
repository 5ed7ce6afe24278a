"""What a reader must know of rows whose seeds were added in declared stages, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from normbench.leaderboard.against import LEAST_FOR_VERDICT
from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.looks import Looks
from normbench.leaderboard.notes import seed_list
from normbench.leaderboard.reference_notes import day_of
from normbench.leaderboard.sheets import p_text
from normbench.quantities import counted
from normbench.store import Declaration

_SHOWN = 3


def notes_about_stages(board: Board) -> Iterator[str]:
    """Yield what keeps rows of *board* from a verdict, and which of their seeds do not count."""
    staged = list(_declared(board))
    for words, what in (
        ("has seeds from before its stages were declared", _before),
        ("has seeds that no declared look has come to", _after),
        ("is compared with one of which others count", _its_own_alone),
    ):
        if found := [text for entry, own in staged if (text := what(board, entry, own))]:
            yield (
                f"Seeds that do not count, since a row {words}: {_some(found)}. They are in its "
                "mean alone."
            )
    if early := [text for entry, own in staged if (text := _early(board, entry, own))]:
        yield (
            f"Rows before their first declared look are exploratory: {_some(early)}. Go on with "
            "normbench run PROBLEM OPTIMIZER --until-decided."
        )
    if apart := [text for entry, own in staged if (text := _too_few_in_common(board, entry, own))]:
        yield (
            "Rows that were declared with other seeds than those that count for the row they are "
            f"compared with are exploratory: {_some(apart)}. In another store both can have the "
            "same seeds."
        )
    if changed := [text for entry, own in staged if (text := _changed(board, entry, own))]:
        yield (
            f"Decided at a declared look, and otherwise in this table: {_some(changed)}. The "
            "decision holds for the rows and pairs of that day, the table for those of today."
        )
    if late := [board.name_of(entry.row) for entry, own in staged if own.late]:
        yield (
            "Rows whose stages were declared in another store, while results of theirs were here "
            f"already, are exploratory: {_some(late)}."
        )


def tested_in_stages(board: Board) -> Iterator[str]:
    """Yield what the p values of *board* mean where seeds were added in stages."""
    stages = board.terms.stages
    staged = [_standing(board, entry, own) for entry, own in _declared(board)]
    if stages:
        whose = "Other rows' seeds" if staged else "Seeds"
        at = ", ".join(map(str, stages))
        yield (
            f"{whose} were added in stages of {at}, as --stages says: if so, p holds whichever one "
            "stopped at."
        )
    if staged:
        yield (
            f"Seeds were added in declared stages: {_some(staged)}. Each p of such a row, also of "
            "`equivalent` and of the sign-flip test, holds whichever stage it stopped at."
        )
    if of_reference := _stages_of_reference(board):
        at = ", ".join(map(str, of_reference))
        yield (
            f"The reference's own seeds were added in declared stages of {at}: other rows are "
            "compared with it at seeds that its looks have come to, not at older ones, and each p "
            "holds whichever stage it stopped at."
        )
    if staged or stages or of_reference:
        yield (
            "Intervals, differences and what is detectable are not corrected for stopping: a "
            "difference that stopped early looks larger than it is. `equivalent` is tested row by "
            "row, without Holm."
        )
        yield (
            "The families are those of the table as it stands: rows added later make them larger "
            "and every p with them, so that a verdict may be lost."
        )


def _stages_of_reference(board: Board) -> tuple[int, ...]:
    row = board.reference.row
    return row.staged.stages if row is not None and row.staged is not None else ()


def _declared(board: Board) -> Iterator[tuple[Entry, Declaration]]:
    for entry in board.entries:
        if entry.row.staged is not None and entry.comparison is not None:
            yield entry, entry.row.staged


def _before(board: Board, entry: Entry, declared: Declaration) -> str:
    had = sorted(set(declared.before) & entry.values.keys())
    return f"{board.name_of(entry.row)} {seed_list(had)}" if had else ""


def _after(board: Board, entry: Entry, declared: Declaration) -> str:
    alone = _seeds_alone(board, entry, declared)
    seeds = _uncounted(entry) - set(declared.before) - alone
    return f"{board.name_of(entry.row)} {seed_list(sorted(seeds))}" if seeds else ""


def _its_own_alone(board: Board, entry: Entry, declared: Declaration) -> str:
    seeds = _uncounted(entry) & _seeds_alone(board, entry, declared)
    return f"{board.name_of(entry.row)} {seed_list(sorted(seeds))}" if seeds else ""


def _uncounted(entry: Entry) -> set[int]:
    return set(entry.comparison.uncounted if entry.comparison else ())


def _seeds_alone(board: Board, entry: Entry, declared: Declaration) -> set[int]:
    """Return the declared seeds that do not count for what the row is compared with."""
    reference = board.reference_of(entry.row)
    if reference is None or reference.staged is None:
        return set()
    return set(declared.seeds) - set(reference.staged.seeds)


def _too_few_in_common(board: Board, entry: Entry, declared: Declaration) -> str:
    left = len(declared.seeds) - len(_seeds_alone(board, entry, declared))
    if left >= LEAST_FOR_VERDICT:
        return ""
    return f"{board.name_of(entry.row)} shares {left} of {counted(len(declared.seeds), 'seed')}"


def _early(board: Board, entry: Entry, declared: Declaration) -> str:
    n, stages = (entry.comparison.n, entry.comparison.stages) if entry.comparison else (0, ())
    if not Looks(stages).before_first(n) or _too_few_in_common(board, entry, declared):
        return ""
    return f"{board.name_of(entry.row)} has {n} of {stages[0]} pairs"


def _changed(board: Board, entry: Entry, declared: Declaration) -> str:
    then, now = declared.decision, entry.verdict
    if then is None or now is None or board.exploratory or now.value == then.verdict:
        return ""
    p = f", p {p_text(then.p)}" if then.p is not None else ""
    n = entry.comparison.n if entry.comparison else 0
    before, here = (f", {counted(k, 'pair')}" if n != then.n else "" for k in (then.n, n))
    return (
        f"{board.name_of(entry.row)} was `{then.verdict}` on {day_of(then.decided_at)} at stage "
        f"{then.stage}{p} ({counted(len(then.family), 'row')} in the family{before}) and is "
        f"`{now}` here ({board.family}{here})"
    )


def _standing(board: Board, entry: Entry, declared: Declaration) -> str:
    n = entry.comparison.n if entry.comparison else 0
    return f"{board.name_of(entry.row)} at {n} of {', '.join(map(str, declared.stages))}"


def _some(texts: Sequence[str]) -> str:
    shown = "; ".join(texts[:_SHOWN])
    return shown + (f"; and {len(texts) - _SHOWN} rows more" if len(texts) > _SHOWN else "")
