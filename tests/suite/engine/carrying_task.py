"""A task with a carried state, for tests of loops and evaluations."""

from __future__ import annotations

from dataclasses import replace

import torch


class Carrying:
    """A task that carries a mean for each example from batch to batch, as recurrent networks do.

    Args:
        task: What is trained.
        empty: Whether an epoch begins with an empty state, which stands for zeros.
    """

    def __init__(self, task, *, empty=False):
        self.task, self.metrics, self.empty = task, task.metrics, empty

    def initial_state(self, batch_size, device):
        """Return means of zero, or nothing."""
        return {} if self.empty else {"mean": torch.zeros(batch_size, 1, 1, 1, device=device)}

    def __call__(self, network, batch, state):
        """Add the means to the loss's inputs and move them; a smaller batch is the last."""
        before = state["mean"] if state else torch.zeros_like(batch.inputs[:, :1, :1, :1])
        before = before[: len(batch.inputs)]
        scores = self.task(network, replace(batch, inputs=batch.inputs + before), {})
        mean = 0.9 * before + batch.inputs.mean((1, 2, 3), keepdim=True)
        return replace(scores, state={"mean": mean})


class Unfolding(Carrying):
    """One whose state takes its form in the first two batches of an epoch.

    Args:
        task: What is trained.
    """

    def __init__(self, task):
        super().__init__(task, empty=True)

    def __call__(self, network, batch, state):
        """Carry nothing into the first batch, means into the second, and a total from then on."""
        scores = super().__call__(network, batch, state)
        if not state:
            return scores
        return replace(scores, state={**scores.state, "total": scores.state["mean"].sum()})
