"""Leases: who holds an attempt, and whether that process still stirs.

The attempt's folder is the lease. Its holder touches the file ``heartbeat`` in it; ages are counted
by the clock of the file system, since the clocks of machines differ.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from normbench.errors import LeaseLostError, StoreError
from normbench.store import processes
from normbench.store.files import read_json

LEASE_FILE = "lease.json"
HEARTBEAT_FILE = "heartbeat"
LEASE_SECONDS = 60.0
_BEATS_PER_LEASE = 6
_SKEW_SECONDS = 300.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who holds an attempt.

    Attributes:
        token: Names the attempt in all stores it is ever merged into.
        host: Name of the holder's machine.
        boot: Start of that machine, see :func:`normbench.store.processes.boot`.
        pid: Process.
        process_started: Its start, see :func:`normbench.store.processes.started`.
        started: Unix seconds at which the attempt began.
        lease_seconds: Without a heartbeat for so long, others may take the run over.
    """

    token: str = ""
    host: str = ""
    boot: str = ""
    pid: int = 0
    process_started: str = ""
    started: float = 0.0
    lease_seconds: float = LEASE_SECONDS

    @classmethod
    def of_this_process(cls, token: str, lease_seconds: float) -> Self:
        """Return the lease of an attempt that this process begins now."""
        return cls(
            token=token,
            host=socket.gethostname(),
            boot=processes.boot(),
            pid=os.getpid(),
            process_started=processes.started(os.getpid()),
            started=time.time(),
            lease_seconds=lease_seconds,
        )

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the lease of the attempt in *folder*; if unreadable, one of nobody."""
        try:
            content = read_json(folder / LEASE_FILE) or {}
        except StoreError as error:
            _log.warning("%s", error)
            content = {}
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in known})

    def content(self) -> Mapping[str, Any]:
        """Return what :meth:`read` reads."""
        return asdict(self)

    def holder_is_dead(self) -> bool:
        """Whether the holder ran on this machine and surely does not run any more."""
        here = (self.host, self.boot) == (socket.gethostname(), processes.boot())
        return here and bool(self.boot) and processes.is_dead(self.pid, self.process_started)

    def is_live(self, folder: Path, now: float) -> bool:
        """Whether the holder of the attempt in *folder* may still work on it.

        Args:
            folder: Folder of the attempt.
            now: Unix seconds by the file system's clock.
        """
        beat = last_beat(folder)
        if beat is None or self.holder_is_dead():
            return False
        # A beat from far in the future means that the clock was set back; it never grows stale.
        return abs(now - beat) < self.lease_seconds


def last_beat(folder: Path) -> float | None:
    """Return when the holder of the attempt in *folder* last stirred; None if it let go."""
    try:
        return (folder / HEARTBEAT_FILE).stat().st_mtime
    except OSError:
        return None


class FileClock:
    """The clock of the file system, by a file in *folder* that is touched every few minutes.

    Where nothing can be written it is this machine's own clock.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._skew = 0.0
        self._measured = float("-inf")

    def now(self) -> float:
        """Return the Unix seconds there."""
        if time.monotonic() - self._measured > _SKEW_SECONDS:
            self._skew = self._measure()
            self._measured = time.monotonic()
        return time.time() + self._skew

    def touched(self) -> int | None:
        """Touch the file; return when, in nanoseconds, or None where nothing can be written."""
        path = self._folder / "clock"
        try:
            path.touch()
            return path.stat().st_ctime_ns
        except OSError:
            return None

    def _measure(self) -> float:
        path = self._folder / "clock"
        try:
            path.touch()
            return path.stat().st_mtime - time.time()
        except OSError:
            return 0.0


class Heartbeat:
    """Touches the heartbeat of an attempt from a thread of its own.

    A beat that cannot be written, for instance because the disk is full, does not stop the run: it
    is logged once and tried again each time. If that lasts longer than the lease, another worker
    may take the run over from the last checkpoint, and this one learns so at its next write.

    Args:
        folder: Open directory of the attempt.
        lease_seconds: Beats come six times as often.
        check: Raises :class:`LeaseLostError` once the lease is lost, which ends the beats.
    """

    def __init__(self, folder: int, lease_seconds: float, check: Callable[[], None]) -> None:
        self._folder = folder
        self._period = lease_seconds / _BEATS_PER_LEASE
        self._check = check
        self._stop = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """End the beats."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def beat(self) -> bool:
        """Beat once; whether the lease is still held."""
        try:
            self._check()
            os.utime(HEARTBEAT_FILE, dir_fd=self._folder)
        except LeaseLostError as error:
            _log.warning("%s", error)
            return False
        except (OSError, StoreError) as error:
            if not self._failing:
                _log.warning("the heartbeat cannot be written (%s); trying on", error)
            self._failing = True
        else:
            self._failing = False
        return True

    def _run(self) -> None:
        while self.beat() and not self._stop.wait(self._period):
            pass
