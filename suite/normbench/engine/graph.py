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

from torch import Tensor

from normbench.engine.agreement import Agreement, far, unequal
from normbench.engine.captured import CapturedLoop
from normbench.engine.randomness import Randomness
from normbench.engine.recording import Recorder
from normbench.engine.snapshot import Snapshot
from normbench.engine.step import Step
from normbench.engine.trial import Captured, Trial, obstacle
from normbench.errors import NormbenchError, UsageError
from normbench.rungs import Rung
from normbench.tasks import Task

TRIAL_STEPS = 3
_log = logging.getLogger("normbench.engine")


class LadderLoop(CapturedLoop):
    """Takes its first step plainly, then tries rungs from the highest to the lowest.

    The first step of a run makes the optimizer's state, which a captured one cannot. A last batch
    that is smaller is always trained on plainly, and so is the first of an epoch that begins with a
    state of another form than batches leave.

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
        super().__init__(
            step, randomness, recorder=recorder, compiled=compiled, needs_closure=needs_closure
        )
        self._rungs, self._pays, self._kept = tuple(rungs), pays, ""
        self._waited = False
        self._agreement = agreement or Agreement()

    @property
    def decided(self) -> bool:
        """Whether the rungs have been tried."""
        return not self._rungs

    def keep(self, rung: str) -> None:
        """Go on with the rung that the run began on, or not at all.

        Raises:
            UsageError: If it cannot be had here.
        """
        self._kept, self._pays = rung, None
        self._rungs = () if rung == Rung.EAGER else (Rung(rung),)
        if rung in (Rung.GRAPH, Rung.GRADIENT_GRAPH) and not self._captures:
            raise self._lost("this device captures nothing")

    def disagreement(self, trial: Trial, first: Mapping[str, Tensor]) -> str:
        """Return how the steps just taken differ from those of *trial*; empty if they do not.

        Args:
            trial: What was done alone.
            first: What :meth:`first` was after the first of them.
        """
        if self._agreement.exact:
            return unequal(trial.values, trial.snapshot.values())
        return far(trial.first, first, self._agreement.tolerance)

    def _take(self, size: int, left: int) -> None:
        source = self._step.source
        self._step.fetch(size)
        whole = size == source.batch_size
        if whole and self._rungs and self.gradient_evaluations:
            with self._timed():
                self._climb(min(TRIAL_STEPS, left - (source.last_size != size)))
        if whole and self._captured is not None and self._step.holds:
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
        """Try the rungs; what holds is at work from now on.

        Behind a checkpoint the first step of an epoch may be one that begins a state: a plain one
        goes before then. On a rung that is kept as many do as the state's form takes, for the run
        was captured behind them before.
        """
        self._step.hold()
        trial = self._tried_plainly(steps)
        if trial.begins_state and (self._kept or not self._waited):
            self._waited = True
            return
        rungs, self._rungs = self._rungs, ()
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
        if self._pays is None:
            return
        if not self._pays(self.gradient_evaluations, self._seconds(captured, trial)):
            return
        compiled, reason = self._tried(Rung.COMPILE, trial)
        if compiled is None:
            _log.warning("engine compile does not hold: %s; going on with graph", reason)
        self._captured = compiled or captured

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
