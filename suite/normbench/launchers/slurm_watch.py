"""Watching a launch on SLURM: what its queue and the store say, and what is left at the end."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import LaunchFolder
from normbench.launchers.signals import check_interrupted
from normbench.launchers.slurm_queue import Job, cancel_waiting, ended_as, queued
from normbench.launchers.words import resume_command
from normbench.quantities import counted
from normbench.store import RunState, RunStore
from normbench.store.queue import Queue

POLL_SECONDS = 0.5
LOOK_SECONDS = 3.0
_LOOK_SHARE = 0.05
_TAIL_LINES = 5
_SHOWN = 5
_LEFT = (RunState.PENDING, RunState.RUNNING, RunState.INTERRUPTED)
_log = logging.getLogger(__name__)


def watch_jobs(
    request: LaunchRequest, launch: LaunchFolder, number: str, tick: Callable[[], None]
) -> None:
    """Wait until all runs are over or all jobs are gone; then say what is left.

    Args:
        request: What is trained.
        launch: Folder of the launch.
        number: Number of its job or array.
        tick: Called a few times a second.
    """
    look = _Look(request, launch, number)
    while not look.is_over():
        check_interrupted()
        tick()
        time.sleep(POLL_SECONDS)
    tick()
    launch.note(ended=time.time())
    look.report()


class _Look:
    """What the queue and the store say of a launch, looked at every few seconds."""

    def __init__(self, request: LaunchRequest, launch: LaunchFolder, number: str) -> None:
        self._request, self._launch, self._number = request, launch, number
        self._store = RunStore.open(request.store)
        self._states = ""
        self._next = time.monotonic() + LOOK_SECONDS
        self._seen_none = False

    def is_over(self) -> bool:
        """Whether nothing is left to wait for."""
        if time.monotonic() < self._next:
            return False
        began = time.monotonic()
        over = self._look()
        # Long lists on slow disks are looked through less often.
        spent = time.monotonic() - began
        self._next = time.monotonic() + max(LOOK_SECONDS, spent / _LOOK_SHARE)
        return over

    def report(self) -> None:
        """Say which runs are left and how to go on, if any are."""
        left = self._left()
        if not left:
            return
        shown = ", ".join(run[:8] for run in left[:_SHOWN])
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        ends = ended_as([self._number])
        states = f" sacct: {', '.join(f'{j} {s}' for j, s in ends.items())}." if ends else ""
        _log.warning(
            "job %s is gone and %s left: %s%s.%s Go on with: %s. %s",
            self._number,
            f"{counted(len(left), 'run')} {'is' if len(left) == 1 else 'are'}",
            shown,
            more,
            states,
            resume_command(self._request, "slurm"),
            _said(self._launch.logs),
        )

    def _look(self) -> bool:
        jobs = queued([self._number])
        if jobs is None:
            return False
        self._show(jobs)
        if not jobs:
            # A job that is queued again is nowhere for a moment.
            gone, self._seen_none = self._seen_none, True
            return gone
        self._seen_none = False
        if not self._all_over():
            return False
        cancel_waiting(self._number)
        return True

    def _show(self, jobs: Sequence[Job]) -> None:
        counts = Counter(_in_words(job) for job in jobs)
        states = ", ".join(f"{count} {words}" for words, count in sorted(counts.items()))
        if states != self._states:
            _log.info("job %s: %s", self._number, states or "gone")
        self._states = states

    def _all_over(self) -> bool:
        queue = Queue(self._store, self._launch.runs(), since=self._launch.info().get("since"))
        return not queue.ready(1) and not queue.held

    def _left(self) -> list[str]:
        """Return the runs that have not ended."""
        names = self._launch.runs()
        if names is None:
            names = [run.fingerprint for run in self._store.runs()]
        seen = self._store.indexed(names)
        return [name for name, run in seen.items() if run.state in _LEFT]


def _in_words(job: Job) -> str:
    waits = job.state == "PENDING" and job.reason != "None"
    return job.state.lower() + (f" ({job.reason})" if waits else "")


def _said(logs: Path) -> str:
    """Return the end of what a job said last."""
    files = sorted(logs.glob("*_log.out"), key=lambda file: file.stat().st_mtime)
    if not files:
        return (
            f"No job wrote a log to {logs}: do the nodes see this folder, and may they write there?"
        )
    lines = files[-1].read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([f"The end of {files[-1]}:", *lines[-_TAIL_LINES:]])
