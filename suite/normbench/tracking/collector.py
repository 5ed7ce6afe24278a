"""Bringing MLflow up to date in the background, while runs train."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType

from normbench.errors import StoreError
from normbench.store import RunStore
from normbench.tracking.mirror import Mirror
from normbench.tracking.report import BUSY, SyncReport, Tally
from normbench.tracking.sync import LOCK

_LONGEST_PAUSE = 60.0
_LEAST_REST = 20.0
_SILENT_SECONDS = 0.5
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
        """Copy what is new a last time, unless Ctrl-C says to leave it.

        What is left then is what a killed process leaves: the next one sends it.
        """
        self._stop.set()
        try:
            self._thread.join(_SILENT_SECONDS)
            if self._thread.is_alive():
                _log.warning(
                    "sending what is finished to MLflow; interrupt again to leave it for "
                    "`normbench sync`"
                )
            self._thread.join()
        except KeyboardInterrupt:
            _log.warning("left the rest for `normbench sync`")

    def __enter__(self) -> Collector:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.stop_or_leave()
        else:
            self.stop()

    def _work(self) -> None:
        try:
            while not self._take_turn():
                if self._stop.wait(self._interval):
                    self._take_turn()
                    return
        except Exception as error:  # noqa: BLE001 - must not end the training it watches
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
