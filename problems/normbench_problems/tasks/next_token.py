"""Prediction of the next token of a text by a network that carries a state."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench import Batch, Scores, State


class NextToken:
    """Mean softmax cross-entropy in nats, and accuracy in [0, 1], per token.

    With logits z (B, T, classes) and the next token c at each place: loss = log Σ exp(z) - z_c,
    computed in float32. The network is called with a window and a state, empty at the start of a
    text, and returns logits and the state behind the window. No gradient passes from one window to
    the one before.
    """

    metrics = ("loss", "accuracy")

    def initial_state(self, batch_size: int, device: torch.device) -> State:  # noqa: ARG002
        """Return nothing, which the network takes for the start of a text."""
        return {}

    def __call__(self, network: nn.Module, batch: Batch, state: State) -> Scores:
        """Return the mean loss, the summed loss and the number of right predictions."""
        outputs, after = network(batch.inputs, state)
        logits, targets = outputs.float().flatten(0, 1), batch.targets.flatten()
        loss = F.cross_entropy(logits, targets)
        correct = (logits.detach().argmax(1) == targets).sum()
        sums = torch.stack((loss.detach() * len(targets), correct))
        return Scores(loss, sums, {name: part.detach() for name, part in after.items()})
