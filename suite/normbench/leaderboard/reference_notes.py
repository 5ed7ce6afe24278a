"""What a reader must know of the reference, and of what was trained after looking, in sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.naming import setting_text
from normbench.leaderboard.reading import ReadRow
from normbench.leaderboard.sheets import APART
from normbench.leaderboard.suites import SuiteRows
from normbench.quantities import counted
from normbench.store import Shown

_SHOWN = 3
_DIGITS = 8


def notes_about_reference(board: Board) -> Iterator[str]:
    """Yield which other rows the reference might have been, and which rows have another one."""
    reference = board.reference
    if reference.row is not None and reference.others:
        others = [f"{_full(o)} by --reference {o.row[:_DIGITS]}" for o in reference.others]
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        yield (
            f"The reference is {_full(reference.row)} ({reference.why}). It might also be "
            f"{', '.join(others[:_SHOWN])}{more}: asked for so, verdicts are exploratory."
        )
    first = reference.first
    if first is not None and first.row is not None:
        yield (
            f"Before, by another name of this problem, the reference was {first.why} (row "
            f"{first.row.row[:_DIGITS]}). That one stands: verdicts against another are "
            "exploratory, but for rows whose stages were declared against it."
        )
    if reference.earlier:
        yield f"{reference.earlier}; that the suite was written before it is on trust."
    if apart := _apart(board):
        yield (
            f"{APART} Compared with the row that their stages were declared against, not with the "
            f"table's reference: {'; '.join(apart)}."
        )
    lacking = [e for e in board.entries if e.comparison and board.lacks_its_reference(e.row)]
    if lacking:
        names = ", ".join(board.name_of(entry.row) for entry in lacking[:_SHOWN])
        other = "another row than was asked for" if reference.post_hoc else "a row that is not here"
        yield (
            f"{counted(len(lacking), 'row')} whose stages were declared against {other}: {names}. "
            "Compared with another one, they get no verdict beyond `exploratory`."
        )


def note_on_its_cell(board: Board, beside: Sequence[ReadRow], option: str = "") -> Iterator[str]:
    """Yield which row of the reference's norm and optimizer a suite's reference is, and why.

    Args:
        board: The table of a suite.
        beside: The store's rows of that norm and optimizer that the suite does not have.
        option: What names the store to commands, a space before; empty for the default.
    """
    reference = board.reference.row
    if reference is None or board.reference.post_hoc or not beside:
        return
    others = ", ".join(_with_seeds(row) for row in beside[:_SHOWN])
    more = f" and {len(beside) - _SHOWN} more" if len(beside) > _SHOWN else ""
    yield (
        f"The reference is {_with_seeds(reference)}: the suite has each cell at its own words, "
        "else at the setting that is known now. Of the same norm and optimizer the store also has "
        f"{others}{more}, which this suite leaves out. To compare with it: normbench leaderboard "
        f"--problem {board.problem} --protocol {reference.protocol} --reference "
        f"{beside[0].row[:_DIGITS]}{option}"
    )


def note_on_wider_tables(
    board: Board, outside: Iterable[ReadRow], suite: SuiteRows
) -> Iterator[str]:
    """Yield how many rows of a user's suite were judged among more rows before it had a table.

    Args:
        board: The table of the suite.
        outside: The store's comparable rows that the suite does not have.
        suite: The suite.
    """
    there = [row for row in outside if row.shown] if suite.own else []
    first: dict[tuple[str, str], float] = {}
    for each in (shown for row in there for shown in row.shown):
        first[_table(each)] = min(each.at, first.get(_table(each), math.inf))
    before = {
        row.row: (own, earlier)
        for row in (entry.row for entry in board.whole)
        if (own := _first_by(suite.shown_as, row))
        and (earlier := [s for s in row.shown if s.at < own and first.get(_table(s), own) < own])
    }
    if not before:
        return
    tables = {_table(each) for _, earlier in before.values() for each in earlier}
    last = max(own for own, _ in before.values())
    wider = [r for r in there if any(_table(s) in tables and s.at < last for s in r.shown)]
    day = day_of(min(each.at for _, earlier in before.values() for each in earlier))
    yield (
        f"In a table with verdicts that was shown on {day}, {counted(len(before), 'row')} of this "
        f"suite stood among {counted(len(wider), 'comparable row')} that it leaves out. p here "
        "count the suite's own rows only, which holds if the suite was written before that table "
        "was shown."
    )


def _table(shown: Shown) -> tuple[str, str]:
    return shown.name, shown.reference


def _first_by(name: str, row: ReadRow) -> float:
    """Return when a table that was asked for by *name* first gave *row* a verdict."""
    return min((shown.at for shown in row.shown if shown.name == name), default=math.inf)


def _with_seeds(row: ReadRow) -> str:
    return f"{_full(row)} with {counted(len(row.scores), 'seed')}"


def notes_about_looks(board: Board) -> Iterator[str]:
    """Yield which rows got seeds after a table had given them a verdict, without stages."""
    yield from _more_pairs([text for entry in board.entries if (text := _added(board, entry))])


def notes_about_pairs(
    pairs: Iterable[tuple[ReadRow, ReadRow, int]], name_of: Callable[[ReadRow], str]
) -> Iterator[str]:
    """Yield the same of pairs of rows with so many seeds, be neither the reference of a table.

    What counts is the first table that compared a row with the other one, else with any.
    """
    given = list(pairs)
    names = {row.row: name_of(row) for new, base, _ in given for row in (new, base)}
    told = {
        text: None
        for new, base, n in given
        for row, other in ((new, base), (base, new))
        if (text := _grown(row, other, n, names))
    }
    yield from _more_pairs(list(told))


def _grown(row: ReadRow, other: ReadRow, n: int, names: Mapping[str, str]) -> str:
    # A line of a reference about itself tells its own seeds, which are no pairs.
    tables = [each for each in row.shown if each.reference != row.row]
    of_both = [each for each in tables if each.reference == other.row]
    staged = row.staged is not None or (row.declared is not None and other.staged is not None)
    if staged or not tables:
        return ""
    first = (of_both or tables)[0]
    if first.reference == other.row or n <= first.pairs:
        return _since(names[row.row], first, n)
    then = names.get(first.reference, f"row {first.reference[:_DIGITS]}")
    return (
        f"{names[row.row]} has {n} with {names[other.row]}, on {day_of(first.at)} {first.pairs} "
        f"with {then}"
    )


def _more_pairs(found: Sequence[str]) -> Iterator[str]:
    if found:
        more = f"; and {len(found) - _SHOWN} rows more" if len(found) > _SHOWN else ""
        yield (
            f"More pairs than when a table first gave a verdict: {'; '.join(found[:_SHOWN])}{more}."
            " Their p is that of a number of seeds fixed beforehand: if seeds were added for what "
            "the table showed, it is too small. --until-decided declares stages."
        )


def day_of(at: float) -> str:
    """Return the day of a time in Unix seconds."""
    return datetime.fromtimestamp(at, tz=UTC).date().isoformat()


def _full(row: ReadRow) -> str:
    return f"{row.norm_label} {row.optimizer} {setting_text(row)}"


def _apart(board: Board) -> list[str]:
    """Return each row that some are compared with in place of the reference, with those."""
    found: dict[str, list[str]] = {}
    for entry in board.entries:
        own = board.reference_of(entry.row)
        if own is not None and board.is_apart(entry):
            found.setdefault(board.name_of(own), []).append(board.name_of(entry.row))
    return [f"{_first_of(names)} with {base}" for base, names in found.items()]


def _first_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _added(board: Board, entry: Entry) -> str:
    found, reference = entry.comparison, board.reference.row
    if found is None or reference is None or entry.row.staged is not None:
        return ""
    first = next((each for each in entry.row.shown if each.reference == reference.row), None)
    return _since(board.name_of(entry.row), first, found.n) if first else ""


def _since(name: str, first: Shown, n: int) -> str:
    if n <= first.pairs:
        return ""
    return f"{name} has {n}, on {day_of(first.at)} {first.pairs}"
