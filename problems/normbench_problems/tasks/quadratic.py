"""Training of a network whose outputs are the losses of its examples.

The quadratic problem of DeepOBS (Schneider, Balles, Hennig, arXiv:1903.05499) is of this kind.
"""

from __future__ import annotations

import torch
from torch import nn

from normbench import Batch, Scores, State


class ExampleLosses:
    """Mean of the losses (N,) that the network returns, computed in float32."""

    metrics = ("loss",)

    def initial_state(self, batch_size: int, device: torch.device) -> State:  # noqa: ARG002
        """Return nothing: batches are independent."""
        return {}

    def __call__(self, network: nn.Module, batch: Batch, state: State) -> Scores:
        """Return the mean loss and the summed loss."""
        losses = network(batch.inputs).float()
        return Scores(losses.mean(), losses.detach().sum()[None], state)
