"""What the looks at a staged row came to."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

from normbench.leaderboard.board import Board, Entry
from normbench.leaderboard.sheets import Numbers, p_text
from normbench.leaderboard.verdicts import Verdict
from normbench.quantities import counted
from normbench.store import RecordedDecision

DECISIVE = (Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT)
_BETWEEN = {
    Verdict.BETTER: "{} is better than {}",
    Verdict.WORSE: "{} is worse than {}",
    Verdict.EQUIVALENT: "{} is equivalent to {}",
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """A look at the row in its table.

    Attributes:
        stage: Seeds of the row at that stage.
        verdict: The word.
        p: Holm's p of the side that the difference is on, valid at any stage; of ``equivalent`` the
            p of that; None if there is none.
        n: Pairs that counted.
        difference: Mean paired difference, in the metric's unit.
        interval: Its 95 % t interval, which is not corrected for stopping.
        family: Rows in the family that Holm's correction is over.
        metric: What rows are judged by.
    """

    stage: int
    verdict: Verdict
    p: float | None
    n: int
    difference: float
    interval: tuple[float, float]
    family: int
    metric: str

    @classmethod
    def at(cls, board: Board, entry: Entry, stage: int) -> Look:
        """Return what *board* says of *entry* at a *stage*."""
        found, verdict = entry.comparison, entry.verdict
        if found is None or verdict is None:
            raise ValueError(f"{entry.row.row} is not compared in {board.title}")
        low, high = sorted(board.sign * end for end in found.interval)
        side = found.p_adjusted[0 if found.difference >= 0 else 1]
        p = found.p_equivalent if verdict is Verdict.EQUIVALENT else side
        return cls(
            stage=stage,
            verdict=verdict,
            p=None if math.isnan(p) else p,
            n=found.n,
            difference=board.sign * found.difference,
            interval=(low, high),
            family=board.family,
            metric=board.metric.name,
        )

    @classmethod
    def recorded(cls, then: RecordedDecision) -> Look:
        """Return the look that was recorded."""
        return cls(
            stage=then.stage,
            verdict=Verdict(then.verdict),
            p=then.p,
            n=then.n,
            difference=then.difference,
            interval=then.interval or (math.nan, math.nan),
            family=len(then.family),
            metric=then.metric,
        )

    def record(self, board: Board, reference: str) -> RecordedDecision:
        """Return what is to be recorded of this look at *board*."""
        compared = ((e.row.row, e.comparison) for e in board.entries)
        declared = {entry.row.row for entry in board.entries if entry.row.declared is not None}
        return RecordedDecision(
            reference=reference,
            stage=self.stage,
            verdict=self.verdict.value,
            p=self.p,
            n=self.n,
            difference=self.difference,
            interval=None if math.isnan(self.interval[0]) else self.interval,
            family=tuple(row for row, c in compared if c and not math.isnan(c.p_adjusted[0])),
            metric=self.metric,
            alpha=board.terms.alpha,
            decided_at=time.time(),
            reference_declared=reference in declared,
        )

    @property
    def decided(self) -> bool:
        """Whether no more seeds are needed."""
        return self.verdict in DECISIVE

    def between(self, row: str, reference: str) -> str:
        """Return what the look says of *row* and *reference* by name."""
        words = _BETWEEN.get(self.verdict, "{} against {}: " + self.verdict.value)
        return f"{words.format(row, reference)}, {self.numbers}"

    @property
    def numbers(self) -> str:
        """P, difference and pairs in words."""
        numbers = Numbers(self.metric)
        shown = numbers.interval(self.difference, self.interval, signed=True)
        p = p_text(self.p)
        if self.p is None:
            chance = "no p"
        elif self.verdict is Verdict.EQUIVALENT:
            chance = f"p {p} (two one-sided tests)"
        else:
            rows = "one row" if self.family == 1 else f"{self.family} rows"
            chance = f"p {p} (Holm over {rows})"
        return f"{chance}, difference {shown}{numbers.points}, {counted(self.n, 'pair')}"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Where the stages stopped, and why.

    Attributes:
        row: Fingerprint of the row.
        label: Its norm, optimizer and setting.
        reference: Fingerprint of the row that it was compared with.
        against: The same of that one.
        stages: The declared stages.
        before: Seeds that do not count, since they had results before the stages were declared.
        looks: The looks of this call, the last one last.
        why: Why there was no further one, in a sentence.
        today: What the table of today says of a row that was decided in an earlier call, where that
            is something else.
        decided: Whether the last verdict is better, worse or equivalent.
    """

    row: str
    label: str
    reference: str
    against: str
    stages: tuple[int, ...]
    before: tuple[int, ...] = ()
    looks: tuple[Look, ...] = ()
    why: str = ""
    today: Look | None = None
    decided: bool = False

    @property
    def stage(self) -> int | None:
        """The stage of the last look; None if there was none."""
        return self.looks[-1].stage if self.looks else None

    @property
    def verdict(self) -> str | None:
        """The verdict of the last look; None if there was none."""
        return self.looks[-1].verdict.value if self.looks else None

    def to_dict(self) -> dict[str, Any]:
        """Return it as strict JSON values; what cannot be computed is null."""
        from normbench.leaderboard.strict_json import strict

        found: dict[str, Any] = strict(asdict(self))
        return found | {"stage": self.stage, "verdict": self.verdict}
