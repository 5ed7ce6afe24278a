"""Training one epoch at a time: the rungs of the engine's ladder share one interface.

:class:`EagerLoop` runs on every device and for every optimizer. Faster rungs replace it without a
change to its caller, :mod:`normbench.engine.trainer`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from normbench.engine.precision import forward_context
from normbench.engine.sources import BatchSource, EvaluationSource
from normbench.layers import bind_generator
from normbench.streams import stream_seed
from normbench.tasks import Batch, Scores, State, Task

Progress = Callable[[int, int], None]
Observe = Callable[[int], None]
PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class EpochSums:
    """What one training epoch leaves behind, read from the device once.

    Attributes:
        metrics: Sums over the examples divided by their number, by name.
        first_bad_step: Index in the epoch of the first step with a non-finite loss; None if none.
    """

    metrics: dict[str, float]
    first_bad_step: int | None


class Loop(Protocol):
    """One rung: trains the network in place, an epoch a call.

    Attributes:
        name: The rung, as results record it.
        gradient_evaluations: Backward passes so far.
    """

    name: str
    gradient_evaluations: int

    def run_epoch(
        self,
        epoch: int,
        factors: Sequence[float],
        progress: Progress,
        observe: Observe | None = None,
    ) -> EpochSums:
        """Train on the batches of *epoch*, with the learning rate times each of *factors*.

        Args:
            epoch: Counted from 1.
            factors: One for each step.
            progress: Called about once a second with (steps done, steps in all).
            observe: Called behind each step with its index, and changes nothing.
        """
        ...


class Randomness:
    """The random numbers that layers draw while training: one stream for each epoch of a run."""

    def __init__(self, network: nn.Module, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._training = torch.Generator(device)
        self._evaluation = torch.Generator(device)
        self._network = network

    def start_epoch(self, epoch: int) -> None:
        """Begin the stream of *epoch*; torch's global one too, for layers that know no other."""
        seed = stream_seed(self._seed, "dropout", epoch)
        torch.manual_seed(seed)
        self._training.manual_seed(seed)
        bind_generator(self._network, self._training)

    def start_evaluation(self) -> None:
        """Begin the evaluation stream, the same every time; training's is left alone."""
        self._evaluation.manual_seed(stream_seed(self._seed, "evaluation"))
        bind_generator(self._network, self._evaluation)

    def state(self) -> list[Tensor]:
        """Return the state of the training generator, and of torch's global ones."""
        device = self._training.device
        more = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
        return [self._training.get_state(), torch.get_rng_state(), *more]

    def restore(self, states: Sequence[Tensor]) -> None:
        """Go back to *states*, to draw the same numbers again."""
        self._training.set_state(states[0])
        torch.set_rng_state(states[1])
        for state in states[2:]:
            torch.cuda.set_rng_state(state, self._training.device)


class EagerLoop:
    """The plain rung: one operation after another, nothing read from the device in an epoch."""

    name = "eager"

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        optimizer: torch.optim.Optimizer,
        source: BatchSource,
        randomness: Randomness,
        *,
        precision: str,
        device: torch.device,
        needs_closure: bool = False,
    ) -> None:
        self.gradient_evaluations = 0
        self._network, self._task, self._optimizer = network, task, optimizer
        self._source, self._randomness = source, randomness
        self._precision, self._device, self._needs_closure = precision, device, needs_closure
        self._base_rates = [float(group["lr"]) for group in optimizer.param_groups]
        self._cursor = torch.zeros((), dtype=torch.int64, device=device)
        self._losses = torch.zeros(source.steps, device=device)
        self._sums = torch.zeros(len(task.metrics), dtype=torch.float64, device=device)

    def run_epoch(
        self,
        epoch: int,
        factors: Sequence[float],
        progress: Progress,
        observe: Observe | None = None,
    ) -> EpochSums:
        """Train on every batch of *epoch*; see :class:`Loop`."""
        self._source.start_epoch(epoch)
        self._randomness.start_epoch(epoch)
        self._network.train()
        self._cursor.zero_()
        self._sums.zero_()
        state = self._task.initial_state(self._source.batch_size, self._device)
        reported = time.monotonic()
        for step, factor in enumerate(factors):
            self._set_rate(factor)
            last = step == len(factors) - 1
            size = self._source.last_size if last else self._source.batch_size
            scores = self._step(self._source.batch(self._cursor, size), state)
            state = scores.state
            self._sums += scores.sums
            self._losses[step] = scores.loss.detach()
            self._cursor += size
            if observe is not None:
                observe(step)
            if time.monotonic() - reported >= PROGRESS_SECONDS:
                reported = time.monotonic()
                progress(step + 1, len(factors))
        return self._read()

    def _step(self, batch: Batch, state: State) -> Scores:
        if self._needs_closure:
            return self._closure_step(batch, state)
        scores = self._gradient(batch, state)
        self._optimizer.step()
        return scores

    def _gradient(self, batch: Batch, state: State) -> Scores:
        self._optimizer.zero_grad(set_to_none=True)
        with forward_context(self._precision, self._device):
            scores = self._task(self._network, batch, state)
        scores.loss.backward()  # type: ignore[no-untyped-call]
        self.gradient_evaluations += 1
        return scores

    def _closure_step(self, batch: Batch, state: State) -> Scores:
        """Let the optimizer evaluate the loss as often as it likes, as if it were one evaluation.

        Every call sees the same batch, random masks and buffers, and only the first one moves
        buffers such as running statistics.
        """
        before = self._randomness.state()
        start = [buffer.clone() for buffer in self._network.buffers()]
        scores: list[Scores] = []
        buffers: list[Tensor] = []

        def closure() -> Tensor:
            self._randomness.restore(before)
            if buffers:
                self._set_buffers(start)
            scores.append(self._gradient(batch, state))
            if not buffers:
                buffers.extend(buffer.clone() for buffer in self._network.buffers())
            return scores[-1].loss

        self._optimizer.step(closure)  # type: ignore[arg-type] # torch wants a float, takes a tensor
        self._set_buffers(buffers)
        return scores[0]

    @torch.no_grad()
    def _set_buffers(self, values: Sequence[Tensor]) -> None:
        for buffer, value in zip(self._network.buffers(), values, strict=True):
            buffer.copy_(value)

    def _set_rate(self, factor: float) -> None:
        for group, base in zip(self._optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = base * factor

    def _read(self) -> EpochSums:
        sums = (self._sums / self._source.examples).tolist()
        losses = self._losses.tolist()
        bad = next((step for step, loss in enumerate(losses) if not math.isfinite(loss)), None)
        return EpochSums(dict(zip(self._task.metrics, sums, strict=True)), bad)


@torch.no_grad()
def evaluate(
    network: nn.Module,
    task: Task,
    part: EvaluationSource,
    *,
    precision: str,
    device: torch.device,
) -> dict[str, float]:
    """Return the task's metrics over all of *part*, in evaluation mode, from exact sums.

    Buffers and training's random streams are left alone.
    """
    network.eval()
    sums = torch.zeros(len(task.metrics), dtype=torch.float64, device=device)
    state: State = {}
    for batch in part:
        with forward_context(precision, device):
            scores = task(network, batch, state or task.initial_state(len(batch.inputs), device))
        sums += scores.sums
        state = scores.state
    return dict(zip(task.metrics, (sums / part.examples).tolist(), strict=True))
