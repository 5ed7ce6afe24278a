"""Training a session from start or checkpoint to its result.

On CUDA the host stays an epoch ahead. What an epoch leaves behind - its sums, its evaluation, and a
checkpoint when one is due - is copied to the host while the device goes on, and read when the next
epoch's steps have been issued. What the run is then found to be does not depend on that:

* A run that diverged is seen to have done so up to an epoch late. That epoch does not count, and
  weights kept aside put the network back to where the run ended.
* A checkpoint is written once all points up to its epoch are.
* A run that somebody observes waits for its observers anyway, so it is read at once, and so is one
  on a processor, which has nothing to wait for.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from normbench.engine import checkpoint
from normbench.engine.curve import Curve, Point, finite
from normbench.engine.evaluation import Evaluator
from normbench.engine.loop import Observe
from normbench.engine.loop import Progress as Report
from normbench.engine.meter import EnergyUse
from normbench.engine.observing import Observing
from normbench.engine.recording import RECORDERS, Recorder
from normbench.engine.session import Session
from normbench.engine.sums import PendingMetrics, PendingSums
from normbench.engine.transfer import Span, StatesTransfer, Transfer, mapped
from normbench.engine.writer import Writer
from normbench.schedules import epoch_factors, factor

CHECKPOINT_SECONDS = 30.0
_FIRST_CHECKPOINT_SECONDS = 2.0


class Sink(Protocol):
    """Where the engine's output goes; the engine knows nothing of files."""

    def point(self, point: Point) -> None:
        """Take a curve point, once for each epoch."""
        ...

    def progress(self, epoch: int, step: int, steps: int) -> None:
        """Take note that *step* of the *steps* of *epoch* are issued; about once a second."""
        ...

    def checkpoint(self, write: Callable[[Path], None], epoch: int) -> None:
        """Keep what *write* puts into the file it is given, in place of the last checkpoint.

        It may be called from another thread while points and progress are taken.
        """
        ...


@dataclass(frozen=True)
class Epoch:
    """One epoch of training that a run asks for.

    Attributes:
        number: Counted from 1.
        factors: Of the learning rate, one for each step.
        progress: To be called about once a second with (steps done, steps in all).
        observe: To be called behind each step with its index; None if nobody looks.
    """

    number: int
    factors: Sequence[float]
    progress: Report
    observe: Observe | None


Course = Generator[Epoch, PendingSums, dict[str, Any]]


@dataclass(frozen=True)
class Spent:
    """What a run has spent so far, as the loop counts it.

    Attributes:
        gradient_evaluations: Backward passes.
        engine: The rung at work.
        decided: Whether it is final.
        seconds: Spent on trying rungs and recording.
    """

    gradient_evaluations: int
    engine: str
    decided: bool
    seconds: float


@dataclass
class Reading:
    """What an epoch left behind, on its way to the host.

    Attributes:
        epoch: Counted from 1; 0 is the moment before training.
        spent: Up to its end.
        sums: Of its steps.
        metrics: Of its evaluation, if one was due.
        parameters: Whether each was finite.
        training: Spans charged to training; what was tried meanwhile is taken off.
        tried: Seconds of them spent on trying rungs, or by observers.
        evaluation: Span charged to evaluation.
        recorded: Seconds of it spent on recording.
        states: Of network and optimizer, if a checkpoint was due.
        overtaken: Whether it is read when steps of the next epoch are issued.
        joules: Energy up to its end; None if unknown, and before it is read unless overtaken.
    """

    epoch: int
    spent: Spent
    sums: PendingSums | None = None
    metrics: PendingMetrics | None = None
    parameters: Transfer | None = None
    training: tuple[Span, ...] = ()
    tried: float = 0.0
    evaluation: Span | None = None
    recorded: float = 0.0
    states: StatesTransfer | None = None
    overtaken: bool = False
    joules: float | None = None


