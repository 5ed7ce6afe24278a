"""Steps of optimizers that evaluate the loss themselves, as if it were one evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from normbench.engine.randomness import Randomness
from normbench.tasks import Scores

Gradient = Callable[[], Scores]


class ClosureStep:
    """Lets an optimizer evaluate the loss as often as it likes.

    Every call sees the same batch, random masks and buffers, and only the first one moves buffers
    such as running statistics.
    """

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, randomness: Randomness
    ) -> None:
        self._network, self._optimizer, self._randomness = network, optimizer, randomness

    def __call__(self, gradient: Gradient) -> Scores:
        """Take a step, and return copies of the scores of the first evaluation.

        Args:
            gradient: Computes gradients and returns the scores of the batch.
        """
        before = self._randomness.state()
        start = [buffer.clone() for buffer in self._network.buffers()]
        first: list[Scores] = []
        buffers: list[Tensor] = []

        def closure() -> Tensor:
            self._randomness.restore(before)
            if first:
                self._set_buffers(start)
            scores = gradient()
            if not first:
                first.append(_copied(scores))
                buffers.extend(buffer.clone() for buffer in self._network.buffers())
            return scores.loss

        self._optimizer.step(closure)  # type: ignore[arg-type] # torch wants a float, takes a tensor
        self._set_buffers(buffers)
        return first[0]

    @torch.no_grad()
    def _set_buffers(self, values: Sequence[Tensor]) -> None:
        for buffer, value in zip(self._network.buffers(), values, strict=True):
            buffer.copy_(value)


def _copied(scores: Scores) -> Scores:
    """Return *scores* in tensors of their own: a captured evaluation writes over its own."""
    state = {name: tensor.detach().clone() for name, tensor in scores.state.items()}
    return Scores(scores.loss.detach().clone(), scores.sums.detach().clone(), state)
