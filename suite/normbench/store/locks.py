"""Locks that end with the process that holds them, whatever happens to it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from normbench.store.files import explain, explained

_POLL_SECONDS = 0.05


@contextmanager
def hold(path: Path, wait: float | None) -> Iterator[bool]:
    """Lock the file *path*, waiting up to *wait* seconds; yield whether that succeeded.

    Raises:
        StoreError: If the file system cannot lock, or the file cannot be written.
    """
    with explained("open", path):
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _obtain(descriptor, path, wait)
    finally:
        os.close(descriptor)


def _obtain(descriptor: int, path: Path, wait: float | None) -> bool:
    deadline = None if wait is None else time.monotonic() + wait
    mode = fcntl.LOCK_EX if deadline is None else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        try:
            fcntl.flock(descriptor, mode)
        except BlockingIOError:
            if deadline is None or time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            raise explain("lock", path, error) from error
        else:
            return True
