"""Sums of training epochs and evaluations, and what becomes of them on the host."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from normbench.engine.transfer import Transfer


@dataclass(frozen=True)
class EpochSums:
    """What one training epoch leaves behind, on the host.

    Attributes:
        metrics: Sums over the examples divided by their number, by name.
        first_bad_step: Index in the epoch of the first step with a non-finite loss; None if none.
    """

    metrics: dict[str, float]
    first_bad_step: int | None


class PendingSums:
    """The sums of a training epoch, on their way to the host.

    Args:
        names: Of the metrics.
        examples: How many were trained on.
        sums: One for each metric.
        losses: One for each step.
    """

    def __init__(self, names: Sequence[str], examples: int, sums: Tensor, losses: Tensor) -> None:
        self._names, self._examples = names, examples
        self._transfer = Transfer(sums, losses)

    def read(self) -> EpochSums:
        """Return them; waits for the device if they have not arrived."""
        sums, losses = self._transfer.read()
        bad = (step for step, loss in enumerate(losses.tolist()) if not math.isfinite(loss))
        return EpochSums(_means(self._names, sums, self._examples), next(bad, None))


class PendingMetrics:
    """The sums of an evaluation, on their way to the host.

    Args:
        names: Of the metrics.
        examples: How many there are in each part, by name.
        sums: Of each part, one for each metric.
    """

    def __init__(
        self, names: Sequence[str], examples: Mapping[str, int], sums: Mapping[str, Tensor]
    ) -> None:
        self._names, self._examples = names, examples
        self._transfer = Transfer(*(sums[part] for part in examples))

    def read(self) -> dict[str, dict[str, float]]:
        """Return the metrics of each part; waits for the device if they have not arrived."""
        pairs = zip(self._examples.items(), self._transfer.read(), strict=True)
        return {part: _means(self._names, sums, count) for (part, count), sums in pairs}


def _means(names: Sequence[str], sums: Tensor, examples: int) -> dict[str, float]:
    return dict(zip(names, (sums / examples).tolist(), strict=True))
