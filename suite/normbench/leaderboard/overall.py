"""Methods over the problems of one protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from normbench.leaderboard.across import (
    interquartile_mean,
    normalised,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
)
from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.choosing import one_setting
from normbench.leaderboard.families import holm
from normbench.leaderboard.naming import setting_text
from normbench.leaderboard.new_problems import LEAST_TO_TEST, Friedman, friedman
from normbench.leaderboard.paired import Floats, sign_flip, signed_ranks
from normbench.leaderboard.ranks import average_ranks
from normbench.leaderboard.settings_shown import which_setting
from normbench.quantities import counted

# Close to the reference's mean they lie closer together: that is where methods differ.
LEVELS = (
    *(round(0.05 * i, 2) for i in range(18)),
    *(round(0.005 * i, 3) for i in range(180, 221)),
    *(round(0.05 * i, 2) for i in range(23, 31)),
)
Method = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A method over the problems that it was run on.

    Attributes:
        norm: Norm with what was changed of it.
        optimizer: Optimizer.
        problems: Number of problems.
        mean: Interquartile mean of normalised scores, 0 for the worst score, 1 for the reference.
        interval: Its 95 % bootstrap interval, for these problems.
        improvement: Probability that a seed of it beats a seed of the reference, averaged over
            problems.
        p: Two-sided p of the exact signed-rank test of its means against the reference's over
            problems, with Holm over the methods; None where there is no test.
        rank: Mean rank over the problems that all ranked methods share; None if it misses one.
        profile: Share of runs above each of :data:`LEVELS` of the normalised score.
    """

    norm: str
    optimizer: str
    problems: int
    mean: float
    interval: tuple[float, float]
    improvement: float
    p: float | None
    rank: float | None
    profile: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Overall:
    """Methods over problems.

    Attributes:
        protocol: What the problems share.
        problems: The problems.
        standings: The methods, the best interquartile mean first.
        test: Friedman's test; None where the number of problems or methods allows none.
        tested: The methods that were run on every problem, in the order of the test's.
        left_out: What was left out, and which settings stand for their cells, in sentences.
        references: What each problem's rows are compared with, in words.
    """

    protocol: str
    problems: tuple[str, ...]
    standings: tuple[Standing, ...]
    test: Friedman | None
    tested: tuple[Method, ...]
    left_out: tuple[str, ...]
    references: tuple[str, ...] = ()


def overall_of(boards: Sequence[Board]) -> list[Overall]:
    """Return methods over problems for each protocol that has at least two problems.

    Only boards with a reference count, judged by their problem's own metric; of several boards of a
    problem under one protocol none does, since any choice among them would be arbitrary. Methods
    are ranked, and corrected for, among all that the boards have, be they shown or not.
    """
    by_protocol: dict[str, list[Board]] = {}
    for board in boards:
        protocol = board.entries[0].row.identity["protocol"]
        name = f"{protocol['name']} version {protocol['version']}, {protocol['precision']}"
        if board.reference.row is not None and board.primary:
            by_protocol.setdefault(name, []).append(board)
    found = (_overall(name, members) for name, members in by_protocol.items())
    return [overall for overall in found if overall is not None]


def _overall(protocol: str, boards: Sequence[Board]) -> Overall | None:
    names = [board.problem for board in boards]
    alone = [board for board in boards if names.count(board.problem) == 1]
    single = [board for board in alone if _has_scale(board)]
    if len(single) < 2:
        return None
    methods, left_out = _methods(single)
    flat = ", ".join(board.problem for board in alone if not _has_scale(board))
    if flat:
        left_out.append(f"Left out, since the reference has the worst score at every seed: {flat}.")
    shared = [method for method, scores in methods.items() if len(scores) == len(single)]
    table = np.array([[scores.mean() for scores in methods[m].values()] for m in shared])
    ranks = average_ranks(table).mean(1) if len(shared) > 1 else np.ones(len(shared))
    rank = dict(zip(shared, ranks, strict=True))
    p = _against_reference(shared, table)
    references = {board.problem: _reference_scores(board) for board in single}
    standings = [
        _standing(method, scores, references, rank.get(method), p.get(method))
        for method, scores in methods.items()
        if len(scores) > 1
    ]
    shown = {_method(entry) for board in single for entry in board.entries}
    hidden = sum((each.norm, each.optimizer) not in shown for each in standings)
    if hidden:
        left_out.append(
            f"Not shown: {counted(hidden, 'method')}; p and ranks are those of the whole table."
        )
    several = sorted({name for name in names if names.count(name) > 1})
    if several:
        left_out.append(f"Left out, with several tables of one problem: {', '.join(several)}.")
    return Overall(
        protocol=protocol,
        problems=tuple(board.problem for board in single),
        standings=tuple(
            sorted(
                (each for each in standings if (each.norm, each.optimizer) in shown),
                key=lambda standing: -standing.mean,
            )
        ),
        test=friedman(table) if len(shared) > 2 else None,
        tested=tuple(shared),
        left_out=tuple(left_out),
        references=tuple(map(_reference_words, single)),
    )


