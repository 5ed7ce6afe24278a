"""A leaderboard: the rows of one problem under the same rules, against one reference. Values only.

It is made by :func:`normbench.leaderboard.making.make_board`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, median

import numpy as np

from normbench.descriptions import Metric
from normbench.leaderboard.against import LEAST_FOR_INTERVAL, Comparison
from normbench.leaderboard.censored import TimeToTarget
from normbench.leaderboard.naming import row_names
from normbench.leaderboard.paired import mean_interval
from normbench.leaderboard.reading import ReadRow
from normbench.leaderboard.references import Reference
from normbench.leaderboard.verdicts import Verdict

# A larger one may have been chosen after looking at p.
USUAL_ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a table is made; said in its last lines.

    Attributes:
        alpha: Probability of any false `better`, and of any false `worse`.
        correction: ``holm``, ``bh`` or ``none``.
        stages: Numbers of seeds at which rows were looked at that have no declaration of their own.
        allow_incomplete: Whether rows with missing seeds get verdicts.
    """

    alpha: float = USUAL_ALPHA
    correction: str = "holm"
    stages: tuple[int, ...] = ()
    allow_incomplete: bool = False

    @property
    def confirmatory(self) -> bool:
        """Whether the probability of any false claim is bounded, by no more than usual."""
        return self.correction == "holm" and self.alpha <= USUAL_ALPHA


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a row costs, on one kind of hardware.

    Attributes:
        seconds: Median training seconds of a finished run.
        range: Fewest and most of them.
        target: How soon the target is reached, in epochs.
        target_seconds: The same in seconds.
        engines: Number of its runs by the engine that trained them, empty where that is not known.
    """

    seconds: float | None = None
    range: tuple[float, float] | None = None
    target: TimeToTarget | None = None
    target_seconds: TimeToTarget | None = None
    engines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where the runs of a table were trained, and with what.

    Attributes:
        known: Whether it was looked at.
        hardware: Number of runs by device.
        versions: Number of runs by versions of packages.
        commits: Number of runs by git commit of normbench, empty where there was none.
    """

    known: bool = False
    hardware: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    commits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of the table.

    Attributes:
        row: What it is.
        values: Its values by seed.
        rank: Place by mean, 1 is best; None without values.
        verdict: What the comparison comes to; None if the table has no reference.
        comparison: The comparison with the reference; None for the reference itself.
        rank_interval: Holds 90 % of its ranks among the rows that have one, when seeds are drawn
            again.
        letters: Rows that share one are not told apart by Holm's all-pairs tests.
        costs: What it costs.
    """

    row: ReadRow
    values: Mapping[int, float]
    rank: int | None = None
    verdict: Verdict | None = None
    comparison: Comparison | None = None
    rank_interval: tuple[int, int] | None = None
    letters: str = ""
    costs: Costs = Costs()

    @property
    def n(self) -> int:
        """Seeds with a value."""
        return len(self.values)

    @property
    def planned(self) -> int:
        """Seeds that the store has runs of, trained or not."""
        return len(self.row.runs)

    @cached_property
    def mean(self) -> float | None:
        """Mean value, diverged seeds with the worst one; None without values."""
        return fmean(self.values.values()) if self.values else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % t interval of the mean; None below three seeds."""
        if self.n < LEAST_FOR_INTERVAL:
            return None
        return mean_interval(self.values.values())

    @property
    def range(self) -> tuple[float, float] | None:
        """Smallest and largest value."""
        return (min(self.values.values()), max(self.values.values())) if self.values else None

    @property
    def median(self) -> float | None:
        """Median value."""
        return median(self.values.values()) if self.values else None

    @property
    def converged_mean(self) -> float | None:
        """Mean over seeds that did not diverge; never what rows are ordered by."""
        kept = [value for seed, value in self.values.items() if seed not in self.row.diverged]
        return fmean(kept) if kept else None


