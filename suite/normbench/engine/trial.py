"""Trial steps: what a rung did before its first real step, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normbench.engine.recording import Work
from normbench.engine.snapshot import Path, Snapshot
from normbench.rungs import Rung
from normbench.tasks import Scores


@dataclass
class Captured:
    """Steps of one rung, ready to run.

    Attributes:
        rung: Which.
        work: The whole step, or its part up to the gradient.
        scores: Where that leaves its scores.
        gradients: Where it leaves its gradients.
    """

    rung: Rung
    work: Work
    scores: Scores
    gradients: Sequence[tuple[nn.Parameter, Tensor | None]]


@dataclass(frozen=True)
class Trial:
    """What plain steps did, to hold others against.

    Attributes:
        snapshot: The moment before.
        steps: How many there were.
        values: All tensors behind the last step.
        first: Loss and gradient of the first step, and how far all steps moved the weights.
        changes: What they changed in Python.
    """

    snapshot: Snapshot
    steps: int
    values: Mapping[Path, Tensor]
    first: Mapping[str, Tensor]
    changes: Mapping[Path, str]

    @property
    def begins_state(self) -> bool:
        """Whether the state carried from batch to batch has another form behind it than before."""
        return any(path[0] == "step" for path in self.changes)


def spoil(captured: Captured) -> None:
    """Put numbers that are none where replays leave theirs: what is left out must show."""
    gradients = [gradient for _, gradient in captured.gradients if gradient is not None]
    with torch.no_grad():
        for tensor in (captured.scores.loss, *gradients):
            tensor.fill_(math.nan)


def obstacle(rung: Rung, changes: Mapping[Path, str]) -> str:
    """Return what no replay of *rung* would repeat, if steps do such a thing."""
    for path, words in changes.items():
        own = path[0].startswith("optimizer")
        if not (own and rung is Rung.GRADIENT_GRAPH):
            return f"{' '.join(path)} {words}"
    return ""
