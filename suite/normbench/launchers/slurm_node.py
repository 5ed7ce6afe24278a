"""What runs inside a SLURM job: it drains the runs of a launch with all that the job was given.

The draining is a process of its own, ``normbench worker --drain``, in its own session and deaf to
the signal by which SLURM announces the end of a job: that signal goes to the agent alone, which
stops the process, so that its workers leave their runs at their last checkpoints, and then has the
job queued again. Nothing but the store is carried from one job to the next.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from normbench.errors import StoreError
from normbench.launchers.launches import LaunchFolder
from normbench.launchers.slurm_queue import queued, seconds_left
from normbench.store import IndexedRun, RunStore, processes
from normbench.store.checkpoints import find_checkpoint
from normbench.store.folders import list_attempts
from normbench.store.layout import run_path
from normbench.store.queue import Queue, pending_in
from normbench.worker.predictions import Predictor

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

_POLL_SECONDS = 0.2
_STOP_SECONDS = 60.0
_LONG_ENOUGH = 0.5
_DONE = (0, 1)
_MOST_FRUITLESS = 10
_MOST_ASKED = 1000
_log = logging.getLogger(__name__)


@dataclass
class NodeAgent:
    """The whole of one job; submitit pickles it, calls it, and asks it for a ``checkpoint``.

    Attributes:
        store: Folder of the run store.
        launch: Folder of the launch.
        command: ``normbench worker --drain`` with all but what the node decides.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        slots: As the user gave them; None for one on each core or GPU of the job.
        signal_seconds: How long before its end SLURM warns the job.
        furthest: Epochs in checkpoints and ended runs of the launch, as many as earlier jobs saw.
        fruitless: Jobs in a row, in the place of this one, in which that did not grow.
    """

    store: str
    launch: str
    command: tuple[str, ...]
    device: str
    slots: str | None
    signal_seconds: int
    furthest: int = -1
    fruitless: int = 0
    _stopping: bool = field(default=False, init=False)
    _draining: tuple[int, str] | None = field(default=None, init=False)

    def __call__(self) -> None:
        """Drain the runs; have the job queued again where its time was too short for them."""
        _log_to_job()
        signal.signal(signal.SIGTERM, self._stop)
        began, wall = time.monotonic(), self._wall_time()
        if wall is not None and not self._any_fits(wall):
            _log.info("no run that is left would end within this job; beginning one anyway")
            wall = None
        self._drain(wall)
        if not self._stopping and self._left():
            if wall is not None and time.monotonic() - began < wall * _LONG_ENOUGH:
                _log.info("no run that is left would end within this job; beginning one anyway")
                self._drain(None)
            _requeue()
        if self._stopping and not _is_ending():
            _requeue()

    def checkpoint(self) -> DelayedSubmission | None:
        """Stop the workers at their last checkpoints and say what the next job is to do.

        It is to do nothing after many jobs in which no run got any further: an epoch that takes
        longer than a job would have jobs follow each other for ever.
        """
        from submitit.helpers import DelayedSubmission

        self._stop()
        if self._draining is not None:
            _await_end(*self._draining)
        reached = self._reached()
        fruitless = 0 if reached > self.furthest else self.fruitless + 1
        if fruitless >= _MOST_FRUITLESS:
            _log.error(
                "no run got further in %d jobs in a row; give them more time than one epoch takes",
                fruitless,
            )
            return None
        furthest = max(reached, self.furthest)
        return DelayedSubmission(replace(self, furthest=furthest, fruitless=fruitless))

    def _wall_time(self) -> float | None:
        left = seconds_left(job_id())
        return None if left is None else max(left - self.signal_seconds, 1.0)

    def _drain(self, wall: float | None) -> None:
        """Drain until nothing is left to take, or *wall* seconds are over."""
        gpus, slots = gpus_given(), self.slots
        device = ("cuda" if gpus else "cpu") if self.device == "auto" else self.device
        if device == "cpu":
            slots = slots or str(cores_given())
        # Should this agent be killed, what drains must not outlive the job.
        words = ["--parent", str(os.getpid()), "--device", device]
        words += ["--slots", slots] if slots else []
        if wall is not None:
            words += ["--wall-time", f"{wall:.0f}"]
        process = subprocess.Popen(
            [*self.command, *words],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **({"CUDA_VISIBLE_DEVICES": gpus} if gpus else {})},
            start_new_session=True,
            preexec_fn=_be_deaf,
        )
        self._draining = process.pid, processes.started(process.pid)
        if self._stopping:
            self._stop()
        while process.poll() is None:
            time.sleep(_POLL_SECONDS)
        self._draining = None
        if process.returncode not in _DONE and not self._stopping:
            _log.error("draining ended with %s", process.returncode)
            sys.exit(process.returncode if process.returncode > 0 else 1)

    def _reached(self) -> int:
        """Return how far the runs of the launch are, as a number that grows."""
        try:
            store = RunStore.open(Path(self.store))
            names = LaunchFolder(Path(self.launch)).runs()
            if names is None:
                names = [run.fingerprint for run in store.runs()]
            seen = store.indexed(names).values()
        except StoreError as error:
            _log.warning("%s", error)
            return self.furthest
        return sum(run.epoch + 1 if run.complete else _kept(store, run) for run in seen)

    def _any_fits(self, wall: float) -> bool:
        """Whether some run would end within *wall* seconds, as far as is known, or none is left.

        Asked here, so that no workers are started only to decline all runs.
        """
        launch, store = LaunchFolder(Path(self.launch)), RunStore.open(Path(self.store))
        predictor = Predictor(store)
        names = islice(pending_in(store, launch.runs()), _MOST_ASKED)
        found = (store.get(name) for name in names)
        left = [run for run in found if run is not None and run.result() is None]
        return not left or any((predictor.seconds(run) or 0.0) < wall for run in left)

    def _left(self) -> bool:
        """Whether there are runs that this job could have gone on with."""
        launch = LaunchFolder(Path(self.launch))
        store = RunStore.open(Path(self.store))
        queue = Queue(store, launch.runs(), since=launch.info().get("since"))
        return queue.ready(1) > 0 or queue.waits_here

    def _stop(self, number: int = 0, frame: FrameType | None = None) -> None:  # noqa: ARG002
        """Stop draining; SLURM sends SIGTERM before it takes the node away."""
        self._stopping = True
        if self._draining is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._draining[0], signal.SIGTERM)


def _kept(store: RunStore, run: IndexedRun) -> int:
    """Return the epochs of an unfinished run that no later job has to train again."""
    if not run.attempts:
        return 0
    found = [
        find_checkpoint(each.path) for each in list_attempts(run_path(store.root, run.fingerprint))
    ]
    return max((checkpoint.epoch for checkpoint in found if checkpoint), default=0)


def job_id() -> str:
    """Return the id of this job alone; the number of the last job of an array is the array's."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ["SLURM_JOB_ID"]


