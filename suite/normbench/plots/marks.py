"""How figures show verdicts and differences: never by colour alone, nor by much room for outliers.

What is drawn of a leaderboard is in the metric's unit, accuracies in percent, and differences are
new minus reference, so that their signs are those of the tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.naming import setting_words
from normbench.leaderboard.sheets import Numbers
from normbench.leaderboard.verdicts import Verdict
from normbench.plots.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREY = "#767676"
LONGEST_NAME = 28
_MOST_TIMES_TYPICAL = 4.0


@dataclass(frozen=True)
class Mark:
    """How a verdict looks: its colour, matplotlib's marker, and the sign before the word."""

    colour: str
    marker: str
    sign: str
    filled: bool = True


BLUE, VERMILLION, BLACK = COLOURS[0], COLOURS[1], COLOURS[6]
MARKS = {
    Verdict.BETTER: Mark(BLUE, "^", "▲"),
    Verdict.WORSE: Mark(VERMILLION, "v", "▼"),
    Verdict.EQUIVALENT: Mark(BLACK, "s", "■"),
    Verdict.NO_EVIDENCE: Mark(GREY, "o", "○", filled=False),
    Verdict.EXPLORATORY: Mark(GREY, "D", "◇", filled=False),
    Verdict.UNSTABLE: Mark(VERMILLION, "X", "✕"),
    Verdict.DETERMINISTIC: Mark(BLACK, "|", "|"),
    Verdict.TOO_FEW: Mark(GREY, ".", "·"),
    Verdict.REFERENCE: Mark(BLACK, "P", "✚"),
}


def worded(verdict: Verdict) -> str:
    """Return the verdict with its sign."""
    return f"{MARKS[verdict].sign} {verdict.value}"


@dataclass(frozen=True)
class Difference:
    """The difference of one row from the reference, in the unit of the figure.

    Attributes:
        entry: The row.
        verdict: What its comparison comes to.
        label: The row in a few words.
        value: Mean difference.
        ends: Its 95 % interval; None where there is none.
    """

    entry: Entry
    verdict: Verdict
    label: str
    value: float
    ends: tuple[float, float] | None

    @property
    def reach(self) -> tuple[float, float]:
        """Smallest and largest value to show."""
        return self.ends or (self.value, self.value)


def differences(board: Board) -> list[Difference]:
    """Return the rows that were compared with the reference, in the table's order."""
    words = setting_words([entry.row for entry in board.entries])
    factor = board.sign * unit_factor(board)
    found = []
    for entry in board.entries:
        compared, verdict = entry.comparison, entry.verdict
        if compared is None or verdict is None or math.isnan(compared.difference):
            continue
        low, high = sorted(factor * end for end in compared.interval)
        found.append(
            Difference(
                entry,
                verdict,
                _label(entry.row.norm_label, " ".join([entry.row.optimizer, *words(entry.row)])),
                factor * compared.difference,
                None if math.isnan(low) else (low, high),
            )
        )
    return found


def unit_factor(board: Board) -> float:
    """Return what a value is multiplied with to be in the unit of the figure."""
    return 100.0 if Numbers(board.metric.name).percent else 1.0


def unit_name(board: Board) -> str:
    """Return the unit of differences, in brackets where there is one."""
    return f" [{Numbers(board.metric.name).points.strip()}]" if unit_factor(board) != 1 else ""


def limits(rows: Sequence[Difference], smallest: float) -> tuple[float, float]:
    """Return the range of an axis of differences.

    It holds 0, the band of the *smallest* difference of interest, and the intervals of the rows but
    for those that diverged or lie several times as far out as is typical: these would leave no room
    for the others.
    """
    calm = [row for row in rows if not row.entry.row.diverged] or list(rows)
    reaches = [row.reach for row in calm] or [(-1.0, 1.0)]
    typical = median(max(abs(low), abs(high)) for low, high in reaches)
    most = max(_MOST_TIMES_TYPICAL * typical, 1.5 * smallest)
    low = max(-most, min(-1.3 * smallest, 0.0, *(end for end, _ in reaches)))
    high = min(most, max(1.3 * smallest, 0.0, *(end for _, end in reaches)))
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def _label(norm: str, optimizer: str) -> str:
    return f"{shortened(norm)} {shortened(optimizer)}"


def shortened(text: str, longest: int = LONGEST_NAME) -> str:
    """Return *text*, cut with an ellipsis where it is too long for a figure."""
    shown = visible(text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def visible(text: str) -> str:
    """Return *text* with a sign in place of each character that does not show."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def as_written(figure: Figure) -> Figure:
    """Return *figure* with every text shown as it is: a dollar sign in a name is no formula."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    return figure
