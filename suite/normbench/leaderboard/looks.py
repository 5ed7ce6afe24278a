"""Which seeds of a row count at which look, where its stages were declared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from normbench.leaderboard.reading import ReadRow

LEAST_STAGE = 2


@dataclass(frozen=True)
class Looks:
    """When rows that are compared may be looked at.

    Attributes:
        stages: Numbers of seeds, or pairs, at each look that was declared; empty if their number
            was fixed.
        seeds: The seeds that count, in the order in which they are trained; empty if none does,
            None for all of them in the order of their numbers.
        row: The row that they are of; empty for several.
        against: The row that the stages were declared against, which gets the same seeds; empty if
            none was named, None without stages of its own.
    """

    stages: tuple[int, ...] = ()
    seeds: tuple[int, ...] | None = None
    row: str = ""
    against: str | None = None

    @classmethod
    def of(cls, row: ReadRow, otherwise: tuple[int, ...] = ()) -> Looks:
        """Return the looks of a row.

        A row that was given seeds as the reference of another one has a fixed number of them: it
        was not looked at to choose that.

        Args:
            row: The row.
            otherwise: Stages that somebody says a row without stages of its own has.
        """
        if (own := row.staged) is not None:
            return cls(own.stages, own.seeds, row.row, own.reference)
        if otherwise:
            return cls(otherwise, row=row.row)
        given = row.declared.seeds if row.declared is not None else ()
        return cls((), tuple(sorted({*row.runs, *given})), row.row)

    def available(self, shared: Collection[int]) -> tuple[int, ...]:
        """Return those of the *shared* seeds that may count at any look, in their order."""
        if self.seeds is None:
            return tuple(sorted(shared))
        return tuple(seed for seed in self.seeds if seed in shared)

    def counted(self, shared: Collection[int]) -> tuple[int, ...]:
        """Return the seeds that count at the last look that the *shared* ones allow.

        Before the first look these are all.
        """
        found = self.available(shared)
        return found[: max(self.reached(len(found)), default=len(found))]

    def before_first(self, pairs: int) -> bool:
        """Whether so many *pairs* come to no look yet that was declared."""
        return pairs < min(self.stages, default=0)

    def reached(self, pairs: int) -> tuple[int, ...]:
        """Return the stages that so many *pairs* reach."""
        return tuple(takewhile(lambda stage: stage <= pairs, self.stages))


def looks_together(members: Iterable[Looks]) -> Looks:
    """Return the looks at what is computed of several rows with the same seeds.

    This is the one rule for every table, letter and comparison. A seed counts if it counts for each
    row. Whatever stage each of them stopped at, the number of seeds that all of them have is among
    the stages returned, so that a p over these holds wherever they stopped. Where no seed counts
    for all of them, none does for what is computed of them. Where they were declared in different
    orders, the order is that of the smallest list, whichever row is named first.
    """
    together = list(members)
    declared = [looks for looks in together if looks.stages]
    if not declared:
        return Looks()
    lists = [
        set(looks.seeds) | _added(looks, declared) for looks in together if looks.seeds is not None
    ]
    if not lists:
        return Looks(tuple(sorted({stage for looks in declared for stage in looks.stages})))
    shared = set.intersection(*lists)
    first = min((looks.seeds for looks in declared if looks.seeds), default=())
    order = tuple(seed for seed in first if seed in shared)
    return Looks(_stages(declared, order), order)


def _added(looks: Looks, declared: Sequence[Looks]) -> set[int]:
    """Return the seeds that a row of a fixed number gets where others are declared against it.

    How many it has at this moment depends on where they stopped, so that is no bound.
    """
    if looks.against is not None:
        return set()
    bound = (each for each in declared if each.against in ("", looks.row))
    return {seed for each in bound for seed in each.seeds or ()}


def _stages(members: Sequence[Looks], order: Sequence[int]) -> tuple[int, ...]:
    """Return how many of the seeds in *order* each stage of each member has."""
    found: set[int] = set()
    for looks in members:
        trained = looks.seeds or order
        found |= {len(set(order) & set(trained[:stage])) for stage in looks.stages}
    return tuple(sorted(stage for stage in found if stage >= LEAST_STAGE))
