"""What a row of ``normbench bench`` can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from normbench.bench.report import Check
from normbench.bench.timing import Turn
from normbench.rungs import Rung

EVALUATED = ("train_subset", "validation", "test")


class Contender(Protocol):
    """One row.

    Attributes:
        name: Of the row.
        members: Runs trained at once.
        rung: Of the engine; None for yardsticks.
        deterministic: Whether bits must repeat.
    """

    name: str
    members: int
    rung: Rung | None
    deterministic: bool

    def prepare(self) -> None:
        """Set torch's process-wide switches as this row has them."""
        ...

    def train(self) -> None:
        """Train an epoch, and nothing else."""
        ...

    def epoch(self) -> None:
        """Do all of an epoch: train, evaluate the three parts, and write what there is to write."""
        ...

    def bare(self) -> Turn | None:
        """Return an epoch's steps and evaluation with nothing around them; None for yardsticks."""
        ...

    def checks(self) -> Sequence[Check]:
        """Compare what it computes with what a plain loop does; none for yardsticks."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...
