"""Writing files while training goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_log = logging.getLogger("normbench.engine")


class Writer:
    """A thread that does one piece of work at a time."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._work: Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether there is work in hand."""
        return self._work is not None and not self._work.done()

    def start(self, work: Callable[[], None]) -> None:
        """Begin with *work* once the last has ended.

        Raises:
            Exception: What the last work raised.
        """
        self.wait()
        self._work = self._pool.submit(work)

    def check(self) -> None:
        """Raise what the last work raised, if it has ended."""
        if not self.busy:
            self.wait()

    def wait(self) -> None:
        """Wait for the last work and raise what it raised, once."""
        work, self._work = self._work, None
        if work is not None:
            work.result()

    def close(self) -> None:
        """Let the last work end; what it raises is only logged, for another error is at hand."""
        self._pool.shutdown()
        if self._work is not None and (error := self._work.exception()) is not None:
            _log.warning("a checkpoint was not written: %s", error)
