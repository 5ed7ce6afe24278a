"""Bringing MLflow up to date in the background, while runs train."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from types import TracebackType

from normbench.errors import SecondInterrupt, StoreError
from normbench.store import RunStore
from normbench.tracking.mirror import Mirror, count_results
from normbench.tracking.report import BUSY, SyncReport, Tally
from normbench.tracking.sync import LOCK

_LONGEST_PAUSE = 60.0
_LEAST_REST = 20.0
_SILENT_SECONDS = 0.5
_LEFT = "MLflow is behind; `normbench sync` sends the rest"
_log = logging.getLogger("normbench.tracking")


class Collector:
    """A thread that copies new runs and points to MLflow every few seconds.

    It never raises and never delays training: when MLflow is away it says so once, waits longer and
    longer, and catches up when it is back. Of several collectors of one store one works, and
    another takes over when it ends.

    Args:
        store: The run store.
        uri: Tracking URI; by default ``$MLFLOW_TRACKING_URI``, else the database in the store.
        interval: Seconds between looks at the store.
    """

    def __init__(self, store: RunStore, uri: str | None = None, *, interval: float = 5.0) -> None:
        self._store, self._uri, self._interval = store, uri, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="normbench-mlflow", daemon=True)
        self._tally = Tally()
        self._problem = ""
        self._results: int | None = None
        self._left = False

    def start(self) -> Collector:
        """Start copying."""
        self._thread.start()
        return self

    def stop(self) -> SyncReport:
        """Copy what is new a last time and return what was done since the start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        return self._tally.report()

    def stop_or_leave(self) -> None:
        """Copy what is new a last time, unless it takes long and brings no result.

        Another Ctrl-C leaves it as well. What is left then is what a killed process leaves: the
        next one sends it.
        """
        self._stop.set()
        # An interrupted join takes its thread for ended, so nothing is asked of it then.
        with contextlib.suppress(KeyboardInterrupt):
            if self._ends_soon():
                return
        self.leave()

    def _ends_soon(self) -> bool:
        """Wait for the end, long only if there are new results, and return whether it came."""
        self._thread.join(_SILENT_SECONDS)
        if self._thread.is_alive() and self._has_news():
            _log.warning(
                "sending what is finished to MLflow; interrupt again to leave it for "
                "`normbench sync`"
            )
            self._thread.join()
        return not self._thread.is_alive()

    def leave(self) -> None:
        """Copy nothing more."""
        self._left = True
        self._stop.set()
        _log.warning(_LEFT)

    def _has_news(self) -> bool:
        """Whether runs got their results since MLflow was brought up to date, or since the start.

        The thread may be looking at the store at this moment, so it is opened anew.
        """
        before = self._results
        return before is not None and before < _count(RunStore.open(self._store.root))

    def __enter__(self) -> Collector:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, SecondInterrupt):
            self.leave()
        elif isinstance(error, KeyboardInterrupt):
            self.stop_or_leave()
        else:
            self.stop()

    def _work(self) -> None:
        try:
            self._results = _count(self._store)
            while not self._take_turn():
                if self._stop.wait(self._interval):
                    self._take_turn()
                    return
        except Exception as error:  # noqa: BLE001 - must not end the training it watches
            if self._left:
                return
            reason = f"{type(error).__name__}: {error}"
            _log.warning("copying to MLflow ended, `normbench sync` sends the rest: %s", reason)
            _log.debug("where it ended", exc_info=True)
            self._tally.fail([], f"{type(error).__name__}: {error}")

    def _take_turn(self) -> bool:
        """Copy until stopped, if no other process does; return whether it was our turn."""
        with self._store.lock(LOCK, wait=0.0) as held:
            if not held:
                _log.info("MLflow: %s", BUSY)
                self._tally.fail([], BUSY)
                return False
            mirror = Mirror(self._store, self._uri)
            pause = self._interval
            while True:
                if self._left:
                    return True
                stopping = self._stop.is_set()
                began = time.monotonic()
                pause = self._interval if self._look(mirror) else min(2 * pause, _LONGEST_PAUSE)
                if stopping:
                    return True
                # A look at a very big store takes a while itself; training shall not feel it.
                rest = _LEAST_REST * (time.monotonic() - began)
                self._stop.wait(max(pause, rest))

    def _look(self, mirror: Mirror) -> bool:
        """Copy what is new; return whether all went well."""
        try:
            tally = mirror.update()
        except StoreError as error:
            self._note(str(error))
            return False
        self._tally.absorb(tally)
        problems = tally.report().problems
        self._say("; ".join(problems))
        if not problems:
            self._results = mirror.results
        return not problems

    def _note(self, problem: str) -> None:
        """Put into the report and the log why nothing can be copied now."""
        self._tally.fail([], problem)
        self._say(problem)

    def _say(self, problem: str) -> None:
        """Log a problem when it comes, and once when it is gone."""
        if problem and problem != self._problem:
            _log.warning("MLflow: %s", problem)
        elif self._problem and not problem:
            _log.info("MLflow is up to date again")
        self._problem = problem


def _count(store: RunStore) -> int:
    """Return how many runs have their result; of a store that cannot be read, none."""
    try:
        return count_results(store.index())
    except StoreError:
        return 0
