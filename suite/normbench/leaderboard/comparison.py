"""Two rows in depth: every seed, what the test assumes, and a sentence in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from statistics import stdev

import numpy as np

from normbench.comparable import comparable, mixture
from normbench.descriptions import Metric
from normbench.errors import UsageError
from normbench.leaderboard.against import (
    LEAST_FOR_INTERVAL,
    LEAST_FOR_VERDICT,
    Comparison,
    Rule,
    compare_all,
)
from normbench.leaderboard.censored import sooner
from normbench.leaderboard.choosing import row_label
from normbench.leaderboard.families import unadjusted
from normbench.leaderboard.looks import Looks, looks_together
from normbench.leaderboard.notes import about_damage
from normbench.leaderboard.paired import Floats, t_test
from normbench.leaderboard.precision_notes import about_precision
from normbench.leaderboard.provenance import target_times
from normbench.leaderboard.reading import Reader, ReadRow
from normbench.leaderboard.values import metric_named, values_of
from normbench.power import detectable_effect, pairs_needed
from normbench.quantities import counted


@dataclass(frozen=True, kw_only=True)
class Duel:
    """Two rows, seed by seed.

    Attributes:
        new: The one in question.
        base: What it is compared with.
        metric: What they are judged by.
        values: Values of both by seed.
        comparison: All statistics, positive where *new* is better; what is detectable there is so
            by a one-sided test.
        alpha: Probability of telling two apart that are alike.
        target: Share of seeds in which *new* reaches the target sooner, two-sided p of the sign
            test, and pairs; None without a target.
        precision: What a reader must know of the precision of both, in sentences.
    """

    new: ReadRow
    base: ReadRow
    metric: Metric
    values: tuple[dict[int, float], dict[int, float]]
    comparison: Comparison
    alpha: float = 0.05
    target: tuple[float, float, int] | None = None
    precision: tuple[str, ...] = ()

    @property
    def sign(self) -> int:
        """1 where larger is better, -1 where smaller is."""
        return 1 if self.metric.direction == "max" else -1

    @property
    def differences(self) -> dict[int, float]:
        """New minus base of each seed that both have, in the metric's unit."""
        new, base = self.values
        return {seed: new[seed] - base[seed] for seed in self.comparison.seeds}

    @property
    def p(self) -> float:
        """Two-sided p of the paired t-test; nan if there is none."""
        return min(2 * min(self.comparison.p), 1.0)

    @property
    def detectable(self) -> float:
        """Difference that the two-sided test finds with probability 0.8 at the spread seen here."""
        if math.isnan(self.comparison.detectable):
            return math.nan
        return detectable_effect(self.comparison.n, alpha=self.alpha / 2) * self.spread

    @property
    def needed(self) -> int | None:
        """Pairs that find the smallest difference of interest so; None if they are too many."""
        return pairs_needed(self.metric.smallest_difference / self.spread, alpha=self.alpha / 2)

    @property
    def spread(self) -> float:
        """Standard deviation of the differences."""
        return stdev(self.differences.values())

    @property
    def flip(self) -> float:
        """Two-sided exact sign-flip p; nan if there is none."""
        return min(1.0, 2 * min(self.comparison.flip))


def duel(new: ReadRow, base: ReadRow, reader: Reader, metric: str | None, alpha: float) -> Duel:
    """Compare two rows.

    Raises:
        UsageError: If they are one, may not be compared, or share no seed; with the reason.
    """
    if new.row == base.row:
        raise UsageError(f"both words name the row {new.row[:8]} ({row_label(new)}). Name two.")
    if words := mixture(comparable(new.identity), comparable(base.identity)):
        raise UsageError(
            f"{row_label(new)} and {row_label(base)} cannot be compared: they differ in "
            f"{', '.join(words)}. Train both alike; only norm, ablation and optimizer may differ."
        )
    chosen = metric_named(metric, new.metric)
    values = [dict(found) for found in values_of([new, base], chosen, reader)]
    if not values[0].keys() & values[1].keys():
        raise UsageError(
            f"{row_label(new)} has results of seeds {sorted(values[0])}, {row_label(base)} of "
            f"{sorted(values[1])}: they share none, so nothing is paired. Train the same seeds."
        )
    sign = 1 if chosen.direction == "max" else -1
    oriented = [{seed: sign * value for seed, value in each.items()} for each in values]
    rule = Rule(alpha=alpha, adjust=unadjusted, smallest=chosen.smallest_difference)
    looks = looks_together((Looks.of(new), Looks.of(base)))
    return Duel(
        new=new,
        base=base,
        metric=chosen,
        values=(values[0], values[1]),
        comparison=compare_all(oriented[:1], oriented[1], rule, [looks])[0],
        alpha=alpha,
        target=sooner(_times(new, reader), _times(base, reader)),
        precision=tuple(chain.from_iterable(about_precision([new, base], reader))),
    )


def _times(row: ReadRow, reader: Reader) -> dict[int, float | None]:
    seeds = {run.fingerprint: seed for seed, run in row.runs.items() if run.score is not None}
    results = reader.results(seeds)
    return target_times({seeds[name]: result for name, result in results.items()}, "epochs")


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What can be seen of the t-test's assumption that differences are roughly normal.

    Attributes:
        skewness: Third standardised moment of the differences, 0 if symmetric.
        furthest: The seed whose difference lies furthest from the median.
        distance: How far, in median absolute deviations.
        without_one: Smallest and largest two-sided p when one seed is left out.
    """

    skewness: float
    furthest: int
    distance: float
    without_one: tuple[float, float]


def assumptions_of(found: Duel) -> Assumptions | None:
    """Look at the differences; None where there is nothing to look at."""
    seeds = found.comparison.seeds
    if found.comparison.deterministic or len(seeds) <= LEAST_FOR_INTERVAL:
        return None
    differences = np.array([found.differences[seed] for seed in seeds])
    gaps = np.abs(differences - np.median(differences))
    spread = float(np.median(gaps))
    return Assumptions(
        skewness=_skewness(differences),
        furthest=seeds[int(np.argmax(gaps))],
        distance=float(gaps.max()) / spread if spread else math.inf,
        without_one=_without_one(differences),
    )


def _skewness(values: Floats) -> float:
    centred = values - values.mean()
    return float((centred**3).mean() / (centred**2).mean() ** 1.5)


def _without_one(differences: Floats) -> tuple[float, float]:
    kept = np.stack([np.delete(differences, i) for i in range(len(differences))])
    one_sided = t_test(kept)[1]
    two_sided = 2 * np.minimum(one_sided, 1 - one_sided)
    # Where all that is left is equal there is no p; the smallest one possible stands for it.
    two_sided = np.nan_to_num(two_sided, nan=0.0)
    return float(two_sided.min()), float(two_sided.max())


def seeds_missing(found: Duel) -> Iterator[str]:
    """Yield what is to be said of too few pairs, missing seeds and seeds that diverged."""
    n = found.comparison.n
    if n < LEAST_FOR_VERDICT:
        verb = "is" if n == 1 else "are"
        enough = "too few" if n < LEAST_FOR_INTERVAL else "enough for a look only"
        yield f"{counted(n, 'pair')} {verb} {enough}: train more seeds."
    for row in (found.new, found.base):
        if row.missing:
            yield f"{row_label(row)} lacks results of seeds {', '.join(map(str, row.missing))}."
        yield from about_damage([row], row_label)
        if row.diverged:
            yield (
                f"{row_label(row)} diverged at seeds {', '.join(map(str, row.diverged))}, which "
                f"count with the worst score, {found.metric.worst:g}: rather than the t-test's p "
                "believe the sign-flip test's."
            )
