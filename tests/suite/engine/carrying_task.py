"""A task with a carried state, for tests of loops and evaluations."""

from __future__ import annotations

from dataclasses import replace

import torch


class Carrying:
    """A task that carries a mean from batch to batch, as recurrent networks do."""

    def __init__(self, task):
        self.task, self.metrics = task, task.metrics

    def initial_state(self, batch_size, device):
        """Return a mean of zero."""
        return {"mean": torch.zeros((), device=device)}

    def __call__(self, network, batch, state):
        """Add the mean to the loss's inputs and move it."""
        scores = self.task(network, replace(batch, inputs=batch.inputs + state["mean"]), {})
        mean = 0.9 * state["mean"] + batch.inputs.mean()
        return replace(scores, state={"mean": mean})
