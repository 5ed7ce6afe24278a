"""A task whose forward pass is compiled, one compilation for all networks of one form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
        given = self._task, network, batch.inputs, batch.targets, dict(state)
        with _refusing_to_run_plainly() as LimitReached:  # noqa: N806 - a class
            try:
                return Scores(*_compiled()(*given))
            except LimitReached:
                # Room for this form; what is captured of the others stays.
                torch._dynamo.reset()
                return Scores(*_compiled()(*given))


@contextmanager
def _refusing_to_run_plainly() -> Iterator[type[Exception]]:
    """Let the compiler raise what is yielded where it would go on uncompiled.

    It does so once one function has been compiled for several forms of network or batch.
    """
    from torch._dynamo import config, exc

    with config.patch(fail_on_recompile_limit_hit=True):
        yield exc.FailOnRecompileLimitHit


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
