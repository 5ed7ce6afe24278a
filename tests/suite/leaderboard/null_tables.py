"""How often a table says something false, by simulation.

    null_tables.py TABLES            # print a line for each noise, number of seeds and rivals
    null_tables.py TABLES WORDS      # only the lines whose name has all these words
    null_tables.py TABLES --small    # print the few lines that the tests look at, as JSON

A table has a reference and rivals that are all equal. Its scores are a seed's share (correlation
0.3 between rows) plus noise: normal, heavy-tailed (t with 3 degrees of freedom), or bimodal (each
seed fails with probability 0.15). What counts are verdicts, made as the leaderboard makes them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from normbench.descriptions import Metric
from normbench.leaderboard.against import Rule, compare_all
from normbench.leaderboard.board import Board, Entry, Terms
from normbench.leaderboard.families import holm
from normbench.leaderboard.looks import Looks
from normbench.leaderboard.making import with_verdicts
from normbench.leaderboard.paired import t_test
from normbench.leaderboard.reading import ReadRow, ReadRun
from normbench.leaderboard.references import Reference
from normbench.leaderboard.verdicts import Circumstances, Verdict, verdict_of
from normbench.power import detectable_effect
from normbench.staging.decision import DECISIVE
from normbench.store import Declaration, RunState

ALPHA = 0.05
SHARED = np.sqrt(0.3)
OWN = np.sqrt(0.7)
WORST = -8.0
STAGES = (5, 10, 15, 20)
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.standard_normal(shape)


def heavy(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.standard_t(3, shape)


def bimodal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.standard_normal(shape) - 5.0 * (rng.random(shape) < 0.15)


NOISES: Mapping[str, Draw] = {"normal": normal, "heavy": heavy, "bimodal": bimodal}


def table(draw: Draw, rng: np.random.Generator, rivals: int, seeds: int) -> np.ndarray:
    """Return scores of the reference, in the first row, and of rivals that equal it."""
    return SHARED * rng.standard_normal(seeds) + OWN * draw(rng, (rivals + 1, seeds))


def verdicts(
    scores: np.ndarray,
    *,
    stages: tuple[int, ...] = (),
    diverged: np.ndarray | None = None,
    smallest: float = 0.3,
) -> list[Verdict]:
    """Return the verdicts on all rows but the first."""
    rows = [dict(enumerate(row)) for row in scores.tolist()]
    rule = Rule(alpha=ALPHA, adjust=holm, smallest=smallest)
    looks = [Looks(stages)] * (len(rows) - 1)
    failed = np.zeros(len(scores), dtype=bool) if diverged is None else diverged
    return [
        verdict_of(
            found,
            Circumstances(alpha=ALPHA, diverged=bool(own), reference_diverged=bool(failed[0])),
        )
        for found, own in zip(compare_all(rows[1:], rows[0], rule, looks), failed[1:], strict=True)
    ]


def fixed(tables: int, noise: str, seeds: int, rivals: int) -> dict[str, float]:
    """Return how often a table has any false verdict of each side."""
    rng = np.random.default_rng([7, seeds, rivals, len(noise)])
    counts = dict.fromkeys((Verdict.BETTER, Verdict.WORSE), 0)
    for _ in range(tables):
        found = verdicts(table(NOISES[noise], rng, rivals, seeds))
        for side in counts:
            counts[side] += side in found
    return {side.value: count / tables for side, count in counts.items()}


def staged(tables: int, noise: str, rivals: int, *, corrected: bool) -> dict[str, float]:
    """Return how often any false `better` comes up when seeds are added until one does."""
    rng = np.random.default_rng([11, rivals, len(noise)])
    claims = 0
    for _ in range(tables):
        scores = table(NOISES[noise], rng, rivals, STAGES[-1])
        looks = (verdicts(scores[:, :n], stages=STAGES if corrected else ()) for n in STAGES)
        claims += any(Verdict.BETTER in found for found in looks)
    return {Verdict.BETTER.value: claims / tables}


def until_decided(
    tables: int, noise: str, rivals: int, *, gain: float = 0.0, smallest: float = 0.3
) -> dict[str, float]:
    """Return how often tables ever show a verdict while each row gets seeds until it is decided.

    Every rival has stages of its own declared in a store, and stops once its verdict in the table
    that holds them all is decisive; the last rival has ten seeds from the start. The reference has
    more seeds than most. Tables are made as the leaderboard makes them, of rows as it reads them.

    Args:
        tables: How many.
        noise: What kind.
        rivals: Rows beside the reference.
        gain: How much better all rivals are.
        smallest: Smallest difference of interest.
    """
    rng = np.random.default_rng([29, rivals, len(noise)])
    counts = dict.fromkeys((Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT), 0)
    seeds = 0
    for _ in range(tables):
        scores = table(NOISES[noise], rng, rivals, STAGES[-1])
        scores[1:] += gain
        ever, stopped = _looked_at(scores, smallest)
        seeds += sum(stopped)
        for verdict in counts:
            counts[verdict] += verdict in ever
    rates = {verdict.value: count / tables for verdict, count in counts.items()}
    return {**rates, "seeds of a row": seeds / tables / rivals}


def _looked_at(scores: np.ndarray, smallest: float) -> tuple[set[Verdict], list[int]]:
    """Return all verdicts that a table ever shows, and the seeds at which each rival stopped."""
    stops = [STAGES[0]] * (len(scores) - 1)
    if len(stops) > 1:
        stops[-1] = 10
    fixed = {len(stops)} if len(stops) > 1 else set()
    ever: set[Verdict] = set()
    while True:
        rows = [_row(0, scores[0], None)]
        rows += [
            _row(i, scores[i, :n], None if i in fixed else STAGES) for i, n in enumerate(stops, 1)
        ]
        found = {
            entry.row.row: entry.verdict for entry in with_verdicts(_board(rows, smallest)).entries
        }
        ever |= {verdict for verdict in found.values() if verdict is not None}
        going = [
            i
            for i, n in enumerate(stops, 1)
            if i not in fixed and n < STAGES[-1] and found[str(i)] not in DECISIVE
        ]
        if not going:
            return ever, stops
        for i in going:
            stops[i - 1] = STAGES[STAGES.index(stops[i - 1]) + 1]


def _row(place: int, values: np.ndarray, stages: tuple[int, ...] | None) -> ReadRow:
    name = str(place)
    declared = stages and Declaration(row=name, stages=stages, seeds=tuple(range(stages[-1])))
    return ReadRow(
        row=name,
        problem="null",
        norm=name,
        norm_label=name,
        optimizer="sgd",
        setting={},
        setting_origin="default",
        protocol="standard",
        deviations=(),
        text="{}",
        runs={
            seed: ReadRun(f"{name}-{seed}", RunState.FINISHED, value)
            for seed, value in enumerate(values.tolist())
        },
        declared=declared,
    )


def _board(rows: Sequence[ReadRow], smallest: float) -> Board:
    metric = Metric(name="score", direction="max", worst=WORST, smallest_difference=smallest)
    return Board(
        title="null",
        problem="null",
        metric=metric,
        primary=True,
        entries=tuple(Entry(row=row, values=row.scores) for row in rows),
        reference=Reference(row=rows[0], why="declared"),
        terms=Terms(alpha=ALPHA),
    )


def diverging(tables: int, seeds: int, rivals: int, share: float) -> dict[str, float]:
    """Return false claims where rivals diverge at a share of the seeds and are as good on average.

    When they converge they are better by as much as makes the means equal. A rival that shows no
    diverged seed is taken for what it shows; what the rule for diverged seeds is to prevent is the
    first number, claims for rivals that show one.
    """
    rng = np.random.default_rng([13, seeds, rivals])
    counts = dict.fromkeys(("better though diverged", "better", "worse"), 0)
    for _ in range(tables):
        scores = table(normal, rng, rivals, seeds)
        failed = rng.random(scores.shape) < share
        failed[0] = False
        scores[1:] += -share * WORST / (1 - share)
        scores[failed] = WORST
        found = verdicts(scores, diverged=failed.any(1))
        shown = [v for v, row in zip(found, failed[1:], strict=True) if row.any()]
        counts["better though diverged"] += Verdict.BETTER in shown
        counts["better"] += Verdict.BETTER in found
        counts["worse"] += Verdict.WORSE in found
    return {name: count / tables for name, count in counts.items()}


def power(tables: int, seeds: int, rivals: int) -> dict[str, float]:
    """Return how often one rival better by the stated detectable difference is called better."""
    rng = np.random.default_rng([17, seeds, rivals])
    gain = detectable_effect(seeds, comparisons=rivals) * OWN * np.sqrt(2)
    found = 0
    for _ in range(tables):
        scores = table(normal, rng, rivals, seeds)
        scores[1] += gain
        found += verdicts(scores)[0] is Verdict.BETTER
    return {"found": found / tables}


def equivalence(tables: int, seeds: int) -> dict[str, float]:
    """Return how often a difference of just the smallest one of interest is called equivalent."""
    rng = np.random.default_rng([19, seeds])
    found = 0
    for _ in range(tables):
        scores = table(normal, rng, 1, seeds)
        scores[1] += 2.0
        found += verdicts(scores, smallest=2.0)[0] is Verdict.EQUIVALENT
    return {"equivalent": found / tables}


def uncorrected(tables: int, seeds: int, rivals: int) -> dict[str, float]:
    """Return how often some rival has p below alpha, without any correction."""
    rng = np.random.default_rng([23, seeds, rivals])
    drawn = (table(normal, rng, rivals, seeds) for _ in range(tables))
    return {"any p": float(np.mean([t_test(s[1:] - s[:1])[1].min() < ALPHA for s in drawn]))}


def small(tables: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield what the tests look at."""
    yield "normal 5", fixed(tables, "normal", 5, 5)
    yield "normal 10", fixed(tables, "normal", 10, 2)
    yield "until decided", until_decided(tables, "normal", 2)
    yield "at the margin", until_decided(tables, "normal", 1, gain=0.8, smallest=0.8)
    yield "power", power(tables, 8, 4)
    yield "equivalence", equivalence(tables, 8)
    yield "uncorrected", uncorrected(tables, 5, 10)


