"""Loops above the plain one: steps captured once and replayed, or compiled.

A rung must earn its place. Before its first step, trial steps show that nothing but tensors
changes, and its own steps are held against plain ones; everything tried is undone to the bit. What
does not hold falls to the rung below, with a line in the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from normbench.engine.agreement import Agreement, far, flat, unequal
from normbench.engine.loop import EagerLoop
from normbench.engine.randomness import Randomness
from normbench.engine.recording import PlainRecorder, Recorder, Work
from normbench.engine.snapshot import Path, Snapshot
from normbench.engine.step import Step
from normbench.engine.trial import Captured, Trial, obstacle, spoil
from normbench.errors import NormbenchError, UsageError
from normbench.rungs import Rung
from normbench.tasks import Scores, Task

TRIAL_STEPS = 3
_log = logging.getLogger("normbench.engine")


class LadderLoop(EagerLoop):
    """Takes its first step plainly, then tries rungs from the highest to the lowest.

    The first step of a run makes the optimizer's state, which a captured one cannot. A last batch
    that is smaller is always trained on plainly.

    Args:
        step: What is done on each batch.
        randomness: Streams of the layers.
        rungs: What to try, the best first; the plain loop is what remains.
        recorder: Records steps; None if nothing can on this device.
        compiled: The step's task, compiled.
        agreement: How closely steps must agree with plain ones.
        pays: Whether compiling a captured step pays, from the steps taken and the seconds of one;
            None if it is not to be tried by itself.
        needs_closure: Whether the optimizer evaluates the loss itself.
    """

    def __init__(
        self,
        step: Step,
        randomness: Randomness,
        *,
        rungs: Sequence[Rung] = (),
        recorder: Recorder | None = None,
        compiled: Task | None = None,
        agreement: Agreement | None = None,
        pays: Callable[[int, float], bool] | None = None,
        needs_closure: bool = False,
    ) -> None:
        super().__init__(step, randomness, needs_closure=needs_closure)
        self._rungs, self._compiled, self._pays = tuple(rungs), compiled, pays
        self._recorder, self._captures = recorder or PlainRecorder(), recorder is not None
        self._agreement = agreement or Agreement()
        self._plain_task = step.task
        self._captured: Captured | None = None
        self._bound = False
        self._draws_globally = False
        self._kept = ""

    @property
    def name(self) -> str:
        """The rung at work."""
        return self._captured.rung.value if self._captured else Rung.EAGER.value

    @property
    def decided(self) -> bool:
        """Whether the rungs have been tried."""
        return not self._rungs

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

    def keep(self, rung: str) -> None:
        """Go on with the rung that the run began on, or not at all.

        Raises:
            UsageError: If it cannot be had here.
        """
        self._kept, self._pays = rung, None
        self._rungs = () if rung == Rung.EAGER else (Rung(rung),)
        if rung in (Rung.GRAPH, Rung.GRADIENT_GRAPH) and not self._captures:
            raise self._lost("this device captures nothing")

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
        """Put scores and gradients of *captured* where others look for them."""
        for parameter, gradient in captured.gradients:
            parameter.grad = gradient
        self._step.scores = captured.scores

    def undo(self, trial: Trial) -> None:
        """Go back to where *trial* began."""
        self._step.task, self._bound = self._plain_task, False
        trial.snapshot.restore()

    def disagreement(self, trial: Trial, first: Mapping[str, Tensor]) -> str:
        """Return how the steps just taken differ from those of *trial*; empty if they do not.

        Args:
            trial: What was done alone.
            first: What :meth:`first` was after the first of them.
        """
        if self._agreement.exact:
            return unequal(trial.values, trial.snapshot.values())
        return far(trial.first, first, self._agreement.tolerance)

    def first(self) -> dict[str, Tensor]:
        """Return loss and gradient of the last step."""
        gradients = [each.grad for each in self._step.network.parameters()]
        return {
            "loss": flat([self._step.scores.loss]),
            "gradient": flat([each for each in gradients if each is not None]),
        }

    def take_plain_step(self, size: int) -> None:
        """Take a step on *size* examples, one operation after another."""
        self._bound = False
        self._plain(size)

    def _take(self, size: int, left: int) -> None:
        source = self._step.source
        self._step.fetch(size)
        whole = size == source.batch_size
        if whole and self._rungs and self.gradient_evaluations:
            with self._timed():
                self._climb(min(TRIAL_STEPS, left - (source.last_size != size)))
        if whole and self._captured is not None:
            self._replay(self._captured, size)
        else:
            self.take_plain_step(size)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count what the block takes, on the device too, as spent on the engine."""
        self._recorder.wait()
        started = time.perf_counter()
        try:
            yield
        finally:
            self._recorder.wait()
            self.engine_seconds += time.perf_counter() - started

    def _climb(self, steps: int) -> None:
        """Try the rungs; what holds is at work from now on."""
        rungs, self._rungs = self._rungs, ()
        self._step.hold()
        trial = self._tried_plainly(steps)
        for rung, below in zip(rungs, (*rungs[1:], Rung.EAGER), strict=True):
            self._captured, reason = self._tried(rung, trial)
            if self._captured is not None:
                _log.info("engine %s", rung)
                break
            if self._kept:
                raise self._lost(reason)
            _log.warning("engine %s does not hold: %s; going on with %s", rung, reason, below)
        if self._captured is not None and self._captured.rung is Rung.GRAPH:
            self._compile_if_it_pays(self._captured, trial)

    def _compile_if_it_pays(self, captured: Captured, trial: Trial) -> None:
        if self._pays is None or not self._pays(self.gradient_evaluations, self._seconds(trial)):
            return
        compiled, reason = self._tried(Rung.COMPILE, trial)
        if compiled is None:
            _log.warning("engine compile does not hold: %s; going on with graph", reason)
        self._captured = compiled or captured

    def _seconds(self, trial: Trial) -> float:
        """Return the seconds of a captured step."""
        self._recorder.wait()
        started = time.perf_counter()
        self._steps_of(self._captured, trial)
        self._recorder.wait()
        return (time.perf_counter() - started) / trial.steps

    def _lost(self, reason: str) -> UsageError:
        return UsageError(
            f"this run began on engine {self._kept}, which it keeps so that its bits do not depend "
            f"on where it was stopped, and that cannot be had here: {reason}. Resume it on a "
            "machine like the first, or delete its checkpoint to start it over."
        )

    def _tried_plainly(self, steps: int) -> Trial:
        """Take plain steps as warm-up and as standard."""
        snapshot = Snapshot(self._step, self._randomness)
        trial = Trial(snapshot, steps, {}, {}, {})
        with self._recorder.beside():
            values, first, changes = self._steps_of(None, trial)
        return Trial(snapshot, steps, values, first, changes)

    def _tried(self, rung: Rung, trial: Trial) -> tuple[Captured | None, str]:
        """Return *rung* ready to run if it holds, else None and the reason."""
        if self._captures and (reason := obstacle(rung, trial.changes)):
            return None, reason
        counted = self.gradient_evaluations
        try:
            captured = self._capture(rung, trial)
            values, first, _ = self._steps_of(captured, trial)
        except NormbenchError:
            raise
        except Exception as error:  # noqa: BLE001 - any layer and any optimizer is in there
            words = str(error).strip().splitlines() or [""]
            return None, f"{type(error).__name__}: {words[0]}"
        finally:
            self._step.task, self.gradient_evaluations = self._plain_task, counted
            trial.snapshot.restore()
        if self._agreement.exact and rung is not Rung.COMPILE:
            reason = unequal(trial.values, values)
        else:
            reason = far(trial.first, first, self._agreement.tolerance)
        return (None, reason) if reason else (captured, "")

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
        self._bound = False
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
        self.gradient_evaluations, self._bound = counted, False
        return done

    def _replay(self, captured: Captured, size: int) -> None:
        if self._closures is not None:
            self._step.account(size, self._closures(lambda: self._replayed(captured)))
            return
        self._replayed(captured)
        if captured.rung is Rung.GRADIENT_GRAPH:
            self._step.optimizer.step()

    def _replayed(self, captured: Captured) -> Scores:
        if not self._bound or captured.rung is Rung.GRADIENT_GRAPH:
            # A plain step, or the optimizer, has put others in their place.
            self.bind(captured)
            self._bound = True
        captured.work()
        self.gradient_evaluations += 1
        return self._step.scores
