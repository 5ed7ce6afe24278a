"""Who trains on a machine: any number of workers, or one of them alone with a suspect run.

A worker that trains shares a lock in the store, named after its machine; one with a suspect holds
it alone. It ends with the process, and tells of all launches that use the store on that machine,
under whatever scheduler; of other stores it knows nothing.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path

from normbench.store.files import explain

_POLL_SECONDS = 0.05
_log = logging.getLogger(__name__)


class Company:
    """One worker's part in what trains on its machine.

    Args:
        path: The lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self.alone = False

    def join(self, *, alone: bool, wait: float = 0.0) -> bool:
        """Come to train, among others or *alone*; whether that is possible now.

        Args:
            alone: Whether nothing else may train on this machine meanwhile.
            wait: Seconds to wait for it.

        Raises:
            StoreError: If it is to be alone and the file system cannot lock.
        """
        if self._descriptor is not None and self.alone == alone:
            return True
        self.leave()
        try:
            self._path.parent.mkdir(exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            joined = _obtain(self._descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, wait)
        except OSError as error:
            self.leave()
            if alone:
                raise explain("lock", self._path, error) from error
            # Where nothing can be locked, no run can be alone: others need not look out for it.
            _log.debug("%s cannot be locked: %s", self._path, error)
            return True
        self.alone = joined and alone
        if not joined:
            self.leave()
        return joined

    def admit_others(self) -> None:
        """Let others train beside this worker from now on."""
        if self._descriptor is not None and self.alone:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
            self.alone = False

    def leave(self) -> None:
        """Train no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self.alone = None, False

    def __del__(self) -> None:
        """Leave with the queue that holds it."""
        self.leave()


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
