"""A loop whose steps may be recorded ones, and the trial steps that they are judged by."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from normbench.engine.agreement import flat
from normbench.engine.loop import EagerLoop
from normbench.engine.randomness import Randomness
from normbench.engine.recording import PlainRecorder, Recorder, Work
from normbench.engine.snapshot import Path, Snapshot
from normbench.engine.step import Step
from normbench.engine.trial import Captured, Trial, spoil
from normbench.rungs import Rung
from normbench.tasks import Scores, Task

TIMED_ROUNDS = 5


class CapturedLoop(EagerLoop):
    """Takes plain steps, or those of a rung once it has one.

    Args:
        step: What is done on each batch.
        randomness: Streams of the layers.
        recorder: Records steps; None if nothing can on this device.
        compiled: The step's task, compiled.
        needs_closure: Whether the optimizer evaluates the loss itself.
    """

    def __init__(
        self,
        step: Step,
        randomness: Randomness,
        *,
        recorder: Recorder | None = None,
        compiled: Task | None = None,
        needs_closure: bool = False,
    ) -> None:
        super().__init__(step, randomness, needs_closure=needs_closure)
        self._recorder, self._captures = recorder or PlainRecorder(), recorder is not None
        self._compiled, self._plain_task = compiled, step.task
        self._captured: Captured | None = None
        self._bound: Captured | None = None
        self._draws_globally = False

    @property
    def name(self) -> str:
        """The rung at work."""
        return self._captured.rung.value if self._captured else Rung.EAGER.value

    @property
    def captured(self) -> bool:
        """Whether steps are recorded ones, so that nothing but tensors changes in them."""
        return self._captures and self._captured is not None

    @property
    def replay(self) -> Work | None:
        """What takes a whole step by replaying it; None where Python takes steps."""
        captured = self._captured
        if captured is None or not self._captures or captured.rung is Rung.GRADIENT_GRAPH:
            return None
        return captured.work

    @property
    def can_branch(self) -> bool:
        """Whether its whole step may be recorded as one of several branches.

        Branches would take numbers out of torch's global generators from one another.
        """
        return self.replay is not None and not self._draws_globally

    @property
    def recorder(self) -> Recorder:
        """What records its steps."""
        return self._recorder

    @property
    def generators(self) -> Sequence[torch.Generator]:
        """What its steps draw from."""
        return self._randomness.generators

    def try_steps(self, steps: int) -> Trial:
        """Take steps as it does alone and undo them, for a branch to be held against.

        The epoch has begun; batches of the host are repeated.
        """
        snapshot = Snapshot(self._step, self._randomness)
        values, first, _ = self._steps_of(self._captured, Trial(snapshot, steps, {}, {}, {}))
        return Trial(snapshot, steps, values, first, {})

    def work(self) -> Work:
        """Return the step to record as a branch."""
        if self._captured is None:
            raise TypeError("a loop whose steps are not captured has no branch")
        return self._work(self._captured.rung)

    def recorded(self, replay: Work) -> Captured:
        """Return the branch just recorded, done again by *replay*."""
        gradients = [(each, each.grad) for each in self._step.network.parameters()]
        return Captured(Rung(self.name), replay, self._step.scores, gradients)

    def bind(self, captured: Captured) -> None:
        """Put scores and gradients of *captured* where others look for them, unless they are there.

        A plain step, or the optimizer behind a gradient, puts others in their place.
        """
        if self._bound is captured and captured.rung is not Rung.GRADIENT_GRAPH:
            return
        for parameter, gradient in captured.gradients:
            parameter.grad = gradient
        self._step.scores, self._bound = captured.scores, captured

    def undo(self, trial: Trial) -> None:
        """Go back to where *trial* began."""
        self._step.task, self._bound = self._plain_task, None
        trial.snapshot.restore()

    def first(self) -> dict[str, Tensor]:
        """Return loss and gradient of the last step."""
        gradients = [each.grad for each in self._step.network.parameters()]
        return {
            "loss": flat([self._step.scores.loss]),
            "gradient": flat([each for each in gradients if each is not None]),
        }

    def take_plain_step(self, size: int) -> None:
        """Take a step on *size* examples, one operation after another."""
        self._bound = None
        self._plain(size)

    def _seconds(self, captured: Captured, trial: Trial) -> float:
        """Return the seconds of a step of *captured*, a whole one, replayed bare; undoes them."""
        rounds = []
        for _ in range(TIMED_ROUNDS):
            self._recorder.wait()
            started = time.perf_counter()
            for _ in range(trial.steps):
                captured.work()
            self._recorder.wait()
            rounds.append((time.perf_counter() - started) / trial.steps)
            trial.snapshot.restore()
        return min(rounds)

    def _capture(self, rung: Rung, trial: Trial) -> Captured:
        work = self._work(rung)
        if rung is Rung.COMPILE:
            with self._recorder.beside():
                for _ in range(trial.steps):
                    work()
            trial.snapshot.restore()
        replay = self._recorder.capture(work)
        trial.snapshot.restore()
        gradients = [(each, each.grad) for each in self._step.network.parameters()]
        return Captured(rung, replay, self._step.scores, gradients)

    def _work(self, rung: Rung) -> Work:
        """Return what is captured: up to where only the optimizer can go on, if it must."""
        step, size = self._step, self._step.source.batch_size
        task = self._compiled if rung is Rung.COMPILE else None

        def work() -> None:
            step.task = task or self._plain_task
            step.gradient(size)
            step.task = self._plain_task
            if self._closures is None:
                step.account(size)
                if rung is not Rung.GRADIENT_GRAPH:
                    step.optimizer.step()

        return work

    def _steps_of(
        self, captured: Captured | None, trial: Trial
    ) -> tuple[dict[Path, Tensor], dict[str, Tensor], dict[Path, str]]:
        """Take trial steps, plain ones for None; return what they did, and undo it."""
        counted, size, first = self.gradient_evaluations, self._step.source.batch_size, {}
        self._bound = None
        if captured is not None:
            spoil(captured)
        for index in range(trial.steps):
            if captured is None:
                self._plain(size)
            else:
                self._replay(captured, size)
            if index == 0:
                first = self.first()
        first["movement"] = trial.snapshot.movement()
        self._draws_globally |= trial.snapshot.drew_globally()
        done = trial.snapshot.values(), first, trial.snapshot.changes()
        trial.snapshot.restore()
        self.gradient_evaluations, self._bound = counted, None
        return done

    def _replay(self, captured: Captured, size: int) -> None:
        if self._closures is not None:
            self._step.account(size, self._closures(lambda: self._replayed(captured)))
            return
        self._replayed(captured)
        if captured.rung is Rung.GRADIENT_GRAPH:
            self._step.optimizer.step()

    def _replayed(self, captured: Captured) -> Scores:
        self.bind(captured)
        captured.work()
        self.gradient_evaluations += 1
        return self._step.scores