class Trainer:
    """Trains one session and reports to a sink.

    Args:
        session: What to train.
        sink: Where points, progress and checkpoints go.
        checkpoint_seconds: Least time between checkpoints.
        observing: What looks at the network meanwhile, of no effect on it.
        late: Whether an epoch is read when the next one's steps have been issued, and checkpoints
            are written by a thread; None for where it pays, on CUDA. Not if anything observes.
        recorder: Records evaluations; None for that of the device, if it has one.
        energy: Counts what the run uses; None if nothing does.

    Attributes:
        network: The one whose weights are the result: it trains, or it holds the averages.
    """

    def __init__(
        self,
        session: Session,
        sink: Sink,
        *,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        observing: Observing | None = None,
        late: bool | None = None,
        recorder: Recorder | None = None,
        energy: EnergyUse | None = None,
    ) -> None:
        self._session, self._sink = session, sink
        self._observing = observing or Observing(session)
        self._energy = energy or EnergyUse()
        self.network = session.network
        self._spec = session.spec
        self._steps = session.source.steps
        self._checkpoint_seconds = checkpoint_seconds
        on_cuda = session.device.type == "cuda"
        self._late = (on_cuda if late is None else late) and not self._observing.watches
        record = RECORDERS.get(session.device.type)
        if recorder is None and record is not None:
            recorder = record(session.device, session.randomness.evaluation_generators)
        self._evaluator = Evaluator(session, recorder)
        self._curve = Curve(session.spec)
        self._reading: Reading | None = None
        self._aside: dict[str, Any] = {}
        self._engine, self._earlier_engine_seconds = session.loop.name, 0.0
        self._writer = Writer()
        self._began = self._saved = 0.0

    def run(self, resume: Path | None = None, points: Sequence[Point] = ()) -> dict[str, Any]:
        """Train to the end and return the result.

        Args:
            resume: Checkpoint to go on from.
            points: Curve points up to that checkpoint.
        """
        course = self.course(resume, points)
        try:
            epoch = next(course)
            while True:
                epoch = self._drive(course, epoch)
        except StopIteration as end:
            result: dict[str, Any] = end.value
            return result
        finally:
            course.close()

    def _drive(self, course: Course, epoch: Epoch) -> Epoch:
        """Train *epoch* with the session's own loop and return the next one."""
        loop = self._session.loop
        try:
            sums = loop.run_epoch(epoch.number, epoch.factors, epoch.progress, epoch.observe)
        except Exception as error:  # noqa: BLE001 - the course says what becomes of it
            return course.throw(error)
        return course.send(sums)

    def course(self, resume: Path | None = None, points: Sequence[Point] = ()) -> Course:
        """Do all of a run but its steps: yield each epoch to train, and return the result.

        Whoever drives it trains the session's network as the epoch says and sends the sums, or
        throws in what broke the epoch; and closes it in the end.

        Args:
            resume: Checkpoint to go on from.
            points: Curve points up to that checkpoint.
        """
        try:
            return (yield from self._epochs(resume, points))
        finally:
            self._writer.close()

    def _epochs(self, resume: Path | None, points: Sequence[Point]) -> Course:
        bad_step: int | None = None
        if resume is None:
            bad_step = self._begin()
        else:
            self._resume(resume, points)
        self._began = self._saved = time.monotonic()
        for epoch in range(self._curve.progress.epoch + 1, self._spec.epochs + 1):
            if bad_step is None:
                bad_step = yield from self._train(epoch)
        if bad_step is None:
            bad_step = self._settle()
        return self._result(bad_step)

    def _begin(self) -> int | None:
        """Evaluate and observe the network before the first step; return 0 if it is no good."""
        reading = Reading(0, self._spent())
        self._evaluate(reading)
        self._observing.begin()
        return self._leave(reading)

    def _resume(self, path: Path, points: Sequence[Point]) -> None:
        progress = checkpoint.restore(path, self._session, self._observing)
        self._earlier_engine_seconds = progress.engine_seconds
        self._energy.earlier = progress.energy_joules
        self._curve = Curve(self._spec, points, progress)

    def _train(self, epoch: int) -> Generator[Epoch, PendingSums, int | None]:
        """Have one epoch trained; return the step that diverged, counted from 1, if one did."""
        if self._reading is not None:
            self._reading.overtaken, self._reading.joules = True, self._energy.joules()
        before, span = self._spent(), Span(self._session.device)
        try:
            sums = yield self._asked(epoch)
        except Exception:
            # A network that is no longer finite may break anything.
            if (bad_step := self._settle()) is not None:
                return bad_step
            raise
        span.end()
        spent = self._spent()
        tried = spent.seconds - before.seconds + self._observing.epoch_seconds
        reading = Reading(epoch, spent, sums, training=(span,), tried=tried)
        if (bad_step := self._settle()) is not None:
            return bad_step
        if not self._late and sums.read().first_bad_step is not None:
            return self._leave(reading)
        try:
            self._evaluate(reading)
        except Exception:
            if sums.read().first_bad_step is None:
                raise
            # Had this been known, it would not have been evaluated.
            self._aside = {}
            self._reading = Reading(epoch, spent, sums, training=(span,), tried=tried)
            return self._settle()
        return self._leave(reading)

    def _asked(self, epoch: int) -> Epoch:
        return Epoch(
            epoch,
            epoch_factors(self._spec.protocol.rules, epoch, self._spec.epochs, self._steps),
            lambda step, total: self._sink.progress(epoch, step, total),
            self._observing.start_epoch(epoch),
        )

    def _evaluate(self, reading: Reading) -> None:
        """Evaluate the network after an epoch, if that is due, and look at its parameters."""
        rules, epoch = self._spec.protocol.rules, reading.epoch
        if epoch % rules.evaluate_every == 0 or epoch == self._spec.epochs:
            self.network = self._judged_network(reading)
            recorded = self._evaluator.engine_seconds
            reading.evaluation = Span(self._session.device)
            reading.metrics = self._evaluator.evaluate(self.network)
            reading.evaluation.end()
            reading.recorded = self._evaluator.engine_seconds - recorded
        if epoch:
            reading.parameters = Transfer(_finite(self._session.network))

    def _judged_network(self, reading: Reading) -> nn.Module:
        """Return the network to evaluate after an epoch.

        Averaged weights are of no use before their statistics are estimated, so that is training.
        """
        averaged = self._session.averaged
        if averaged is None or reading.epoch == 0:
            return self._session.network
        span = Span(self._session.device)
        averaged.refresh()
        span.end()
        reading.training = (*reading.training, span)
        return averaged.network

    def _leave(self, reading: Reading) -> int | None:
        """Leave *reading* to be settled: later, or now; return the bad step then known."""
        self._reading = reading
        if self._late:
            if self._is_checkpoint_due(reading.epoch):
                reading.states = StatesTransfer(checkpoint.states(self._session))
            self._aside = mapped(self._session.network.state_dict(), _clone)
            return None
        bad_step = self._settle()
        if bad_step is None and self._is_checkpoint_due(reading.epoch):
            self._sink.checkpoint(self._save, reading.epoch)
            self._saved = time.monotonic()
        return bad_step

    def _is_checkpoint_due(self, epoch: int) -> bool:
        if epoch in (0, self._spec.epochs) or self._writer.busy:
            return False
        # The first ones come early and each doubles the time, so that an attempt of any length
        # keeps about half of what it trained at least.
        early = _FIRST_CHECKPOINT_SECONDS + self._saved - self._began
        now = time.monotonic()
        if now - self._saved < min(self._checkpoint_seconds, early):
            return False
        self._saved = now
        return True

    def _settle(self) -> int | None:
        """Read what the last epoch left behind and report it; return its bad step, if any."""
        reading, self._reading = self._reading, None
        self._writer.check()
        if reading is None:
            return None
        self._charge(reading)
        bad_step, point = self._judged(reading)
        if bad_step is None:
            self._curve.progress.epoch = reading.epoch
            self._curve.add(point)
            self._sink.point(point)
        if reading.epoch:
            self._observing.end_epoch(bad_step)
        if bad_step is None and reading.states is not None:
            content = checkpoint.content(
                self._session, reading.states.read(), self._curve.progress, self._observing
            )
            write = partial(checkpoint.write, content=content)
            self._writer.start(partial(self._sink.checkpoint, write, reading.epoch))
        return bad_step

    def _charge(self, reading: Reading) -> None:
        """Add to the progress what an epoch has spent."""
        progress, spent = self._curve.progress, reading.spent
        progress.train_seconds += sum(span.seconds for span in reading.training) - reading.tried
        if reading.evaluation is not None:
            progress.evaluation_seconds += reading.evaluation.seconds - reading.recorded
        progress.engine_seconds = self._earlier_engine_seconds + spent.seconds + reading.recorded
        progress.gradient_evaluations = spent.gradient_evaluations
        # If no further steps are issued, the spans have waited for all there is.
        progress.energy_joules = reading.joules if reading.overtaken else self._energy.joules()
        self._engine = spent.engine
        if reading.epoch:
            progress.engine = spent.engine if spent.decided else ""

    def _judged(self, reading: Reading) -> tuple[int | None, Point]:
        """Return the step at which an epoch diverged, if it did, and its point if it did not."""
        epoch, steps = reading.epoch, self._steps
        point: Point = {"epoch": epoch, "step": epoch * steps, "lr": self._rate(epoch)}
        if reading.sums is not None:
            sums = reading.sums.read()
            if sums.first_bad_step is not None:
                return (epoch - 1) * steps + sums.first_bad_step + 1, point
            point["train"] = sums.metrics
        if reading.metrics is not None:
            point.update(reading.metrics.read())
        sound = reading.parameters is None or bool(reading.parameters.read()[0])
        return (None if sound and finite(point) else epoch * steps), point

    def _rate(self, epoch: int) -> float:
        """Return the learning rate that the step after *epoch* starts from."""
        base = self._spec.learning_rate
        return base * factor(self._spec.protocol.rules, epoch, self._spec.epochs)

    def _spent(self) -> Spent:
        loop = self._session.loop
        seconds = loop.engine_seconds + self._evaluator.engine_seconds
        return Spent(loop.gradient_evaluations, loop.name, loop.decided, seconds)

    def _save(self, path: Path) -> None:
        checkpoint.save(path, self._session, self._curve.progress, self._observing)

    def _result(self, bad_step: int | None) -> dict[str, Any]:
        self._writer.wait()
        session, outcome = self._session, "finished" if bad_step is None else "diverged"
        if outcome == "diverged":
            self.network = session.network
            if self._aside:
                self.network.load_state_dict(self._aside)
        known = self._curve.result(outcome, bad_step, self._steps, session.source.examples)
        return known | {
            "observing_seconds": round(self._observing.seconds, 6),
            "peak_memory_mb": round(peak_memory(session.device) / 2**20, 1),
            "weights_sha256": checkpoint.weights_hash(self.network),
            "engine": self._engine,
            "device": str(session.device),
            "shared": False,
            "finished_at": time.time(),
        }


def _finite(network: nn.Module) -> Tensor:
    """Return whether every parameter is finite, on the device."""
    parameters = [p.detach() for p in network.parameters()]
    norms = torch._foreach_norm(parameters, math.inf)
    return torch.isfinite(torch.stack(norms)).all()


def _clone(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def peak_memory(device: torch.device) -> int:
    """Return bytes: the device's peak on CUDA, else this process's largest resident size."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
