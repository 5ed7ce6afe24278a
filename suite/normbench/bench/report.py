"""What ``normbench bench`` found, as values, as JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Self

SCHEMA = 2
KIND = "bench"


@dataclass(frozen=True)
class Spread:
    """A number that was measured in several rounds.

    Attributes:
        median: Of the rounds.
        low: Smallest of them.
        high: Largest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of *values*."""
        return cls(median(values), min(values), max(values))

    @property
    def slack(self) -> float:
        """How far the worst round lies below the median, as a share of it."""
        return 1 - self.low / self.median


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a row does one kind of work.

    Attributes:
        examples_per_second: Trained examples a second, median of the rounds, all runs of a row
            together.
        ratio: Over the first row, of each round.
        tuned_ratio: Over the tuned DataLoader loop; None where that was not measured.
    """

    examples_per_second: float
    ratio: Spread
    tuned_ratio: Spread | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """Whether a fast row computes what a plain one does.

    Attributes:
        name: What was compared.
        passed: None where a difference is told that nothing is asked of.
        words: What was found.
    """

    name: str
    passed: bool | None
    words: str


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One way of training.

    Attributes:
        name: Which.
        end_to_end: An epoch with its evaluations and all that a run does and writes besides.
        training: The epoch without these.
        evaluation_share: Seconds of an epoch in which it does not train, over all; median.
        roof_share: Of the speed at which matrix rate or copy bandwidth, whichever is lower, would
            let it train; None where that cannot be counted.
        joules: For one epoch end to end, from a stretch of seconds; None where no meter answers.
        checks: Of what it computes; empty for rows that are the yardstick.
    """

    name: str
    end_to_end: Speed
    training: Speed
    evaluation_share: float
    roof_share: float | None = None
    joules: float | None = None
    checks: Sequence[Check] = ()

    @property
    def wrong(self) -> bool:
        """Whether a check failed."""
        return any(check.passed is False for check in self.checks)


@dataclass(frozen=True, kw_only=True)
class PartRow:
    """One way of doing a part of the work alone; see :class:`Speed`."""

    name: str
    speed: Speed


@dataclass(frozen=True, kw_only=True)
class Extra:
    """What one way of training takes more than another, as a share of the other's seconds.

    Attributes:
        name: What takes it.
        over: What it is compared with.
        share: Of each round; 0.03 is three percent more.
    """

    name: str
    over: str
    share: Spread


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """All that one call found.

    Attributes:
        command: What was typed.
        measured: The day, as YYYY-MM-DD.
        n: Rounds.
        problem: What was trained.
        conditions: Hardware, versions, sizes, switches.
        rows: Ways of training, the yardstick first.
        pipeline: Ways of making batches, alone.
        extras: Python, logging and metrics over bare steps and evaluation; deterministic mode.
        left_out: Rows that were not measured, by name, and why.
    """

    command: str
    measured: str
    n: int
    problem: str
    conditions: Mapping[str, Any]
    rows: Sequence[BenchRow]
    pipeline: Sequence[PartRow]
    extras: Sequence[Extra] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    kind: str = KIND
    schema: int = SCHEMA

    @property
    def wrong(self) -> list[BenchRow]:
        """The rows that do not compute what they should."""
        return [row for row in self.rows if row.wrong]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as strict JSON values."""
        content = asdict(self)
        first = ("schema", "kind")
        return {name: content[name] for name in first} | content

    def ratios(self) -> dict[str, Spread]:
        """Return every ratio of the report by what it is of; the yardsticks' own are left out."""
        found = {}
        for row in self.rows[1:]:
            found[f"{row.name}, end to end"] = row.end_to_end.ratio
            found[f"{row.name}, training alone"] = row.training.ratio
        for part in self.pipeline[1:]:
            found[f"{part.name}, batches alone"] = part.speed.ratio
        return found
