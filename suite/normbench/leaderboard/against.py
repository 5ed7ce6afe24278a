"""Rows against one reference: all the numbers of a comparison, for a whole table at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from normbench.leaderboard import paired, staged
from normbench.leaderboard.looks import Looks
from normbench.leaderboard.paired import Floats
from normbench.power import detectable_effect

Scores = Mapping[int, float]
LEAST_FOR_INTERVAL = 3
LEAST_FOR_VERDICT = 5


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A row against the reference; differences and effects are positive where the row is better.

    What cannot be computed is nan.

    Attributes:
        seeds: Seeds that both have and that count.
        left_out: Seeds that only one of them has.
        uncounted: Seeds that both have and that do not count: they came after the last declared
            look, or before the stages were declared.
        stages: Declared numbers of seeds, where they were added until decided.
        difference: Mean paired difference, in the metric's unit.
        interval: Its 95 % t interval.
        t: Statistic of the paired t-test.
        p: One-sided p that the row is better, and that it is worse.
        p_adjusted: The same, corrected over the table's two families.
        flip: Exact sign-flip p of both sides.
        flip_adjusted: The same, corrected over the table.
        win_rate: Share of pairs won, ties a half.
        effect: Difference over the smallest difference of interest.
        standardised: Hedges' g of the paired differences.
        detectable: Difference found with probability 0.8, at the spread measured here.
        correlation: Pearson's correlation of the pairs.
        equivalent: Whether the difference is shown to be below the smallest one of interest.
        p_equivalent: The p of that, the larger one of two one-sided t-tests.
        deterministic: Whether all differences are equal.
    """

    seeds: tuple[int, ...]
    left_out: tuple[int, ...]
    uncounted: tuple[int, ...] = ()
    stages: tuple[int, ...] = ()
    difference: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    t: float = math.nan
    p: tuple[float, float] = (math.nan, math.nan)
    p_adjusted: tuple[float, float] = (math.nan, math.nan)
    flip: tuple[float, float] = (math.nan, math.nan)
    flip_adjusted: tuple[float, float] = (math.nan, math.nan)
    win_rate: float = math.nan
    effect: float = math.nan
    standardised: float = math.nan
    detectable: float = math.nan
    correlation: float = math.nan
    equivalent: bool = False
    p_equivalent: float = math.nan
    deterministic: bool = False

    @property
    def n(self) -> int:
        """Number of pairs that count."""
        return len(self.seeds)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How comparisons are made.

    Attributes:
        alpha: Probability of any false claim in a family.
        adjust: Corrects the p values of a family.
        smallest: Smallest difference of interest.
    """

    alpha: float
    adjust: Callable[[Floats], Floats]
    smallest: float


def compare_all(
    rows: Sequence[Scores],
    reference: Scores,
    rule: Rule,
    looks: Sequence[Looks] = (),
    own: Mapping[int, Scores] | None = None,
) -> list[Comparison]:
    """Compare each of *rows* with the *reference*; scores are oriented so that larger is better.

    Rows below five pairs can get no verdict and belong to no family.

    Args:
        rows: Scores of each row by seed.
        reference: The same of what they are compared with.
        rule: How.
        looks: When each row may be looked at; none if seeds were added to none of them.
        own: By place in *rows*, what is compared with another reference than the others are.
    """
    looks = looks or [Looks()] * len(rows)
    bases = [(own or {}).get(place, reference) for place in range(len(rows))]
    counted = [
        each.counted(row.keys() & base.keys())
        for row, base, each in zip(rows, bases, looks, strict=True)
    ]
    columns = _measured(rows, bases, rule, counted, looks)
    testable = columns["n"] >= LEAST_FOR_VERDICT
    for name in ("p", "flip"):
        for side in ("better", "worse"):
            family = np.where(testable, columns[f"{name}_{side}"], np.nan)
            columns[f"{name}_{side}_adjusted"] = rule.adjust(family)
    columns["detectable"] = _detectable(columns, rule)
    return [
        _comparison(row, bases[i], counted[i], looks[i].stages, columns, i, rule)
        for i, row in enumerate(rows)
    ]


def _measured(
    rows: Sequence[Scores],
    bases: Sequence[Scores],
    rule: Rule,
    counted: Sequence[tuple[int, ...]],
    looks: Sequence[Looks],
) -> dict[str, Floats]:
    """Return the statistics of all rows as columns, computed for rows of the same seeds at once."""
    alike: dict[tuple[tuple[int, ...], tuple[int, ...], int], list[int]] = {}
    for place, seeds in enumerate(counted):
        alike.setdefault((seeds, looks[place].stages, id(bases[place])), []).append(place)
    columns: dict[str, Floats] = {name: np.full(len(rows), np.nan) for name in _COLUMNS}
    for (seeds, stages, _), places in alike.items():
        columns["n"][places] = len(seeds)
        if not seeds:
            continue
        new = np.array([[rows[place][seed] for seed in seeds] for place in places])
        base = np.array([bases[places[0]][seed] for seed in seeds])
        for name, values in _statistics(new, base, rule, stages).items():
            columns[name][places] = values
    return columns


_COLUMNS = (
    *("n", "difference", "low", "high", "t", "p_better", "p_worse", "flip_better", "flip_worse"),
    *("win_rate", "effect", "standardised", "spread", "correlation", "p_equivalent", "same"),
)


def _statistics(
    new: Floats, base: Floats, rule: Rule, stages: tuple[int, ...]
) -> dict[str, Floats]:
    differences = new - base
    n = len(base)
    mean = differences.mean(-1)
    largest = max(float(np.abs(new).max()), float(np.abs(base).max()))
    found: dict[str, Floats] = {
        "difference": mean,
        "win_rate": paired.win_rate(differences),
        "effect": mean / rule.smallest if rule.smallest else np.full(len(mean), np.nan),
        "same": paired.all_equal(differences, largest).astype(np.float64),
    }
    if n < LEAST_FOR_INTERVAL:
        return found
    varying = found["same"] == 0
    low, high = paired.t_interval(differences)
    t, _ = paired.t_test(differences)
    better, worse = (staged.p_of_looks(side * differences, stages) for side in (1, -1))
    tested = {
        "low": low,
        "high": high,
        "t": t,
        "p_better": better,
        "p_worse": worse,
        "flip_better": staged.flip_of_looks(differences, stages),
        "flip_worse": staged.flip_of_looks(-differences, stages),
        "standardised": paired.standardised(differences),
        "spread": differences.std(-1, ddof=1),
        "p_equivalent": staged.equivalence_p(differences, rule.smallest, stages),
    }
    untested = {name: np.where(varying, values, np.nan) for name, values in tested.items()}
    return {**found, **untested, "correlation": paired.correlation(new, base)}


def _detectable(columns: Mapping[str, Floats], rule: Rule) -> Floats:
    """Return the difference that each row's pairs would find with probability 0.8."""
    members = max(1, int((~np.isnan(columns["p_better_adjusted"])).sum()))
    counts = {int(n) for n in columns["n"] if n >= LEAST_FOR_INTERVAL}
    effects = {
        n: detectable_effect(n, comparisons=members, alpha=rule.alpha) for n in sorted(counts)
    }
    sizes = np.array([effects.get(int(n), math.nan) for n in columns["n"]])
    return np.asarray(sizes * columns["spread"])


def _comparison(
    row: Scores,
    reference: Scores,
    seeds: tuple[int, ...],
    stages: tuple[int, ...],
    columns: Mapping[str, Floats],
    place: int,
    rule: Rule,
) -> Comparison:
    values = {name: float(column[place]) for name, column in columns.items()}

    def both(name: str, ending: str = "") -> tuple[float, float]:
        return values[f"{name}_better{ending}"], values[f"{name}_worse{ending}"]

    return Comparison(
        seeds=seeds,
        left_out=tuple(sorted(row.keys() ^ reference.keys())),
        uncounted=tuple(sorted((row.keys() & reference.keys()) - set(seeds))),
        stages=stages,
        difference=values["difference"],
        interval=(values["low"], values["high"]),
        t=values["t"],
        p=both("p"),
        p_adjusted=both("p", "_adjusted"),
        flip=both("flip"),
        flip_adjusted=both("flip", "_adjusted"),
        win_rate=values["win_rate"],
        effect=values["effect"],
        standardised=values["standardised"],
        detectable=values["detectable"],
        correlation=values["correlation"],
        equivalent=values["p_equivalent"] < rule.alpha,
        p_equivalent=values["p_equivalent"],
        deterministic=values["same"] == 1,
    )
