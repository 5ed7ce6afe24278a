"""One training step without host input and host reads, so that a device may replay it.

All that changes from step to step lies in tensors whose addresses stay: position, learning rates,
sums, losses and the state carried from batch to batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from normbench.engine.precision import forward_context
from normbench.engine.rates import Rates
from normbench.engine.sources import BatchSource
from normbench.engine.sums import PendingSums
from normbench.tasks import Batch, Scores, Task


class Step:
    """The parts of a training step, on static tensors.

    Args:
        network: What trains.
        task: Its loss and metrics.
        optimizer: Over the network's parameters.
        source: The training batches.
        rates: The learning rates.
        precision: The protocol's.
        device: Where all this is.

    Attributes:
        task: What the next step computes; the same function in another form may take its place.
        scores: What the last :meth:`gradient` computed.
        state: What the next batch needs of this one.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        optimizer: torch.optim.Optimizer,
        source: BatchSource,
        rates: Rates,
        *,
        precision: str,
        device: torch.device,
    ) -> None:
        self.network, self.task, self.optimizer = network, task, optimizer
        self.source, self.rates = source, rates
        self.scores = Scores(torch.zeros(()), torch.zeros(()))
        self.state: dict[str, Tensor] = {}
        self._precision, self._device = precision, device
        self._cursor = torch.zeros((), dtype=torch.int64, device=device)
        self._index = torch.zeros(1, dtype=torch.int64, device=device)
        self._losses = torch.zeros(source.steps, device=device)
        self._sums = torch.zeros(len(task.metrics), dtype=torch.float64, device=device)
        self._fetched: Batch | None = None
        self._held: Batch | None = None
        self._held_state: dict[str, Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    @property
    def holds(self) -> bool:
        """Whether the state lies where :meth:`hold` found it, and so where a capture reads it.

        It does not where an epoch begins with a state of another form, mostly an empty one. A plain
        step then puts it there.
        """
        held = self._held_state
        return self.state.keys() == held.keys() and all(
            self.state[name] is tensor for name, tensor in held.items()
        )

    @contextmanager
    def held_state(self) -> Iterator[None]:
        """Within the block, let the state be the one that lies where :meth:`hold` found it."""
        before, self.state = self.state, dict(self._held_state)
        try:
            yield
        finally:
            self.state = before

    def start_epoch(self, factors: Sequence[float]) -> None:
        """Go back to the first batch, with sums of zero and the learning rates of the epoch."""
        for tensor in (self._cursor, self._index, self._losses, self._sums):
            tensor.zero_()
        self.rates.start_epoch(factors)
        self._carry(self.task.initial_state(self.source.batch_size, self._device))

    def fetch(self, size: int) -> None:
        """Take the next batch from the host, if that is where batches come from."""
        if not self.source.from_host:
            return
        batch, held = self.source.batch(self._cursor, size), self._held
        if held is None or held.inputs.shape != batch.inputs.shape:
            self._fetched = batch
            return
        held.inputs.copy_(batch.inputs)
        held.targets.copy_(batch.targets)
        self._fetched = held

    def hold(self) -> None:
        """Put state and batches from the host where the last ones are, if they have their shape."""
        self._held, self._held_state = self._fetched, dict(self.state)

    def gradient(self, size: int) -> None:
        """Compute scores and gradients on the batch of *size* examples at the current position."""
        self.rates.look_up(self._index)
        self.optimizer.zero_grad(set_to_none=True)
        batch = self._fetched if self.source.from_host else None
        batch = batch or self.source.batch(self._cursor, size)
        with forward_context(self._precision, self._device):
            scores = self.task(self.network, batch, self.state)
        scores.loss.backward()  # type: ignore[no-untyped-call]
        # Autograd's nodes remember the stream that made them, and a capture must meet none of
        # another stream: nothing may keep this step's alive.
        state = {name: tensor.detach() for name, tensor in scores.state.items()}
        self.scores = Scores(scores.loss.detach(), scores.sums.detach(), state)

    @torch.no_grad()
    def account(self, size: int, scores: Scores | None = None) -> None:
        """Add *scores*, by default the last ones, to the sums and move on by *size* examples."""
        scores = scores or self.scores
        self._sums += scores.sums
        self._losses.index_copy_(0, self._index, scores.loss.detach().to(self._losses).view(1))
        self._carry(scores.state)
        self._cursor += size
        self._index += 1

    def read(self) -> PendingSums:
        """Send the sums of the epoch to the host."""
        return PendingSums(self.task.metrics, self.source.examples, self._sums, self._losses)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that a step changes, by name."""
        own = {"cursor": self._cursor, "index": self._index}
        own |= {"losses": self._losses, "sums": self._sums}
        return own | {f"state {name}": tensor for name, tensor in self.state.items()}

    def _carry(self, state: object) -> None:
        """Take over *state*, at the addresses held or at the last ones if it has the same form."""
        given: dict[str, Tensor] = dict(state)  # type: ignore[call-overload]
        for kept in (self._held_state, self.state):
            if _form(kept) == _form(given):
                for name, tensor in kept.items():
                    tensor.copy_(given[name].detach())
                self.state = dict(kept)
                return
        self.state = {name: tensor.detach().clone() for name, tensor in given.items()}


def _form(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