def _method(entry: Entry) -> Method:
    return entry.row.norm_label, entry.row.optimizer


def _reference_words(board: Board) -> str:
    row = board.reference.row
    assert row is not None  # noqa: S101 - such boards were left out before
    return f"{board.problem} {row.norm_label} {row.optimizer} {setting_text(row)}"


def _against_reference(methods: Sequence[Method], table: Floats) -> dict[Method, float]:
    """Return Holm's p of each method against the reference, whose normalised mean is 1."""
    if table.size == 0 or table.shape[1] < LEAST_TO_TEST:
        return {}
    differences = table - 1.0
    same = (np.abs(differences) < 1e-12).all(1)
    ranks = signed_ranks(differences)
    one_sided = np.minimum(sign_flip(ranks), sign_flip(-ranks))
    adjusted = holm(np.where(same, np.nan, np.minimum(2 * one_sided, 1.0)))
    found = zip(methods, adjusted, strict=True)
    return {method: float(value) for method, value in found if not np.isnan(value)}


def _methods(boards: Sequence[Board]) -> tuple[dict[Method, dict[str, Floats]], list[str]]:
    """Return normalised scores by method and problem, and what is left out."""
    methods: dict[Method, dict[str, Floats]] = {}
    left_out = []
    for board in boards:
        told = which_setting([entry.row for entry in board.whole])
        left_out += [f"{board.title}: {sentence}" for sentence in told]
        base = float(_reference_scores(board, raw=True).mean())
        cells: dict[Method, list[Entry]] = {}
        for entry in board.whole:
            if entry.values:
                cells.setdefault(_method(entry), []).append(entry)
        for method, entries in cells.items():
            row = one_setting([entry.row for entry in entries])
            if row is None:
                continue
            values = next(entry.values for entry in entries if entry.row.row == row.row)
            scores = normalised(np.array(list(values.values())), board.metric.worst, base)
            methods.setdefault(method, {})[board.problem] = scores
    return methods, left_out


def _has_scale(board: Board) -> bool:
    """Whether the reference is better than the worst score: between them lies the scale."""
    return bool((_reference_scores(board, raw=True) != board.metric.worst).any())


def _reference_scores(board: Board, *, raw: bool = False) -> Floats:
    assert board.reference.row is not None  # noqa: S101 - such boards were left out before
    name = board.reference.row.row
    values = next(entry.values for entry in board.whole if entry.row.row == name)
    scores = np.array(list(values.values()))
    return scores if raw else normalised(scores, board.metric.worst, float(scores.mean()))


def _standing(
    method: Method,
    scores: Mapping[str, Floats],
    references: Mapping[str, Floats],
    rank: float | None,
    p: float | None,
) -> Standing:
    values = list(scores.values())
    profile = performance_profile(values, np.array(LEVELS))
    return Standing(
        norm=method[0],
        optimizer=method[1],
        problems=len(scores),
        mean=interquartile_mean(np.concatenate(values)),
        interval=stratified_interval(values),
        improvement=fmean(probability_of_improvement(v, references[p]) for p, v in scores.items()),
        p=p,
        rank=None if rank is None else float(rank),
        profile=tuple(float(share) for share in profile),
    )
