"""What the words and columns of a leaderboard mean; only those that appear are explained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from normbench.leaderboard.against import LEAST_FOR_INTERVAL, LEAST_FOR_VERDICT
from normbench.leaderboard.board import Board
from normbench.leaderboard.making import share_too_few
from normbench.leaderboard.sheets import Numbers, Sheet, smallest_difference
from normbench.leaderboard.verdicts import Verdict


def legend_of(board: Board, sheets: Sequence[Sheet]) -> list[str]:
    """Return a sentence for each word of the *sheets* of *board* that is not plain English.

    Columns come first, in their order, then verdicts.
    """
    shown = [column for sheet in sheets for column in sheet.without_empty().columns]
    columns = dict(_columns(board))
    verdicts = {entry.verdict for entry in board.entries}
    return [
        *(f"{name}: {columns[name]}" for name in dict.fromkeys(shown) if name in columns),
        *(f"{word}: {words}" for word, words in _verdicts(board) if word in verdicts),
    ]


def _columns(board: Board) -> Iterator[tuple[str, str]]:
    interest = smallest_difference(board.metric)
    yield "n", "seeds with a result, out of those that were asked for."
    yield "div", "seeds that diverged."
    few = ", or share too few seeds that count" if share_too_few(board.entries) else ""
    yield "=", f"rows that share a letter are not told apart{few}."
    yield "wins", "pairs in which the row does better than the reference, a tie counting a half."
    yield "sign flip", "exact p of the sign-flip test on the side of the difference, uncorrected."
    yield (
        f"d/{interest}",
        f"the difference in units of the smallest one of interest, {interest}; positive is better.",
    )
    yield (
        f"MDD{Numbers(board.metric.name).unit}",
        "minimal detectable difference: what as many pairs find with probability 0.8, at the "
        "spread seen here.",
    )
    yield "corr.", "how the row's scores go with the reference's, seed by seed."
    yield "to target", "median epochs to the target, and how many seeds reached it."


def _verdicts(board: Board) -> Iterator[tuple[Verdict, str]]:
    level = f"{100 * board.terms.alpha:g} %"
    interval = f"{100 * (1 - 2 * board.terms.alpha):g} %"
    interest = smallest_difference(board.metric)
    corrected = "one-sided p, corrected over the table, is below"
    yield Verdict.BETTER, f"the {corrected} {level}."
    yield Verdict.WORSE, f"the {corrected} {level}, on the other side."
    yield (
        Verdict.EQUIVALENT,
        f"the {interval} interval of the difference lies within ± {interest}, the smallest "
        "difference of interest; tested row by row, without correction for many rows.",
    )
    yield (
        Verdict.NO_EVIDENCE,
        "none of better, worse and equivalent is shown, which does not mean that nothing is there.",
    )
    yield (
        Verdict.EXPLORATORY,
        f"below {LEAST_FOR_VERDICT} pairs, or seeds are missing, or something was chosen after "
        "looking: a hint, not a finding.",
    )
    yield Verdict.TOO_FEW, f"below {LEAST_FOR_INTERVAL} pairs: not compared."
    yield Verdict.UNSTABLE, "seeds diverged, and what to say depends on how they are counted."
    yield (
        Verdict.DETERMINISTIC,
        "every seed differs by the same amount, so there is no spread to judge it by.",
    )
    yield Verdict.REFERENCE, "what the other rows are compared with."
