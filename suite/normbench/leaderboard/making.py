"""Making a leaderboard: order, comparisons, verdicts, rank intervals and letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from normbench.leaderboard.against import (
    LEAST_FOR_INTERVAL,
    LEAST_FOR_VERDICT,
    Comparison,
    Rule,
    compare_all,
)
from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.families import correction, holm, letters
from normbench.leaderboard.paired import all_equal, t_test
from normbench.leaderboard.ranks import rank_intervals
from normbench.leaderboard.verdicts import Circumstances, Verdict, verdict_of

MOST_FOR_LETTERS = 60
MOST_FOR_RANKS = 500
Oriented = Sequence[Mapping[int, float]]


def judged(board: Board) -> Board:
    """Return *board* with its entries ordered, compared with the reference, and judged."""
    entries = _ordered(board)
    board = replace(board, entries=entries)
    oriented = [{seed: board.sign * v for seed, v in entry.values.items()} for entry in entries]
    compared = _comparisons(board, oriented)
    ranks = rank_intervals_of(oriented)
    groups = letters_of(oriented, board.terms.alpha)
    finished = tuple(
        replace(
            entry,
            verdict=_verdict(board, entry, compared.get(place)),
            comparison=compared.get(place),
            rank_interval=ranks.get(place),
            letters=groups.get(place, ""),
        )
        for place, entry in enumerate(entries)
    )
    return replace(board, entries=finished)


def _ordered(board: Board) -> tuple[Entry, ...]:
    """Return the entries by their means, those without values last; equal means share a rank."""

    def key(entry: Entry) -> tuple[bool, float, str]:
        return entry.mean is None, -board.sign * (entry.mean or 0.0), entry.row.row

    ranked: list[Entry] = []
    for place, entry in enumerate(sorted(board.entries, key=key), 1):
        shared = ranked and ranked[-1].mean == entry.mean
        rank = ranked[-1].rank if shared else place
        ranked.append(replace(entry, rank=None if entry.mean is None else rank))
    return tuple(ranked)


def _comparisons(board: Board, oriented: Oriented) -> dict[int, Comparison]:
    chosen = board.reference.row
    if chosen is None:
        return {}
    at = next(i for i, entry in enumerate(board.entries) if entry.row.row == chosen.row)
    others = [i for i in range(len(oriented)) if i != at]
    rule = Rule(
        alpha=board.terms.alpha,
        adjust=correction(board.terms.correction),
        smallest=board.metric.smallest_difference,
        stages=board.terms.stages,
    )
    found = compare_all([oriented[i] for i in others], oriented[at], rule)
    return dict(zip(others, found, strict=True))


def _verdict(board: Board, entry: Entry, compared: Comparison | None) -> Verdict | None:
    reference = board.reference.row
    if reference is None:
        return None
    if compared is None:
        return Verdict.REFERENCE
    missing = bool(entry.row.missing or reference.missing) and not board.terms.allow_incomplete
    unplanned = bool(board.terms.stages) and compared.n not in board.terms.stages
    given = Circumstances(
        alpha=board.terms.alpha,
        diverged=bool(entry.row.diverged),
        reference_diverged=bool(reference.diverged),
        exploratory=board.exploratory or missing or unplanned,
    )
    return verdict_of(compared, given)


def rank_intervals_of(oriented: Oriented) -> dict[int, tuple[int, int]]:
    """Return rank intervals by place, over the seeds that all rows of three seeds or more share."""
    places = [i for i, scores in enumerate(oriented) if len(scores) >= LEAST_FOR_INTERVAL]
    if len(places) < 2 or len(places) > MOST_FOR_RANKS:
        return {}
    seeds = sorted(set.intersection(*(set(oriented[i]) for i in places)))
    if len(seeds) < LEAST_FOR_INTERVAL:
        return {}
    table = np.array([[oriented[i][seed] for seed in seeds] for i in places])
    return dict(zip(places, rank_intervals(table), strict=True))


def letters_of(oriented: Oriented, alpha: float) -> dict[int, str]:
    """Return the letters of rows with five seeds or more, by place; none above sixty rows."""
    places = [i for i, scores in enumerate(oriented) if len(scores) >= LEAST_FOR_VERDICT]
    if len(places) < 2 or len(places) > MOST_FOR_LETTERS:
        return {}
    p = pairwise_p([oriented[i] for i in places])
    return dict(zip(places, letters(p < alpha), strict=True))


def pairwise_p(rows: Oriented) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return Holm's two-sided p of the paired t-test for each pair of rows; nan if untestable."""
    pairs = list(combinations(range(len(rows)), 2))
    adjusted = holm(np.array([_two_sided(rows[i], rows[j]) for i, j in pairs], dtype=np.float64))
    table = np.full((len(rows), len(rows)), np.nan)
    for (i, j), p in zip(pairs, adjusted, strict=True):
        table[i, j] = table[j, i] = p
    return table


def _two_sided(first: Mapping[int, float], second: Mapping[int, float]) -> float:
    seeds = sorted(first.keys() & second.keys())
    if len(seeds) < LEAST_FOR_VERDICT:
        return np.nan
    new, base = (np.array([scores[seed] for seed in seeds]) for scores in (first, second))
    if all_equal(new - base, float(max(np.abs(new).max(), np.abs(base).max()))):
        return np.nan
    p = float(t_test(new - base)[1])
    return 2 * min(p, 1 - p)
