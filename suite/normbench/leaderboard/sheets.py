"""The cells of a leaderboard as text; every format shows these."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from normbench.descriptions import Metric
from normbench.leaderboard.against import Comparison
from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.censored import TimeToTarget
from normbench.leaderboard.naming import setting_text, setting_words
from normbench.tables import duration

# Marks a difference from another row than the table's reference; a note says from which.
APART = "†"


@dataclass(frozen=True)
class Sheet:
    """A table of text.

    Attributes:
        columns: Headings.
        rows: Cells, as many in each row as there are columns.
        right: Headings of the columns to align on the right.
        title: What stands above.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[str, ...] = ()
    title: str = ""

    def without_empty(self) -> Sheet:
        """Return the sheet without the columns that are empty in every row."""
        kept = [i for i in range(len(self.columns)) if any(row[i] for row in self.rows)]
        return Sheet(
            tuple(self.columns[i] for i in kept),
            tuple(tuple(row[i] for i in kept) for row in self.rows),
            self.right,
            self.title,
        )


class Numbers:
    """Writes the values of one metric: accuracies in percent, others with four digits."""

    def __init__(self, metric: str) -> None:
        self.percent = metric.endswith("accuracy")
        self.unit = " %" if self.percent else ""
        self.points = " points" if self.percent else ""

    def value(self, value: float | None, *, signed: bool = False) -> str:
        """Return a value without its unit; nothing for a missing one."""
        if value is None or math.isnan(value):
            return ""
        sign = "+" if signed else ""
        # Adding 0.0 turns a negative zero into a plain one.
        if self.percent:
            return f"{round(100 * value, 2) + 0.0:{sign}.2f}"
        return f"{value + 0.0:{sign}.4g}"

    def interval(
        self, value: float | None, ends: tuple[float, float] | None, *, signed: bool = False
    ) -> str:
        """Return a value with the ends of its interval in brackets, if it has one.

        With *signed* the value has its sign even if it is positive.
        """
        shown = self.value(value, signed=signed)
        if not shown or ends is None or math.isnan(ends[0]):
            return shown
        low, high = (self.value(end) for end in ends)
        return f"{shown} [{low}, {high}]"


class Cells(NamedTuple):
    """The texts of one line of the main table."""

    rank: str
    norm: str
    optimizer: str
    score: str
    n: str
    diverged: str
    difference: str
    p: str
    verdict: str
    letters: str


def main_sheet(board: Board) -> Sheet:
    """Return who stands where, by how much, and what can be said of it."""
    numbers = Numbers(board.metric.name)
    counts = {_seeds(entry) for entry in board.entries}
    mean = f"{_short_metric(board.metric.name)}{numbers.unit} [95 %]"
    p = {"holm": "p Holm", "bh": "q", "none": "raw p"}[board.terms.correction]
    heads = ("rank", "norm", "optimizer", mean, "n", "div", "difference [95 %]", p, "verdict", "=")
    title = f"{board.title}: {board.metric.name}"
    if len(counts) == 1:
        n = counts.pop()
        title += f", n = {n} seed{'' if n == '1' else 's'}"
    return Sheet(heads, main_cells(board), ("n", "div", p), title)


def main_cells(board: Board) -> tuple[Cells, ...]:
    """Return the lines of the main table, one for each entry."""
    numbers = Numbers(board.metric.name)
    setting = setting_words([entry.row for entry in board.entries])
    alike = len({_seeds(entry) for entry in board.entries}) == 1
    return tuple(
        Cells(
            rank=_rank(board, entry),
            norm=entry.row.norm_label,
            optimizer=" ".join([entry.row.optimizer, *setting(entry.row)]),
            score=numbers.interval(entry.mean, entry.interval),
            n="" if alike else _seeds(entry),
            diverged=str(len(entry.row.diverged) or ""),
            difference=_difference(board, entry, numbers),
            p=p_text(_side(entry.comparison, "p_adjusted")),
            verdict="" if entry.verdict is None else entry.verdict.value,
            letters=entry.letters,
        )
        for entry in board.entries
    )


def detail_sheet(board: Board) -> Sheet:
    """Return what else is known of each row."""
    numbers = Numbers(board.metric.name)
    rows = tuple(
        (
            entry.row.row[:8],
            entry.row.norm_label,
            entry.row.optimizer,
            setting_text(entry.row),
            _pairs(entry.comparison),
            p_text(_side(entry.comparison, "flip")),
            _ratio(entry.comparison),
            numbers.value(entry.comparison.detectable) if entry.comparison else "",
            _two_digits(entry.comparison.correlation) if entry.comparison else "",
            duration(entry.costs.seconds),
            target_text(entry.costs.target),
        )
        for entry in board.entries
    )
    smallest, detectable = f"d/{smallest_difference(board.metric)}", f"MDD{numbers.unit}"
    heads = (
        *("row", "norm", "optimizer", "setting", "wins", "sign flip", smallest, detectable),
        *("corr.", "time/run", "to target"),
    )
    right = ("sign flip", smallest, detectable, "corr.", "time/run")
    return Sheet(heads, rows, right)


def smallest_difference(metric: Metric) -> str:
    """Return the smallest difference of interest with its unit."""
    numbers = Numbers(metric.name)
    return f"{numbers.value(metric.smallest_difference)}{numbers.unit}"


def p_text(p: float | None) -> str:
    """Return a p value with three decimals."""
    if p is None or math.isnan(p):
        return ""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def target_text(target: TimeToTarget | None) -> str:
    """Return the median time to the target and how many seeds reached it."""
    if target is None:
        return ""
    median = f"{target.median:g}" if math.isfinite(target.median) else "missed"
    return f"{median} ({target.reached}/{target.n})"


def _rank(board: Board, entry: Entry) -> str:
    """Return the rank interval, in the order of the ranks themselves; else the rank.

    An interval that is not among all rows of the table stands beside the rank, with their number.
    """
    rank = "" if entry.rank is None else str(entry.rank)
    if entry.rank_interval is None:
        return rank
    low, high = entry.rank_interval
    interval = str(low) if low == high else f"{low}-{high}"
    return interval if board.all_drawn else f"{rank} ({interval} of {board.drawn})"


def _seeds(entry: Entry) -> str:
    return f"{entry.n}/{entry.planned}" if entry.row.missing else str(entry.n)


def _difference(board: Board, entry: Entry, numbers: Numbers) -> str:
    found = entry.comparison
    if found is None:
        return ""
    low, high = sorted(board.sign * end for end in found.interval)
    shown = numbers.interval(board.sign * found.difference, (low, high), signed=True)
    return f"{shown} {APART}" if shown and board.is_apart(entry) else shown


def _side(found: Comparison | None, name: str) -> float | None:
    """Return the p of the side that the difference is on."""
    if found is None:
        return None
    better, worse = getattr(found, name)
    return float(better if found.difference >= 0 else worse)


def _pairs(found: Comparison | None) -> str:
    if found is None or math.isnan(found.win_rate):
        return ""
    return f"{found.win_rate * found.n:g}/{found.n}"


def _ratio(found: Comparison | None) -> str:
    return "" if found is None or math.isnan(found.effect) else f"{found.effect:+.2f}"


def _two_digits(value: float) -> str:
    return "" if math.isnan(value) else f"{round(value, 2) + 0.0:.2f}"


def _short_metric(name: str) -> str:
    return name.removeprefix("test_")