def everything(tables: int) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    """Yield the whole simulation, by name."""
    yield from _under_the_null(tables)
    yield "staged normal m=4, not corrected", partial(staged, tables, "normal", 4, corrected=False)
    for margin in (0.5, 1.0):
        at = partial(until_decided, tables, "normal", 1, gain=margin, smallest=margin)
        yield f"until decided at the margin {margin}", at
    for share in (0.1, 0.2, 0.4):
        for seeds in (5, 10, 15):
            yield f"diverging {share} n={seeds} m=4", partial(diverging, tables, seeds, 4, share)
    for seeds in (5, 10, 15):
        for rivals in (1, 4, 15):
            yield f"power n={seeds} m={rivals}", partial(power, tables, seeds, rivals)
        yield f"equivalence at the margin n={seeds}", partial(equivalence, tables, seeds)


def _under_the_null(tables: int) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    for noise in NOISES:
        for seeds in (5, 10, 15):
            for rivals in (1, 4, 9, 15):
                yield f"{noise} n={seeds} m={rivals}", partial(fixed, tables, noise, seeds, rivals)
    for noise in NOISES:
        for rivals in (1, 4, 15):
            name = f"{noise} m={rivals}"
            yield f"staged {name}", partial(staged, tables, noise, rivals, corrected=True)
            yield f"until decided {name}", partial(until_decided, tables, noise, rivals)


def main(words: list[str]) -> None:
    tables = int(words[0])
    if "--small" in words:
        found: dict[str, Any] = dict(small(tables))
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for name, simulate in everything(tables):
        if not all(word in name for word in words[1:]):
            continue
        shown = "  ".join(f"{verdict} {rate:.4f}" for verdict, rate in simulate().items())
        sys.stdout.write(f"{name:40}{shown}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
