"""Who trains on a machine: any number of workers, or one of them alone with a suspect run.

A worker that trains shares a lock in the store, named after its machine; one with a suspect holds
it alone. It ends with the process, and tells of all launches that use the store on that machine,
under whatever scheduler; of other stores it knows nothing.

Neither side starves. A suspect that waited for some seconds leaves a mark beside the lock: while it
is fresh no other run begins, so the machine is free once the runs that train have ended. Runs that
are kept from beginning leave a mark too: while that is fresh no suspect follows upon another before
it has waited for those seconds. Whoever begins takes the mark of its side away, and one that is not
renewed counts no more after a minute.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
import weakref
from pathlib import Path

_POLL_SECONDS = 0.05
# Long enough for a worker to be started in it.
_PATIENCE_SECONDS = 15.0
_MARK_SECONDS = 60.0
_log = logging.getLogger(__name__)


class Company:
    """One worker's part in what trains on its machine.

    Args:
        path: The lock; the marks are beside it.

    Attributes:
        alone: Whether nothing else trains meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._suspects, self._others = _Mark(path, "suspects"), _Mark(path, "others")
        self._descriptor: int | None = None
        self._waiting, self._since = "", 0.0
        self._marked = False
        self._said: set[str] = set()
        self.alone = False
        _OPEN.add(self)

    def join(self, suspect: str = "", *, wait: float = 0.0) -> bool:
        """Come to train, among others or alone; whether that is possible now.

        Where nothing can be locked no run can be alone: suspects train among others.

        Args:
            suspect: What is to be alone: a run, and which attempt at it; empty for others.
            wait: Seconds to wait for it.
        """
        alone = bool(suspect)
        if self._descriptor is not None and self.alone == alone:
            return True
        self.leave()
        if not alone and self._marked:
            # What this worker's own list has before its suspects goes first.
            self._suspects.remove()
            self._marked = False
        try:
            self._path.parent.mkdir(exist_ok=True)
            self._descriptor = _open(self._path)
            mode = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
            joined = self._has_turn(alone) and _obtain(self._descriptor, mode, wait)
            if not joined:
                self._put_off(suspect)
        except OSError as error:
            self.leave()
            if alone:
                self._say(
                    f"run {suspect[:8]}, whose worker died, is trained beside others: "
                    f"{self._path} cannot be locked: {error.strerror}"
                )
            return True
        self.alone = joined and alone
        if not joined:
            self.leave()
        elif not alone:
            self._waiting = ""
        return joined

    def begin(self) -> None:
        """Take note that a run begins: its side waits no longer, as far as this worker knows."""
        (self._suspects if self.alone else self._others).remove()
        self._waiting, self._marked = "", False

    def admit_others(self) -> None:
        """Let others train beside this worker from now on."""
        if self._descriptor is not None and self.alone:
            # The system gives the lock up before it takes the shared one. If a suspect slips in
            # between, to wait for it would hold this run up: it trains on and holds nothing.
            with contextlib.suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self.alone = False

    def leave(self) -> None:
        """Train no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self.alone = None, False

    def __del__(self) -> None:
        """Leave with the queue that holds it."""
        self.leave()

    def _has_turn(self, alone: bool) -> bool:
        awaited = self._suspects.is_fresh()
        return (awaited or not self._others.is_fresh()) if alone else not awaited

    def _put_off(self, suspect: str) -> None:
        """Remember since when what cannot begin waits, and tell those that it waits for."""
        now, key = time.monotonic(), suspect or "others"
        # Upon a suspect others have their turn, for as long as the next one waits.
        if key != self._waiting or (suspect and self._is_one_alone()):
            self._waiting, self._since = key, now
        late = now - self._since >= _PATIENCE_SECONDS
        if not suspect:
            self._others.renew()
        elif late:
            self._suspects.renew()
            self._marked = True
        if late and suspect:
            self._say(
                f"run {suspect[:8]}, whose worker died, waits until nothing else of the store "
                "trains on this machine; until then no other run begins here"
            )
        elif late:
            self._say(
                "no run begins on this machine now: a run whose worker died waits for it, or has "
                "it alone up to its next checkpoint"
            )

    def _is_one_alone(self) -> bool:
        return self._descriptor is not None and not _obtain(self._descriptor, fcntl.LOCK_SH, 0.0)

    def _say(self, words: str) -> None:
        """Log a warning once."""
        if words not in self._said:
            _log.warning("%s", words)
            self._said.add(words)


class _Mark:
    """Says that runs wait for a machine: a file with the time at which that was so.

    Only processes of that machine read it, so their clock is one.
    """

    def __init__(self, lock: Path, name: str) -> None:
        self._path = lock.with_suffix(f".{name}")

    def is_fresh(self) -> bool:
        """Whether somebody waited lately."""
        try:
            return abs(time.time() - float(self._path.read_bytes())) < _MARK_SECONDS
        except (OSError, ValueError):
            return False

    def renew(self) -> None:
        """Say that somebody waits now, if it can be written."""
        try:
            self._write()
        except PermissionError:
            # Another user's, whose folder this is as well.
            self.remove()
            with contextlib.suppress(OSError):
                self._write()
        except OSError as error:
            _log.debug("%s cannot be written: %s", self._path, error)

    def remove(self) -> None:
        """Say that nobody waits."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        # In place and in one go, always of one length: nobody reads half of it.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, f"{time.time():020.3f}".encode())
        finally:
            os.close(descriptor)


def _open(path: Path) -> int:
    """Open a lock; one that another user made can be locked without being written."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY)


def _obtain(descriptor: int, mode: int, wait: float) -> bool:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True


def _leave_all() -> None:
    """Let go of what a fork has from its parent, whose lock would outlive it there."""
    for company in list(_OPEN):
        company.leave()


_OPEN: weakref.WeakSet[Company] = weakref.WeakSet()
os.register_at_fork(after_in_child=_leave_all)
