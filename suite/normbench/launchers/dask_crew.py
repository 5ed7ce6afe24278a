"""One launch on a Dask cluster: its workers drain the store, and this looks after them."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from normbench.errors import NormbenchError, UsageError
from normbench.launchers import dask_worker
from normbench.launchers.base import LaunchRequest
from normbench.launchers.dask_hands import Hand, addresses, greet, stop_all
from normbench.launchers.dask_options import DaskOptions
from normbench.launchers.launches import DRAIN, LaunchFolder, launches
from normbench.launchers.signals import check_interrupted
from normbench.launchers.words import resume_command, worker_words
from normbench.store import RunStore
from normbench.store.queue import Queue

if TYPE_CHECKING:
    from distributed import Client, Future

POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0
REST_SECONDS = 5.0
GRACE_SECONDS = 20.0
_DEATHS = 3
_log = logging.getLogger(__name__)


class Crew:
    """Has every worker of a cluster drain a store, those that join later included.

    Args:
        client: Connection to the scheduler.
        options: How long to wait.
        request: What to train.
        launch: Folder of the launch.
    """

    def __init__(
        self, client: Client, options: DaskOptions, request: LaunchRequest, launch: LaunchFolder
    ) -> None:
        self._client, self._address = client, client.scheduler.address
        self._patience = options.worker_timeout
        self._request, self._launch = request, launch
        since = launch.info()["since"]
        self._queue = Queue(RunStore.open(request.store), launch.runs(), since=since)
        self._hands: dict[str, Hand] = {}
        self._began = time.monotonic()
        self._met = False
        self._alone_since: float | None = None
        self._next_look = 0.0

    def work(self, tick: Callable[[], None]) -> None:
        """Have the runs trained; return when none is left that could still end.

        Raises:
            NormbenchError: If no worker can be used, or the scheduler goes away.
            KeyboardInterrupt: Also when the launch was cancelled.
        """
        try:
            while self._goes_on():
                check_interrupted()
                tick()
                time.sleep(POLL_SECONDS)
        finally:
            self._stop()
            tick()

    def _goes_on(self) -> bool:
        """Look after the workers; whether there is anything left to wait for."""
        ended = [hand for hand in self._hands.values() if hand.future and hand.future.done()]
        for hand in ended:
            self._take_back(hand)
        if not ended and time.monotonic() < self._next_look:
            return True
        self._next_look = time.monotonic() + LOOK_SECONDS
        if "ended" in self._launch.info():
            raise KeyboardInterrupt(f"launch {self._launch.id} was cancelled")
        self._meet()
        ready = self._queue.ready(len(self._hands) or 1)
        for hand in self._idle()[:ready]:
            self._send(hand)
        if any(hand.future for hand in self._hands.values()):
            return True
        if ready:
            self._check_anyone()
        return bool(ready or self._queue.held) and not self._is_resting()

    def _idle(self) -> list[Hand]:
        now = time.monotonic()
        hands = [hand for hand in self._hands.values() if not hand.future and not hand.refused]
        return [hand for hand in hands if hand.rests_until <= now]

    def _is_resting(self) -> bool:
        """Whether nobody begins anything before the wall time is over."""
        hands = [hand for hand in self._hands.values() if not hand.refused]
        return bool(hands) and all(hand.rests_until == math.inf for hand in hands)

    def _meet(self) -> None:
        """Get to know workers that joined, and forget those that left."""
        try:
            present = set(addresses(self._client))
            for address in self._hands.keys() - present:
                self._forget(address)
            new = present - self._hands.keys()
            hands = greet(self._client, new, self._request, self._launch) if new else []
        except OSError as error:
            raise NormbenchError(
                f"the Dask scheduler at {self._address} is gone ({error}). What its "
                "workers train stops at the last checkpoints. Once there is a scheduler, go on "
                f"with: {resume_command(self._request, 'dask')}"
            ) from None
        self._hands |= {hand.address: hand for hand in hands}
        refused = [hand.refused for hand in hands if hand.refused]
        if refused and not self._met:
            raise UsageError("\n".join(refused))
        if self._hands:
            self._met, self._alone_since = True, None
        for reason in refused:
            _log.warning("%s Going on without it.", reason)

    def _forget(self, address: str) -> None:
        hand = self._hands.pop(address)
        if hand.future is not None:
            _log.warning("%s is gone; others take its runs over", hand)
            hand.future.cancel()

    def _send(self, hand: Hand) -> None:
        gpus = 0 if self._request.device == "cpu" else hand.gpus
        slots = None if self._request.slots is None else str(self._request.slots)
        hand.future = self._client.submit(
            dask_worker.drain,
            os.fspath(self._launch.path),
            self._words(),
            {"device": self._request.device, "slots": slots, "threads": hand.threads, "gpus": gpus},
            {name: value for name, value in os.environ.items() if name.startswith("NORMBENCH_")},
            workers=[hand.address],
            allow_other_workers=False,
            pure=False,
            retries=0,
            resources={"GPU": gpus} if gpus else None,
        )
        _log.info("%s drains the store", hand)

    def _words(self) -> list[str]:
        """Return the words of ``normbench worker`` for one that begins now."""
        words = worker_words(self._request, self._launch)
        if self._request.wall_time is None:
            return words
        left = self._request.wall_time - (time.monotonic() - self._began)
        return [*words, "--wall-time", str(max(left, 0.0))]

    def _take_back(self, hand: Hand) -> None:
        """Look how draining ended; what became of the runs stands in the store."""
        code, said = _outcome(hand.future)
        hand.future, hand.rests_until = None, time.monotonic() + REST_SECONDS
        if code is None:
            # A worker that died may be back under its address: it is to be greeted anew.
            del self._hands[hand.address]
        elif code in dask_worker.UNABLE:
            hand.refused = f"{hand} cannot go on: {said}."
        elif code in dask_worker.COMPLETE:
            hand.deaths = 0
            if self._request.wall_time is not None:
                # What it left does not end before the machine goes away.
                hand.rests_until = math.inf
            return
        else:
            hand.deaths += 1
            hand.refused = f"{hand} cannot go on: {said}." if hand.deaths >= _DEATHS else ""
        _log.warning("%s: draining ended: %s", hand, said)

    def _check_anyone(self) -> None:
        """Raise an error if nobody is there to train what is left, and nobody comes."""
        if self._hands:
            if all(hand.refused for hand in self._hands.values()):
                raise NormbenchError("\n".join(hand.refused for hand in self._hands.values()))
            return
        now, patience, address = time.monotonic(), self._patience, self._address
        if self._alone_since is None:
            self._alone_since = now
            _log.warning(
                "the Dask scheduler at %s has no workers; waiting up to %g s for one. Start it "
                "with: dask worker %s",
                address,
                patience,
                address,
            )
        elif now - self._alone_since > patience:
            raise NormbenchError(
                f"the Dask scheduler at {address} has had no workers for {patience:g} s, and runs "
                f"are left. Start some: dask worker {address}. Then go on with: "
                f"{resume_command(self._request, 'dask')}. More patience: --launcher-option "
                "worker_timeout=SECONDS"
            )

    def _stop(self) -> None:
        """Stop the draining that is under way, and wait until runs are at their checkpoints."""
        busy = [hand for hand in self._hands.values() if hand.future]
        if not busy:
            return
        try:
            stop_all(self._client, self._launch)
            deadline = time.monotonic() + GRACE_SECONDS
            while self._is_stopping(busy) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        except OSError as error:
            _log.warning("the Dask workers cannot be told to stop: %s", error)
        for hand in busy:
            if hand.future is not None:
                hand.future.cancel()

    def _is_stopping(self, hands: list[Hand]) -> bool:
        """Whether some of *hands* are not done, or left the cluster with their draining at work."""
        waiting = [hand for hand in hands if hand.future and not hand.future.done()]
        if not waiting:
            return False
        present = addresses(self._client)
        if any(hand.address in present for hand in waiting):
            return True
        since = self._launch.info()["since"]
        drains = [launch for launch in launches(self._request.store) if _is_drain(launch, since)]
        return not all(launch.is_over() for launch in drains)


def _is_drain(launch: LaunchFolder, since: float) -> bool:
    """Whether *launch* is that of a draining process that began after *since*."""
    info = launch.info()
    return info.get("launcher") == DRAIN and info.get("since", 0.0) >= since


def _outcome(future: Future) -> tuple[int | None, str]:
    """Return the exit code of draining, None if its worker died, and what it said."""
    from distributed import KilledWorker

    if future.cancelled():
        return None, "Dask lost it"
    error = future.exception()
    if error is None:
        code, said = future.result()
        return code, said
    if isinstance(error, KilledWorker):
        return None, "its Dask worker died"
    return dask_worker.UNABLE[0], f"{type(error).__name__}: {error}"
