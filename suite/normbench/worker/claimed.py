"""A run that a worker has claimed, alone or in a pack, on its way to an outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from normbench.engine.loop import Loop
from normbench.store import Attempt, RunState, StoredRun

_log = logging.getLogger("normbench.worker")


@dataclass
class Training:
    """A claimed run in training.

    Attributes:
        run: Which.
        attempt: In whose name.
        pack: Runs that this process trains at once, this one included.
        first: Whether it is the first of them to begin.
        loop: What takes its steps; None before its session is open.
        outcome: How it ended; None if it was let go of, or trains.
        alone_next: Whether it left its pack to be trained alone.
        plainly: Whether it captures nothing, since that has left a process of no use before.
        got_on: Called after each evaluation of what was trained.
        kept: Called after each checkpoint.
    """

    run: StoredRun
    attempt: Attempt
    pack: int = 1
    first: bool = True
    loop: Loop | None = None
    outcome: RunState | None = None
    alone_next: bool = False
    plainly: bool = False
    got_on: Callable[[], None] | None = None
    kept: Callable[[], None] | None = None

    def find_loop(self) -> Loop:
        """Return what takes its steps, once it has asked for an epoch."""
        if self.loop is None:
            raise TypeError(f"run {self.run.fingerprint} has no session yet")
        return self.loop

    def leave_pack(self, reason: str) -> str:
        """Let go of the run, so that it is trained alone next; return what to say of it."""
        return self._let_go(f"{reason}; it left a pack of {self.pack} and is trained alone next")

    def leave_process(self, reason: str) -> str:
        """Let go of the run, so that a new process trains it; return what to say of it."""
        return self._let_go(f"{reason} A new process trains it next.")

    def leave_gpu(self, reason: str) -> str:
        """Let go of the run, so that it has its GPU to itself next; return what to say of it."""
        return self._let_go(
            f"{reason}; it shared its GPU and is trained alone there next", crowded=True
        )

    def _let_go(self, message: str, *, crowded: bool = False) -> str:
        _log.warning("%s: %s", self.run.fingerprint[:8], message)
        self.attempt.note_pack(self.pack, broken=not crowded, crowded=crowded)
        self.attempt.close(RunState.INTERRUPTED, message)
        self.alone_next = True
        return message
