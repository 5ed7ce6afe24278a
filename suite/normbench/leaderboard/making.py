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
from normbench.leaderboard.looks import Looks, looks_together
from normbench.leaderboard.paired import all_equal
from normbench.leaderboard.ranks import rank_intervals
from normbench.leaderboard.reading import ReadRow
from normbench.leaderboard.staged import two_sided_p
from normbench.leaderboard.verdicts import Circumstances, Verdict, verdict_of

MOST_FOR_LETTERS = 60
MOST_FOR_RANKS = 500
Oriented = Sequence[Mapping[int, float]]


def judged(board: Board) -> Board:
    """Return *board* with its entries ordered, compared with the reference, and judged."""
    board = with_verdicts(board)
    oriented = _oriented(board)
    ranks = rank_intervals_of(oriented)
    groups = letters_of(oriented, board.terms.alpha, looks_of(board))
    finished = tuple(
        replace(entry, rank_interval=ranks.get(place), letters=groups.get(place, ""))
        for place, entry in enumerate(board.entries)
    )
    return replace(board, entries=finished)


def with_verdicts(board: Board) -> Board:
    """Return *board* with its entries ordered and their verdicts, without rank intervals."""
    board = replace(board, entries=_ordered(board))
    found = _comparisons(board, _oriented(board))
    finished = tuple(
        replace(
            entry, verdict=_verdict(board, entry, found.get(place)), comparison=found.get(place)
        )
        for place, entry in enumerate(board.entries)
    )
    return replace(board, entries=finished)


def _oriented(board: Board) -> Oriented:
    return [{seed: board.sign * v for seed, v in entry.values.items()} for entry in board.entries]


def looks_of(board: Board) -> list[Looks]:
    """Return when each row of *board* may be looked at."""
    stages = board.terms.stages
    return [Looks.of(entry.row, stages) for entry in board.entries]


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
    place = {entry.row.row: i for i, entry in enumerate(board.entries)}
    at = place[chosen.row]
    others = [i for i in range(len(oriented)) if i != at]
    bases = [_place_of_reference(board, board.entries[i], place, at) for i in others]
    own = {k: oriented[base] for k, base in enumerate(bases) if base != at}
    rule = Rule(
        alpha=board.terms.alpha,
        adjust=correction(board.terms.correction),
        smallest=board.metric.smallest_difference,
    )
    looks = looks_of(board)
    when = [looks_together((looks[i], looks[b])) for i, b in zip(others, bases, strict=True)]
    found = compare_all([oriented[i] for i in others], oriented[at], rule, when, own)
    return dict(zip(others, found, strict=True))


def _place_of_reference(board: Board, entry: Entry, place: Mapping[str, int], at: int) -> int:
    reference = board.reference_of(entry.row)
    return at if reference is None else place[reference.row]


def _verdict(board: Board, entry: Entry, compared: Comparison | None) -> Verdict | None:
    reference = board.reference_of(entry.row)
    if reference is None:
        return None
    if compared is None:
        return Verdict.REFERENCE
    unbound = board.lacks_its_reference(entry.row)
    missing = lacks_results(entry.row, reference, compared) and not board.terms.allow_incomplete
    unplanned = not at_declared_look(entry.row, compared)
    given = Circumstances(
        alpha=board.terms.alpha,
        diverged=bool(entry.row.diverged),
        reference_diverged=bool(reference.diverged),
        exploratory=(
            board.exploratory or board.comes_second(entry) or (missing or unplanned or unbound)
        ),
    )
    return verdict_of(compared, given)


def lacks_results(row: ReadRow, reference: ReadRow, compared: Comparison) -> bool:
    """Whether results are missing that the comparison should be made of.

    Where one of them has declared stages, what comes after the seeds of the last look is not among
    them.
    """
    looks = looks_together((Looks.of(row), Looks.of(reference)))
    if not looks.stages or looks.seeds is None:
        return bool(row.missing or reference.missing)
    hole = compared.seeds != looks.seeds[: compared.n]
    return hole or (bool(row.missing) and not row.staged)


def judged_incomplete(board: Board) -> bool:
    """Whether rows of *board* were judged although results are missing, since that was asked."""
    return board.terms.allow_incomplete and any(
        (reference := board.reference_of(entry.row)) is not None
        and entry.comparison is not None
        and lacks_results(entry.row, reference, entry.comparison)
        for entry in board.whole
    )


def at_declared_look(row: ReadRow, compared: Comparison) -> bool:
    """Whether the comparison is of a look that was declared, or the number of seeds was fixed."""
    if row.staged is not None:
        return compared.n in compared.stages and not row.staged.late
    return not Looks(compared.stages).before_first(compared.n)


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


def letters_of(oriented: Oriented, alpha: float, looks: Sequence[Looks] = ()) -> dict[int, str]:
    """Return the letters of rows with five seeds or more, by place; none above sixty rows.

    Args:
        oriented: Scores by seed, larger is better.
        alpha: Probability of telling any two apart that are alike.
        looks: When each row may be looked at; none if seeds were added to none of them.
    """
    places = [i for i, scores in enumerate(oriented) if len(scores) >= LEAST_FOR_VERDICT]
    if len(places) < 2 or len(places) > MOST_FOR_LETTERS:
        return {}
    when = [looks[i] for i in places] if looks else ()
    p = pairwise_p([oriented[i] for i in places], when)
    return dict(zip(places, letters(p < alpha), strict=True))


def pairwise_p(
    rows: Oriented, looks: Sequence[Looks] = ()
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return Holm's two-sided p of the paired t-test for each pair of rows; nan if untestable."""
    pairs = list(combinations(range(len(rows)), 2))
    when = looks or [Looks()] * len(rows)
    raw = [_two_sided(rows[i], rows[j], looks_together((when[i], when[j]))) for i, j in pairs]
    adjusted = holm(np.array(raw, dtype=np.float64))
    table = np.full((len(rows), len(rows)), np.nan)
    for (i, j), p in zip(pairs, adjusted, strict=True):
        table[i, j] = table[j, i] = p
    return table


def share_too_few(entries: Sequence[Entry]) -> bool:
    """Whether two rows share a letter since too few seeds count for both of them to be tested."""
    lettered = [(entry.values, Looks.of(entry.row)) for entry in entries if entry.letters]
    return any(
        not _testable(first, second, looks_together((own, other)))
        for (first, own), (second, other) in combinations(lettered, 2)
    )


def _testable(
    first: Mapping[int, float], second: Mapping[int, float], looks: Looks
) -> tuple[int, ...]:
    """Return the seeds that two rows are tested at; none before their first look."""
    seeds = looks.counted(first.keys() & second.keys())
    few = len(seeds) < LEAST_FOR_VERDICT or looks.before_first(len(seeds))
    return () if few else seeds


def _two_sided(first: Mapping[int, float], second: Mapping[int, float], looks: Looks) -> float:
    seeds = _testable(first, second, looks)
    if not seeds:
        return np.nan
    new, base = (np.array([scores[seed] for seed in seeds]) for scores in (first, second))
    if all_equal(new - base, float(max(np.abs(new).max(), np.abs(base).max()))):
        return np.nan
    return two_sided_p(new - base, looks.stages)
