"""The smallest difference that the planned seeds of a table can detect.

A table is what a leaderboard makes one of: rows that share all but norm, ablation and optimizer.
Each rival is compared with the reference by a one-sided paired t-test; Holm over the rivals is
counted with its first step, α/m, so that a rival of that difference is found whatever the others
do.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from normbench.comparable import comparable, titles
from normbench.descriptions import Metric
from normbench.forecast.cells import Cell
from normbench.leaderboard.references import REFERENCE_OPTIMIZERS, default_norms
from normbench.plugins import Catalogue
from normbench.power import detectable_effect, pairs_needed
from normbench.publications import Publication, PublishedResult
from normbench.specs import RunSpec
from normbench.statistics import ROUNDING

LEAST_PAIRS = 3


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """Standard deviation of the difference of two rows over seeds.

    Attributes:
        value: In the metric's unit.
        source: Where it comes from, in words.
    """

    value: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What the planned seeds of one table can detect.

    Attributes:
        title: Its problem, its protocol and what tells it from the plan's other tables.
        problem: Its problem.
        protocol: Its protocol.
        metric: What is compared.
        reference: The row that the others are compared with, in words.
        declared: Whether the suite names that row; else it is the usual one, or the first.
        rivals: Rows compared with it.
        pairs: Planned seeds that a rival shares with it, the number that most have.
        effect: Smallest difference detected, in standard deviations of a difference; None below
            two pairs.
        deviation: Standard deviation of a difference; None if nothing is known of it.
        pairs_needed: Seeds that would detect the smallest difference of interest; None if that
            cannot be told, or is beyond any plan.
    """

    title: str
    problem: str
    protocol: str
    metric: Metric
    reference: str
    declared: bool
    rivals: int
    pairs: int
    effect: float | None
    deviation: Deviation | None
    pairs_needed: int | None

    @property
    def difference(self) -> float | None:
        """Smallest difference detected, in the metric's unit."""
        if self.effect is None or self.deviation is None:
            return None
        return self.effect * self.deviation.value


def detections(
    cells: Sequence[Cell], catalogue: Catalogue, references: Iterable[str] = ()
) -> list[Detection]:
    """Return what each table of *cells* can detect.

    Args:
        cells: The plan.
        catalogue: Knows default norms and spreads that others measured.
        references: Rows that the suite declares as references.
    """
    declared = frozenset(references)
    return [
        _detection(title, table, catalogue, declared) for title, table in tables_of(cells).items()
    ]


def tables_of(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Return the resolved *cells* that may be compared with each other, by title."""
    groups: dict[str, list[Cell]] = {}
    words: dict[str, tuple[str, ...]] = {}
    for cell in cells:
        if (spec := cell.spec) is not None:
            key = comparable(spec.identity)
            groups.setdefault(key, []).append(cell)
            words.setdefault(key, (spec.problem.name, spec.protocol.name, *spec.deviations))
    named = titles(words)
    return {named[key]: members for key, members in groups.items()}


def _detection(
    title: str, table: Sequence[Cell], catalogue: Catalogue, declared: frozenset[str]
) -> Detection:
    reference = _reference(table, catalogue, declared)
    spec, rivals = _spec(reference), [cell for cell in table if cell is not reference]
    metric = spec.problem.metric
    pairs = _usual(len(_seeds(reference) & _seeds(rival)) for rival in rivals or [reference])
    deviation = _paired_deviation(reference, rivals) or _published_deviation(spec, catalogue)
    comparisons = max(1, len(rivals))
    effect = detectable_effect(pairs, comparisons=comparisons) if pairs > 1 else None
    needed = None
    if deviation is not None:
        wanted = metric.smallest_difference / deviation.value
        needed = pairs_needed(wanted, comparisons=comparisons)
    return Detection(
        title=title,
        problem=spec.problem.name,
        protocol=spec.protocol.name,
        metric=metric,
        reference=f"{spec.norm_label} {spec.optimizer_label}",
        declared=spec.row in declared,
        rivals=len(rivals),
        pairs=pairs,
        effect=effect,
        deviation=deviation,
        pairs_needed=needed,
    )


def _reference(table: Sequence[Cell], catalogue: Catalogue, declared: frozenset[str]) -> Cell:
    """Return the row that a leaderboard of the plan would take, else the first."""
    for cell in table:
        if _spec(cell).row in declared:
            return cell
    norms = default_norms(_spec(table[0]).problem.name, catalogue)
    for names in itertools.product(norms, REFERENCE_OPTIMIZERS):
        for cell in table:
            spec = _spec(cell)
            if (spec.norm_label, spec.optimizer.name) == names:
                return cell
    return table[0]


def _paired_deviation(reference: Cell, rivals: Sequence[Cell]) -> Deviation | None:
    """Return the deviation pooled over the rivals that have enough pairs in the store.

    A rival whose differences are all equal has no spread to learn from: the two are deterministic.
    """
    base = _scores(reference)
    squares, freedom = 0.0, 0
    for rival in rivals:
        scores = _scores(rival)
        pairs = [(scores[seed], base[seed]) for seed in scores.keys() & base.keys()]
        differences = [one - other for one, other in pairs]
        if len(pairs) >= LEAST_PAIRS and _vary(pairs):
            squares += statistics.variance(differences) * (len(differences) - 1)
            freedom += len(differences) - 1
    if not squares:
        return None
    found = math.sqrt(squares / freedom)
    return Deviation(value=found, source=f"pairs in the store, {freedom} degrees of freedom")


def _vary(pairs: Sequence[tuple[float, float]]) -> bool:
    """Whether the differences of *pairs* differ by more than rounding does."""
    differences = [one - other for one, other in pairs]
    largest = max(abs(score) for pair in pairs for score in pair)
    return max(differences) - min(differences) > ROUNDING * largest


def _published_deviation(spec: RunSpec, catalogue: Catalogue) -> Deviation | None:
    """Return the deviation of a difference of two independent runs of the median spread."""
    wanted = (spec.problem.name, spec.problem.metric.name)
    every = [
        result
        for offer in catalogue.offers(Publication)
        for result in offer.component.load()(offer.component.name)
        if (result.problem, result.metric) == wanted and result.sd
    ]
    if not every:
        return None
    # Another schedule or batch size spreads seeds otherwise; it is taken for want of better.
    same = [result for result in every if result.protocol == spec.protocol.name]
    found = same or every
    rules = ", ".join(dict.fromkeys(each.protocol for each in found))
    # What a title adds in brackets is too much here.
    sources = ", ".join(dict.fromkeys(each.source.title.partition(" (")[0] for each in found))
    return Deviation(
        value=math.sqrt(2) * statistics.median(map(_spread, found)),
        source=f"√2 times the median of {len(found)} published rows under "
        f"{'the same' if same else 'other'} rules ({rules}): {sources}",
    )


def _spread(result: PublishedResult) -> float:
    """Return the standard deviation over seeds with n - 1."""
    sd, n = result.sd or 0.0, result.n or 0
    return sd * math.sqrt(n / (n - 1)) if result.spread == "n" and n > 1 else sd


def _scores(cell: Cell) -> Mapping[int, float]:
    return {run.spec.seed: run.score for run in cell.runs if run.score is not None}


def _usual(numbers: Iterable[int]) -> int:
    """Return the commonest number, of several the smallest."""
    return statistics.mode(sorted(numbers))


def _seeds(cell: Cell) -> set[int]:
    return {run.spec.seed for run in cell.runs}


def _spec(cell: Cell) -> RunSpec:
    if cell.spec is None:
        raise ValueError(f"cell {cell.label} could not be resolved")
    return cell.spec
