"""Whether rows have lost speed since a report was written, by their ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from normbench.bench.report import BenchReport, Spread
from normbench.errors import UsageError

TOLERANCE = 0.1
MOST_SLACK = 2.0
FEWEST_ROUNDS = 3
SAME = (
    *("device", "norm", "optimizer", "precision", "deterministic", "batch_size", "augmentation"),
    *("examples_trained", "examples_evaluated", "steps", "repeats"),
)
"""Conditions without which two reports are about different things."""
SAME_OF_NORMS = ("device", "precision", "shape", "layout", "passes")
"""The same of reports on norms alone."""


class Compared(Protocol):
    """A report whose ratios can be held against those of another of its kind.

    Attributes:
        n: Rounds.
        conditions: What it was measured under.
        left_out: What was not measured, by name, and why.
    """

    @property
    def n(self) -> int: ...  # noqa: D102 - said above

    @property
    def conditions(self) -> Mapping[str, Any]: ...  # noqa: D102

    @property
    def left_out(self) -> Mapping[str, str]: ...  # noqa: D102

    def ratios(self) -> Mapping[str, Spread]:
        """Return every ratio by what it is of."""
        ...


@dataclass(frozen=True, kw_only=True)
class Change:
    """One ratio then and now.

    Attributes:
        name: What it is of.
        then: In the file; None where it has none.
        now: In this call; None where there is none.
        allowed: Loss that is none yet, as a share.
        word: ``regressed``, ``faster``, ``alike``, ``gone``, ``not measured`` or ``new``.
    """

    name: str
    then: Spread | None
    now: Spread | None
    allowed: float
    word: str

    @property
    def regressed(self) -> bool:
        """Whether speed was lost; a row that this machine no longer has is lost, too."""
        return self.word in ("regressed", "gone")

    @property
    def change(self) -> float | None:
        """Growth of the median, as a share; None where one is missing."""
        if self.then is None or self.now is None:
            return None
        return self.now.median / self.then.median - 1


def check_comparable(
    path: Path, then: BenchReport, problem: str, conditions: Mapping[str, Any], first: str
) -> None:
    """Refuse a report that says nothing about what is measured now.

    Args:
        path: Where *then* was read from.
        then: The report.
        problem: The problem now.
        conditions: Those of now.
        first: Name of the row that ratios are over now.

    Raises:
        UsageError: With what differs.
    """
    if then.problem != problem:
        raise UsageError(
            f"--against {path} measured {then.problem}, not {problem}. Give its problem, or a "
            "report of this one."
        )
    check_same(path, then.conditions, conditions, SAME)
    if not then.rows or then.rows[0].name != first:
        before = then.rows[0].name if then.rows else "nothing"
        raise UsageError(
            f"--against {path} has ratios over {before!r}, now they are over {first!r}. Measure "
            "the same first row: see --rows."
        )


def check_same(
    path: Path, then: Mapping[str, Any], conditions: Mapping[str, Any], names: Sequence[str]
) -> None:
    """Refuse a report, measured under the conditions *then*, that differ from now's in *names*.

    Raises:
        UsageError: With the first that differs.
    """
    for name in names:
        before, now = then.get(name), conditions[name]
        if before != now:
            raise UsageError(
                f"--against {path} was measured with {name.replace('_', ' ')} {_shown(before)}, "
                f"now it is {_shown(now)}: that is other work. Give the same, or another report."
            )


def other_hardware(then: Compared, conditions: Mapping[str, Any]) -> str:
    """Return what to beware of if *then* was measured on other hardware; empty if it was not.

    Ratios carry over between devices of one kind only roughly.
    """
    before, now = then.conditions.get("hardware"), conditions["hardware"]
    if before == now:
        return ""
    return (
        f"the report was measured on {before}, this is {now}: ratios differ between them, so a "
        "change may be the hardware's."
    )


def compare(then: Compared, now: Compared, tolerance: float = TOLERANCE) -> list[Change]:
    """Return every ratio then and now, in the order of *then*, new ones last.

    A ratio has regressed if its median is below that of *then* by more than *tolerance*, or by
    more than the worst round of *then* was below its median, whichever is more. The worst round
    counts up to twice *tolerance*, and not at all among fewer than three: what was measured badly
    must not allow any loss.
    """
    before, after = then.ratios(), now.ratios()
    most = tolerance * (MOST_SLACK if then.n >= FEWEST_ROUNDS else 1.0)
    names = [*before, *(name for name in after if name not in before)]
    return [
        _change(name, before.get(name), after.get(name), (tolerance, most), now.left_out)
        for name in names
    ]


def _change(
    name: str,
    then: Spread | None,
    now: Spread | None,
    tolerances: tuple[float, float],
    left_out: Mapping[str, str],
) -> Change:
    least, most = tolerances
    allowed = least if then is None else min(max(least, then.slack), most)
    if then is None:
        word = "new"
    elif now is None:
        word = "gone" if name.rpartition(", ")[0] in left_out else "not measured"
    elif now.median < then.median * (1 - allowed):
        word = "regressed"
    else:
        word = "faster" if now.median > then.median * (1 + allowed) else "alike"
    return Change(name=name, then=then, now=now, allowed=allowed, word=word)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value)) or "none"
    return str(value)
