"""Runs as a worker trains them, an epoch at a time: what the engine does end to end.

Each is claimed in a run store of its own, and its trainer evaluates, looks at parameters, keeps
weights aside and writes as it does in a worker. Only checkpoints are fewer: they fall due by wall
time, most of which goes to other rows, so each comes after twice the time of the last, as the first
ones of a run do, and not every half minute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from threading import Semaphore, Thread

import torch

from normbench.bench.material import Material
from normbench.engine.pack import Member, Pack
from normbench.engine.session import Session
from normbench.engine.trainer import Course, Trainer
from normbench.errors import StoreError, UsageError
from normbench.store import RunStore
from normbench.worker.limits import TimeLimit
from normbench.worker.sink import AttemptSink

Pause = Callable[[], None]


class DrivenRun(Member):
    """One run, claimed as a worker claims it.

    Args:
        material: What is trained.
        session: The run's, new.
        pause: Called when all of an epoch is done.

    Attributes:
        alone: Epochs that its own loop trained.
    """

    def __init__(self, material: Material, session: Session, pause: Pause = lambda: None) -> None:
        self.alone = 0
        self._attempt = ExitStack()
        super().__init__(_without_end(self._opened(material, session), pause), lambda: session.loop)

    def train(self) -> None:
        """See :class:`normbench.engine.pack.Member`; begins with the first epoch."""
        if self.epoch is None:
            self.begin()
        self.alone += 1
        super().train()

    def close(self) -> None:
        """Let go of the run."""
        self.course.close()
        self._attempt.close()

    def _opened(self, material: Material, session: Session) -> Course:
        store = RunStore.open(Path(mkdtemp(dir=material.journal.folder)), create=True)
        attempt = store.add(session.spec).claim(material.environment)
        if attempt is None:
            raise StoreError(f"{store.root} was made for one run, but another process claimed it.")
        self._attempt.enter_context(attempt)
        sink = AttemptSink(attempt, TimeLimit(None), session.spec.epochs, session.device)
        return Trainer(session, sink, checkpoint_seconds=math.inf).course()


class DrivenPack:
    """Several runs that :class:`normbench.engine.pack.Pack` trains, an epoch each time it is asked.

    It trains to the end once begun, so it does that in a thread of its own, which pauses behind
    each epoch.

    Args:
        material: What is trained.
        sessions: Of the runs.
    """

    def __init__(self, material: Material, sessions: Sequence[Session]) -> None:
        self._asked, self._done, self._leave = Semaphore(0), Semaphore(0), False
        self._error: Exception | None = None
        *others, last = sessions
        self._runs = [DrivenRun(material, session) for session in others]
        self._runs.append(DrivenRun(material, last, self._pause))
        self._device, self._threads = material.device, torch.get_num_threads()
        self._thread = Thread(target=self._work, name="pack", daemon=True)

    @property
    def alone(self) -> int:
        """Epochs that a run's own loop trained, so not beside the others."""
        return sum(run.alone for run in self._runs)

    def train(self) -> None:
        """Train an epoch of each run, and do all that a worker does after it."""
        if self._error is not None:
            raise self._error
        if self._thread.is_alive():
            self._asked.release()
        else:
            self._thread.start()
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Let go of all runs."""
        if self._thread.is_alive():
            self._leave = True
            self._asked.release()
            self._thread.join()
        for run in self._runs:
            run.close()

    def _work(self) -> None:
        # Both are each thread's own.
        torch.set_num_threads(self._threads)
        try:
            if self._device.type == "cuda":
                torch.cuda.set_device(self._device)
            Pack(self._runs).run()
        except Exception as error:  # noqa: BLE001 - raised where an epoch was asked for
            self._error = error
        finally:
            self._done.release()

    def _pause(self) -> None:
        self._done.release()
        self._asked.acquire()
        if self._leave:
            raise _LeaveError


class _LeaveError(Exception):
    """No more epochs are asked for."""


def _without_end(course: Course, pause: Pause) -> Course:
    """Pass on what *course* asks for, and pause after each epoch; its end is an error."""
    try:
        epoch = next(course)
        while True:
            try:
                sums = yield epoch
            except Exception as error:  # noqa: BLE001 - the course says what becomes of it
                epoch = course.throw(error)
            else:
                epoch = course.send(sums)
                pause()
    except StopIteration as end:
        raise UsageError(
            f"a run {end.value['outcome']} while it was timed, {end.value['epochs']} epochs after "
            "its start: what has ended has no speed. Give a smaller learning rate, as in lr=0.001."
        ) from None
    finally:
        course.close()
