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
        """Train an epoch and write a line."""
        ...

    def evaluate(self) -> None:
        """Evaluate the three parts."""
        ...

    def bare(self) -> Turn | None:
        """Return the steps of an epoch with nothing around them; None for yardsticks."""
        ...

    def checks(self) -> Sequence[Check]:
        """Compare what it computes with what a plain loop does; none for yardsticks."""
        ...