def gpus_given() -> str:
    """Return the GPUs of this job as ``CUDA_VISIBLE_DEVICES`` names them; empty if it has none.

    A job that asked for none may find all GPUs of its node in sight; they are not its own.
    """
    names = ("CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS")
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def cores_given() -> int:
    """Return the cores that this job may compute on."""
    cores = len(os.sched_getaffinity(0))
    given = re.match(r"\d+", os.environ.get("SLURM_JOB_CPUS_PER_NODE", ""))
    return min(cores, int(given[0])) if given else cores


def _log_to_job() -> None:
    """Show what normbench says in the job's log; submitit shows its own."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("normbench")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _be_deaf() -> None:
    """Ignore the warning of the job's end, here and in all that is started from here."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _await_end(pid: int, started: str) -> None:
    """Wait until a process has ended; make it and what it started end if it does not."""
    deadline = time.monotonic() + _STOP_SECONDS
    while not processes.is_dead(pid, started):
        if time.monotonic() > deadline:
            _log.warning("draining did not stop within %g s", _STOP_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            return
        time.sleep(_POLL_SECONDS)


def _is_ending() -> bool:
    """Whether SLURM has ended this job for good, or says nothing."""
    jobs = queued((job_id(),))
    return not jobs or all(job.state != "RUNNING" for job in jobs)


def _requeue() -> None:
    """Have submitit queue this job again, as when SLURM warns it; does not return."""
    signal.raise_signal(signal.SIGUSR2)
