"""What a board comes to, in one or two plain sentences: who wins, by how much, how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.naming import row_names
from normbench.leaderboard.sheets import Numbers, p_text
from normbench.leaderboard.tested import condition
from normbench.leaderboard.verdicts import Verdict
from normbench.quantities import counted

_SHOWN = 3


def conclusion(board: Board) -> str:
    """Return who wins and how sure that is; the words claim no more than the verdicts do."""
    if not board.apart:
        return _of_those_shown(board)
    return (
        f"{_of_those_shown(board)} That is said of the rows shown: "
        f"{counted(len(board.apart), 'row')} more of this table, with which they are ranked and "
        "corrected for, are not."
    )


def _of_those_shown(board: Board) -> str:
    measured = [entry for entry in board.entries if entry.mean is not None]
    if not measured:
        return "No row has a result yet."
    reference = _reference(board)
    if reference is None:
        return f"Nothing was compared: {board.reference.why}. {_best(board, measured[0])}"
    rest = [entry for entry in measured if entry is not reference]
    others = [entry for entry in rest if not board.is_apart(entry)]
    apart = _apart(board, rest)
    if not others:
        only = "Only the reference has results" if not rest else "No row is compared with the"
        name = f"{only}{' reference' if rest else ''}, {_name(board, reference)}."
        return " ".join([name, *(apart or [_best(board, reference)])])
    better = _with(Verdict.BETTER, others)
    told = _winner if better else _none
    return " ".join([*told(board, better, others, reference), *apart])


def _apart(board: Board, rest: Sequence[Entry]) -> list[str]:
    """Return, in a sentence, the verdicts of rows that are compared with another reference."""
    found = [
        f"{_name(board, entry)} against {board.name_of(own)} ({entry.verdict})"
        for entry in rest
        if board.is_apart(entry) and (own := board.reference_of(entry.row)) is not None
    ]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    told = f"Compared with other rows than that: {', '.join(found[:_SHOWN])}{more}."
    return [told] if found else []


def _winner(
    board: Board, better: Sequence[Entry], others: Sequence[Entry], reference: Entry
) -> Iterator[str]:
    first, count, beaten = better[0], len(better), _name(board, reference)
    if count == 1:
        alone = f", the only one of {len(others)} rows that is" if len(others) > 1 else ""
        yield (
            f"{_name(board, first)} is better than the reference, {beaten}{alone}: it differs by "
            f"{_difference(board, first)}."
        )
    else:
        yield (
            f"{count} of {len(others)} rows are better than the reference, {beaten}. The best of "
            f"them, {_name(board, first)}, differs by {_difference(board, first)}."
        )
    # Seeds that diverged spread so widely that such rows are told apart from nothing.
    calm = [entry for entry in others if entry is not first and not entry.row.diverged]
    tied = [entry for entry in calm if set(entry.letters) & set(first.letters)]
    if tied:
        verb = "is" if len(tied) == 1 else "are"
        yield f"{_names(board, tied)} {verb} not told apart from it."
    yield (
        f"Where {condition(board)} the probability of any false `better` in this table is at "
        f"most {100 * board.terms.alpha:g} %."
    )


def _none(
    board: Board,
    better: Sequence[Entry],  # noqa: ARG001 - there is none
    others: Sequence[Entry],
    reference: Entry,
) -> Iterator[str]:
    worse = _with(Verdict.WORSE, others)
    verb = "is" if len(worse) == 1 else "are"
    beaten = f"; {len(worse)} of {len(others)} {verb} worse" if worse else ""
    yield f"No row is shown to be better than the reference, {_name(board, reference)}{beaten}."
    if board.exploratory:
        yield "Nothing in this table is confirmed: its verdicts are exploratory."
    if reference.row.diverged:
        yield (
            f"{len(reference.row.diverged)} of {reference.n} seeds of the reference diverged, so "
            "that little can be said about the others."
        )
    best = max(others, key=lambda entry: board.sign * (entry.mean or 0.0))
    if best.comparison is None or math.isnan(best.comparison.interval[0]):
        yield from _uncompared(board, best, reference)
        return
    yield f"The best of the others, {_name(board, best)}, differs by {_difference(board, best)}."
    detectable = best.comparison.detectable
    if not math.isnan(detectable):
        numbers = Numbers(board.metric.name)
        yield (
            f"{best.comparison.n} seeds find a difference of {numbers.value(detectable)}"
            f"{numbers.points} with probability 0.8."
        )


def _uncompared(board: Board, best: Entry, reference: Entry) -> Iterator[str]:
    """Yield who has the best mean where the best of the others has no interval."""
    numbers = Numbers(board.metric.name)
    if board.sign * (best.mean or 0.0) > board.sign * (reference.mean or 0.0):
        yield _best(board, best)
        return
    yield _best(board, reference)
    yield (
        f"The best of the others, {_name(board, best)}, has {numbers.value(best.mean)}"
        f"{numbers.unit} over {counted(best.n, 'seed')}."
    )


def _difference(board: Board, entry: Entry) -> str:
    """Return difference, interval and p of an entry that was compared."""
    numbers, found = Numbers(board.metric.name), entry.comparison
    assert found is not None  # noqa: S101 - the caller chose such entries
    low, high = sorted(board.sign * end for end in found.interval)
    p = p_text(found.p_adjusted[0 if found.difference >= 0 else 1])
    how = {"holm": "after Holm's correction", "bh": "by Benjamini and Hochberg"}
    words = f"; p {_spelt(p)} {how.get(board.terms.correction, 'uncorrected')}" if p else ""
    return (
        f"{numbers.value(board.sign * found.difference, signed=True)}{numbers.points} (95 % "
        f"interval {numbers.value(low, signed=True)} to {numbers.value(high, signed=True)}{words})"
    )


def _spelt(p: str) -> str:
    return f"< 0{p[1:]}" if p.startswith("<") else f"= 0{p}" if p.startswith(".") else f"= {p}"


def _best(board: Board, entry: Entry) -> str:
    numbers = Numbers(board.metric.name)
    metric = board.metric.name.replace("_", " ")
    seeds = counted(entry.n, "seed")
    return (
        f"The best mean {metric} is {numbers.value(entry.mean)}{numbers.unit}, of "
        f"{_name(board, entry)} over {seeds}."
    )


def _reference(board: Board) -> Entry | None:
    row = board.reference.row
    found = (entry for entry in board.entries if row is not None and entry.row.row == row.row)
    return next(found, None)


def _with(verdict: Verdict, entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.verdict is verdict]


def _name(board: Board, entry: Entry) -> str:
    return row_names([each.row for each in board.entries], " with ")(entry.row)


def _names(board: Board, entries: Sequence[Entry]) -> str:
    shown = [_name(board, entry) for entry in entries[:_SHOWN]]
    more = len(entries) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