@dataclass(frozen=True, kw_only=True)
class Board:
    """The rows of one problem under the same rules.

    Attributes:
        title: Problem, protocol and what else tells it from other tables.
        problem: The problem by name.
        metric: What rows are judged by.
        primary: Whether that is the problem's own metric.
        entries: The rows, the best mean first.
        reference: What they are compared with.
        terms: How the table was made.
        provenance: Where the runs were trained.
        digest: Of the rows and values that the table is made of.
        notes: What a reader must know, in sentences.
        head: What a reader must know before the numbers, in sentences.
        apart: Its other rows, which were asked not to be shown: all were judged together.
        dated: Comparable rows that a date leaves out, since all of their results are older.
        trimmed: Comparable rows of which a date leaves out some results.
        unasked: Comparable rows that are not of the settings asked for.
    """

    title: str
    problem: str
    metric: Metric
    primary: bool
    entries: tuple[Entry, ...]
    reference: Reference
    terms: Terms
    provenance: Provenance = Provenance()
    digest: str = ""
    notes: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    apart: tuple[Entry, ...] = ()
    dated: int = 0
    trimmed: int = 0
    unasked: int = 0

    @cached_property
    def whole(self) -> tuple[Entry, ...]:
        """All rows that p, ranks and letters are among, be they shown or not."""
        if not self.apart:
            return self.entries
        found = (*self.entries, *self.apart)
        return tuple(sorted(found, key=lambda e: (e.rank is None, e.rank or 0, e.row.row)))

    @cached_property
    def name_of(self) -> Callable[[ReadRow], str]:
        """Returns norm, optimizer and setting of a row as the table has them."""
        return row_names([entry.row for entry in self.entries])

    def reference_of(self, row: ReadRow) -> ReadRow | None:
        """Return what *row* is compared with.

        That is the reference that its stages were declared against, where the table has it and no
        other one was asked for; else the table's.
        """
        if self.reference.post_hoc or not row.bound_to:
            return self.reference.row
        return self._measured.get(row.bound_to, self.reference.row)

    def is_apart(self, entry: Entry) -> bool:
        """Whether a row is compared with another one than the table's reference."""
        own, table = self.reference_of(entry.row), self.reference.row
        if own is None or table is None or entry.comparison is None:
            return False
        return own.row != table.row

    def lacks_its_reference(self, row: ReadRow) -> bool:
        """Whether *row* has another reference than the one its stages were declared against."""
        compared = self.reference_of(row)
        return bool(row.bound_to) and compared is not None and compared.row != row.bound_to

    @cached_property
    def _measured(self) -> dict[str, ReadRow]:
        return {entry.row.row: entry.row for entry in self.whole if entry.values}

    @cached_property
    def exploratory(self) -> bool:
        """Whether something was chosen after looking, so that no verdict confirms anything."""
        if self.reference.post_hoc or not self.primary or not self.terms.confirmatory:
            return True
        if self.dated or self.trimmed or self.unasked or self.on_trust:
            return True
        return self.reference.first is not None and all(map(self.comes_second, self.whole))

    @property
    def on_trust(self) -> bool:
        """Whether stages that the store does not have are said of a row, perhaps after looking."""
        return bool(self.terms.stages) and any(entry.row.staged is None for entry in self.whole)

    def comes_second(self, entry: Entry) -> bool:
        """Whether a row is compared with another reference than the one that was there first.

        That is not so where its own stages were declared against this one.
        """
        compared = self.reference_of(entry.row)
        bound = compared is not None and compared.row == entry.row.bound_to
        return self.reference.first is not None and not bound

    @property
    def drawn(self) -> int:
        """Rows with a rank interval, which is a place among these rows alone."""
        return sum(entry.rank_interval is not None for entry in self.whole)

    @property
    def all_drawn(self) -> bool:
        """Whether every row that has a rank has a rank interval, so that these are of the table."""
        return self.drawn == sum(entry.rank is not None for entry in self.whole)

    @property
    def family(self) -> int:
        """Comparisons in a family."""
        found = (entry.comparison for entry in self.whole)
        return sum(c is not None and not np.isnan(c.p_adjusted[0]) for c in found)

    @property
    def sign(self) -> int:
        """1 where larger is better, -1 where smaller is."""
        return 1 if self.metric.direction == "max" else -1
