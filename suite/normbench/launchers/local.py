"""The local launcher: worker processes on this machine, each with its device pinned.

Every worker goes through the whole list and claims what is left of it, so nothing passes between
driver and workers but the store; what workers report besides only tells the driver whom to watch.
A worker that dies is replaced, and whatever it started is killed. Strikes are counted in the store
(:mod:`normbench.store.queue`), so a driver may die and another begin without losing count. Where
several workers share a GPU, what is known of its memory is in a file of the store
(:mod:`normbench.launchers.gpu_book`), which the driver asks before it starts a worker, and a worker
before it takes a run.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from normbench.errors import SecondInterrupt, StoreError
from normbench.launchers.base import LaunchRequest
from normbench.launchers.deaths import Deaths
from normbench.launchers.devices import check_pack, cores, devices
from normbench.launchers.gpu_book import GpuBook, GpuBookFile, gpu_name
from normbench.launchers.launches import LaunchFolder
from normbench.launchers.pool import WorkerProcess, start_worker
from normbench.launchers.seating import Needs, Seat, Seating
from normbench.launchers.signals import (
    check_interrupted,
    interrupted_by_signals,
    interrupts,
    shielded,
)
from normbench.launchers.tally import Tally
from normbench.quantities import counted, show_bytes
from normbench.store import RunState, RunStore
from normbench.store.queue import Queue
from normbench.tables import duration
from normbench.worker.trees import Processes

POLL_SECONDS = 0.1
LOOK_SECONDS = 0.5
ELSEWHERE_SECONDS = 1.0
GRACE_SECONDS = 10.0
TIME_GRACE_SECONDS = 10.0
LOOK_ANYWAY_SECONDS = 5.0
_log = logging.getLogger(__name__)


class LocalLauncher:
    """Trains runs on this machine; see :class:`Scheduler`."""

    def __call__(self, request: LaunchRequest, tick: Callable[[], None]) -> None:
        """Train the runs of *request*; see :class:`normbench.launchers.base.Launch`."""
        folder = LaunchFolder.create("local", request)
        Scheduler(request, folder, tick, wait=not request.drain).run()


class Scheduler:
    """Starts workers, watches them, replaces the dead, stops all of them when interrupted.

    Args:
        request: What to train.
        folder: Folder of the launch.
        tick: Called a few times a second.
        wait: Whether to wait for runs that others train, in case they are left.
        since: When the launch that this belongs to began, by the clock of the store's file system;
            None if it is this one. Runs that ended badly after it are left alone.
        log_level: Of the line that is logged as a run ends.

    Attributes:
        tally: How many runs ended how.
    """

    def __init__(
        self,
        request: LaunchRequest,
        folder: LaunchFolder,
        tick: Callable[[], None],
        *,
        wait: bool = True,
        since: float | None = None,
        log_level: int = logging.DEBUG,
    ) -> None:
        self.tally = Tally(_log, log_level)
        self._request, self._folder, self._tick, self._wait = request, folder, tick, wait
        self._since = folder.info()["since"] if since is None else since
        runs = None if request.drain else request.fingerprints
        store = RunStore.open(request.store)
        self._queue, self._needs = Queue(store, runs, since=self._since), Needs(store)
        slots = devices(request.device, request.slots)
        check_pack(request.pack, request.slots, slots[0])
        self._shared = _shares(slots, request)
        self._slots, self._book = Counter(slots), None
        on_gpus = slots[0] != "cpu"
        self._peers = len(self._slots) if on_gpus else 1
        if on_gpus and self._shared:
            sized = request.slots == "auto"
            self._book = GpuBookFile.of(request.store, sized=sized)
            with self._book.changed() as book:
                book.begin()
            if sized:
                most = max(1, len(cores()) // len(self._slots))
                self._slots = Counter(dict.fromkeys(self._slots, most))
        self._until = None if request.wall_time is None else time.time() + request.wall_time
        self._workers: list[WorkerProcess] = []
        self._deaths = Deaths(self.tally)
        self._next_look = 0.0
        self._seen: Mapping[str, Any] | None = None
        self._look_anyway = 0.0
        self._refused = False
        self._killed = False

    def run(self) -> None:
        """Train until nothing is left to take.

        Raises:
            NormbenchError: If no worker can go on.
            KeyboardInterrupt: After the workers were stopped, when this process is interrupted.
            SecondInterrupt: After they were killed, since it was interrupted again; or if it was
                so at any other time until then.
        """
        with interrupted_by_signals():
            try:
                try:
                    self._loop()
                finally:
                    self._close()
                    self._tick()
                check_interrupted()
            except KeyboardInterrupt:
                # Of two signals at once the second comes before the shield is up.
                if self._workers:
                    self._close()
                if self._killed or interrupts() > 1:
                    raise SecondInterrupt from None
                raise

    def _close(self) -> None:
        """Stop the workers; what the user types meanwhile is noted, and looked for."""
        with shielded():
            try:
                self._stop()
            finally:
                self._note_end()

    def _loop(self) -> None:
        self._fill()
        while self._workers or self._waits():
            check_interrupted()
            self._tick()
            time.sleep(POLL_SECONDS if self._workers else ELSEWHERE_SECONDS)
            if self._until is not None and time.time() >= self._until:
                _log.warning("the wall time is over; what still trains stops at its checkpoint")
                return
            for worker in list(self._workers):
                self._listen(worker)
                if worker.process.poll() is not None:
                    self._listen(worker)
                    self._bury(worker)
            if time.monotonic() >= self._next_look:
                self._look()

    def _waits(self) -> bool:
        """Whether another process trains some of the runs, or left some that can be taken."""
        self._fill()
        if self._workers or self._deaths.closed:
            return bool(self._workers)
        # What found no room though nobody is here waits for another launch.
        return self._refused or self._queue.waits_here or (self._wait and self._queue.held > 0)

    def _fill(self) -> None:
        """Start as many workers as there are free slots and runs to take."""
        seating = self._seating()
        if self._deaths.closed or not seating.free:
            return
        self._queue.ready(seating.free + seating.coming, seating.seat)
        self._refused = seating.refused
        for seat in seating.chosen:
            self._start(seat)
        self._count_struck()

    def _seating(self) -> Seating:
        busy = [worker.device for worker in self._workers]
        book = None if self._book is None else self._book.read()
        if book is not None:
            self._seen = _standing(book)
            self._look_anyway = time.monotonic() + LOOK_ANYWAY_SECONDS
        # Who is still starting is on the GPU already, and takes what is first in the queue.
        coming = 0 if book is None else sum(not worker.took for worker in self._workers)
        return Seating(self._slots, busy, book, self._needs, coming)

    def _start(self, seat: Seat) -> None:
        """Start a worker, unless another launch has taken the room that there was for its run."""
        if self._book is None:
            self._start_worker(seat)
            return
        gpu = gpu_name(seat.device)
        with self._book.changed() as book:
            if not book.admit(gpu, os.getpid(), seat.need, alone=seat.alone):
                self._refused = True
                return
            book.leave(gpu, os.getpid())
            worker = self._start_worker(seat)
            book.admit(gpu, worker.process.pid, seat.need, alone=seat.alone)

    def _start_worker(self, seat: Seat) -> WorkerProcess:
        # One that nobody knows would outlive an interruption.
        with shielded():
            worker = start_worker(
                self._request,
                self._folder,
                seat.device,
                since=self._since,
                until=self._until,
                shared=self._shared,
                peers=self._peers,
                book=self._book,
            )
            self._workers.append(worker)
        return worker

    def _listen(self, worker: WorkerProcess) -> None:
        self._hear(worker.news())

    def _hear(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event in events:
            kind = event["event"]
            if kind == "took":
                self._deaths.saw_work()
            elif kind == "struck":
                self.tally.count(event["run"], RunState.KILLED, "set aside")
            elif kind == "ended":
                self.tally.count(event["run"], RunState(event["outcome"]), event["message"])

    def _count_struck(self) -> None:
        for run in self._queue.struck:
            self.tally.count(run, RunState.KILLED, "set aside")
        self._queue.struck.clear()

    def _bury(self, worker: WorkerProcess) -> None:
        """Clear away what a worker that ended left, judge why it did, and fill its slot."""
        self._workers.remove(worker)
        left = worker.clear_away()
        if left:
            _log.info("killed what outlived a worker: %s", counted(left, "process", "processes"))
        self._deaths.judge(worker, worker.process.returncode)
        self._fill()

    def _look(self) -> None:
        """Hold workers to their limits, and see what others left and where there is room now."""
        self._next_look = time.monotonic() + LOOK_SECONDS
        processes = Processes() if self._request.memory_limit is not None else None
        for worker in list(self._workers):
            self._check_time(worker)
            if processes is not None and worker in self._workers:
                self._check_memory(worker, processes)
        if self._has_news():
            self._fill()

    def _has_news(self) -> bool:
        """Whether a run may have room now that had none at the last look."""
        if self._book is None:
            return self._queue.held > 0
        late = time.monotonic() >= self._look_anyway
        return late or _standing(self._book.read()) != self._seen

    def _check_time(self, worker: WorkerProcess) -> None:
        """Kill a worker that does not end a run though its time is over."""
        latest = time.monotonic() - TIME_GRACE_SECONDS
        late = [each.run for each in worker.held.values() if each.ends and each.ends < latest]
        if late:
            after = duration(self._request.time_limit)
            self._kill(worker, RunState.TIMED_OUT, f"killed: it did not end after {after}", late)

    def _check_memory(self, worker: WorkerProcess, processes: Processes) -> None:
        """Kill a worker that holds more than it may, with all that it started."""
        limit, held = self._request.memory_limit, processes.memory(worker.process.pid)
        if worker.held and limit is not None and held > limit:
            words = f"killed: it held {show_bytes(held)}, its limit is {show_bytes(limit)}"
            # Of a pack none may be to blame: each is trained alone next.
            runs = list(worker.held) if len(worker.held) == 1 else []
            if not runs:
                _log.warning("a worker of %d runs was %s", len(worker.held), words)
            self._kill(worker, RunState.OUT_OF_MEMORY, words, runs)

    def _kill(
        self, worker: WorkerProcess, outcome: RunState, message: str, runs: Sequence[str]
    ) -> None:
        self._end(worker, outcome, message, runs)
        self._workers.remove(worker)
        self._fill()

    def _end(
        self,
        worker: WorkerProcess,
        outcome: RunState,
        message: str,
        runs: Sequence[str] | None = None,
    ) -> None:
        with shielded():
            closed, news = worker.kill(outcome, message, runs=runs)
        self._hear(news)
        for run in closed:
            self.tally.count(run, outcome, message)

    def _stop(self) -> None:
        """Ask all workers to stop, then kill the trees of those that do not, or of all at once.

        Raises:
            Exception: What went wrong first, once all of them are gone.
        """
        failed: list[Exception] = []
        message = f"killed: it did not stop within {GRACE_SECONDS:g} seconds"
        try:
            self._ask_to_stop()
        except KeyboardInterrupt:
            message, self._killed = "killed on request", True
        for worker in self._workers:
            try:
                self._let_go(worker, message)
            except Exception as error:  # noqa: BLE001 - the others must go as well
                failed.append(error)
        self._workers.clear()
        if failed:
            raise failed[0]

    def _let_go(self, worker: WorkerProcess, message: str) -> None:
        """Kill a worker that did not stop, and what one that did left behind."""
        if worker.process.poll() is None:
            self._end(worker, RunState.INTERRUPTED, message)
        else:
            self._listen(worker)
            worker.clear_away()

    def _ask_to_stop(self) -> None:
        """Ask all workers to stop at their last checkpoints, and wait a while for them."""
        known = min(interrupts(), 1)
        for worker in self._workers:
            worker.ask_to_stop()
        if self._workers:
            _log.warning(
                "stopping %s at the last checkpoint, %g s at most; interrupt again to kill at once",
                counted(len(self._workers), "worker"),
                GRACE_SECONDS,
            )
        deadline = time.monotonic() + GRACE_SECONDS
        while self._any_alive() and time.monotonic() < deadline:
            check_interrupted(known)
            time.sleep(POLL_SECONDS)

    def _any_alive(self) -> bool:
        return any(worker.process.poll() is None for worker in self._workers)

    def _note_end(self) -> None:
        counts = {state.value: count for state, count in self.tally.outcomes.items()}
        try:
            self._folder.note(ended=time.time(), outcomes=counts)
        except StoreError as error:
            _log.debug("%s", error)


def _standing(book: GpuBook) -> Mapping[str, Any]:
    """Return what *book* says of those that live."""
    book.clear_away()
    return book.content()


def _shares(slots: list[str], request: LaunchRequest) -> bool:
    """Whether runs share a GPU or a core, so that their timings do not count."""
    if slots and slots[0] == "cpu":
        return len(slots) > len(cores())
    return request.slots == "auto" or len(set(slots)) < len(slots)
