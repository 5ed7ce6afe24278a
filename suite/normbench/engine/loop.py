"""Training one epoch at a time: the rungs of the engine's ladder share one interface.

:class:`EagerLoop` runs on every device and for every optimizer. Faster rungs replace it without a
change to its caller, :mod:`normbench.engine.trainer`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from normbench.engine.closures import ClosureStep
from normbench.engine.randomness import Randomness
from normbench.engine.step import Step
from normbench.engine.sums import PendingSums
from normbench.tasks import Scores

Progress = Callable[[int, int], None]
Observe = Callable[[int], None]
PROGRESS_SECONDS = 1.0


class Loop(Protocol):
    """One rung: trains the network in place, an epoch a call.

    Attributes:
        gradient_evaluations: Backward passes so far.
        engine_seconds: Seconds spent on trial steps, on recording and on compiling so far.
    """

    gradient_evaluations: int
    engine_seconds: float

    @property
    def name(self) -> str:
        """The rung, as results record it."""
        ...

    @property
    def decided(self) -> bool:
        """Whether the rung is final."""
        ...

    @property
    def captured(self) -> bool:
        """Whether its steps are recorded ones, so that nothing but tensors changes in them."""
        ...

    @property
    def step(self) -> Step:
        """What it does on each batch."""
        ...

    def keep(self, rung: str) -> None:
        """Go on with the rung that the run began on.

        Raises:
            UsageError: If it cannot be had here.
        """
        ...

    def run_epoch(
        self,
        epoch: int,
        factors: Sequence[float],
        progress: Progress,
        observe: Observe | None = None,
    ) -> PendingSums:
        """Train on the batches of *epoch*, with the learning rate times each of *factors*.

        Args:
            epoch: Counted from 1.
            factors: One for each step.
            progress: Called about once a second with (steps done, steps in all).
            observe: Called behind each step with its index, and changes nothing.
        """
        ...


class EagerLoop:
    """The plain rung: one operation after another, nothing read from the device in an epoch.

    Args:
        step: What is done on each batch.
        randomness: Streams of the layers.
        needs_closure: Whether the optimizer evaluates the loss itself.
    """

    def __init__(self, step: Step, randomness: Randomness, *, needs_closure: bool = False) -> None:
        self.gradient_evaluations, self.engine_seconds = 0, 0.0
        self._step, self._randomness = step, randomness
        self._closures = (
            ClosureStep(step.network, step.optimizer, randomness) if needs_closure else None
        )

    @property
    def step(self) -> Step:
        """What it does on each batch."""
        return self._step

    def run_epoch(
        self,
        epoch: int,
        factors: Sequence[float],
        progress: Progress,
        observe: Observe | None = None,
    ) -> PendingSums:
        """Train on every batch of *epoch*; see :class:`Loop`."""
        source, steps = self._step.source, len(factors)
        self.begin_epoch(epoch, factors)
        reported = time.monotonic()
        for index in range(steps):
            partial = index == steps - 1 and source.last_size != source.batch_size
            self._step.rates.set(index)
            self._take(source.last_size if partial else source.batch_size, steps - index)
            if observe is not None:
                observe(index)
            if time.monotonic() - reported >= PROGRESS_SECONDS:
                reported = time.monotonic()
                progress(index + 1, steps)
        return self.end_epoch()

    def begin_epoch(self, epoch: int, factors: Sequence[float]) -> None:
        """Go to the first batch of *epoch*."""
        self._step.source.start_epoch(epoch)
        self._randomness.start_epoch(epoch)
        self._step.network.train()
        self._step.start_epoch(factors)

    def end_epoch(self) -> PendingSums:
        """Return the sums of the epoch whose last step is taken."""
        self._step.rates.end_epoch()
        return self._step.read()

    def _take(self, size: int, left: int) -> None:  # noqa: ARG002 - for those above
        """Take a step on *size* examples, the first of *left* in the epoch."""
        self._step.fetch(size)
        self._plain(size)

    def _plain(self, size: int) -> None:
        """Take a step, one operation after another, on a batch that is there."""
        if self._closures is not None:
            self._step.account(size, self._closures(lambda: self._gradient(size)))
            return
        self._gradient(size)
        self._step.account(size)
        self._step.optimizer.step()

    def _gradient(self, size: int) -> Scores:
        self._step.gradient(size)
        self.gradient_evaluations += 1
        return self._step.scores
