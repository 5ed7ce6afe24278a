"""Tasks: what a network is trained to do, and the sums its metrics are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """Examples on the device: inputs (B, ...) and targets (B, ...)."""

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Scores:
    """What a task makes of one batch.

    Attributes:
        loss: Mean over the batch, a scalar to minimise.
        sums: Sums over the batch's examples, one for each of the task's metrics, float32 or wider.
        state: What the next batch needs, such as a recurrent network's hidden state.
    """

    loss: Tensor
    sums: Tensor
    state: State = field(default_factory=dict)


class Task(Protocol):
    """The loss and the metrics of a problem.

    Attributes:
        metrics: Names of the sums, ``loss`` first; a metric is its sum over the number of examples.
    """

    metrics: tuple[str, ...]

    def initial_state(self, batch_size: int, device: torch.device) -> State:
        """Return the state carried from batch to batch at the start of an epoch; mostly empty."""
        ...

    def __call__(self, network: nn.Module, batch: Batch, state: State) -> Scores:
        """Return loss and sums of *network* on *batch*, in training and in evaluation alike."""
        ...


class Classification:
    """Mean softmax cross-entropy in nats, and accuracy in [0, 1].

    With logits z and class c: loss = log Σ exp(z) - z_c, computed in float32.
    """

    metrics = ("loss", "accuracy")

    def initial_state(self, batch_size: int, device: torch.device) -> State:  # noqa: ARG002
        """Return nothing: batches are independent."""
        return {}

    def __call__(self, network: nn.Module, batch: Batch, state: State) -> Scores:
        """Return the mean loss, the summed loss and the number of right answers."""
        logits = network(batch.inputs).float()
        loss = F.cross_entropy(logits, batch.targets)
        correct = (logits.detach().argmax(1) == batch.targets).sum()
        sums = torch.stack((loss.detach() * len(batch.targets), correct))
        return Scores(loss, sums, state)
