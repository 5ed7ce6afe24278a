"""A task whose forward pass is compiled, one compilation for all networks of one form."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from normbench.tasks import Batch, Scores, State, Task


class CompiledTask:
    """A task that computes in compiled form; its first batch takes as long as compiling does.

    Args:
        task: What it computes.
    """

    def __init__(self, task: Task) -> None:
        self.metrics, self.initial_state = task.metrics, task.initial_state
        self._task = task

    def __call__(self, network: nn.Module, batch: Batch, state: State) -> Scores:
        """See :class:`normbench.tasks.Task`."""
        run = _compiled()
        return Scores(*run(self._task, network, batch.inputs, batch.targets, dict(state)))


@cache
def _compiled() -> Any:
    # Only on demand: importing the compiler takes seconds.
    return torch.compile(_run, dynamic=False)


def _run(
    task: Task, network: nn.Module, inputs: Tensor, targets: Tensor, state: State
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Compute a task on a network, all of it arguments, so that runs share one compilation."""
    scores = task(network, Batch(inputs, targets), state)
    return scores.loss, scores.sums, dict(scores.state)
