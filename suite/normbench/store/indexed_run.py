"""What the index knows of a run."""

from __future__ import annotations

from typing import NamedTuple

from normbench.store.folders import FINAL, RunState


class IndexedRun(NamedTuple):
    """What the index knows of a run.

    Attributes:
        fingerprint: Its 32 hexadecimal digits.
        row: Fingerprint of its row.
        description: Digest of its spec without the seed.
        seed: Its seed.
        state: Its state.
        score: Of a run with a result.
        seconds: Training seconds of a run with a result.
        epoch: Epochs trained.
        attempts: Number of the newest attempt, 0 for none; of the one that a result is of.
        strikes: Of a run that waits for a worker: see :mod:`normbench.store.strikes`.
        message: What the newest attempt's worker said at its end; empty for a run with a result.
        lacking: Whether the run has its result and lacks series that were asked for.
        cancelled: Whether it bears the mark of a cancelled run; such a run is not claimed.
        held: Whether a worker may be at work on it.
    """

    fingerprint: str
    row: str
    description: str
    seed: int
    state: RunState = RunState.PENDING
    score: float | None = None
    seconds: float | None = None
    epoch: int = 0
    attempts: int = 0
    strikes: int = 0
    message: str = ""
    lacking: bool = False
    cancelled: bool = False
    held: bool = False

    @property
    def done(self) -> bool:
        """Whether the run has its result."""
        return self.state in FINAL

    @property
    def complete(self) -> bool:
        """Whether the run has its result and all series that were asked for."""
        return self.done and not self.lacking

    @property
    def claimable(self) -> bool:
        """Whether a worker that claims the run gets it, for its result or for its series."""
        return not (self.complete or self.held or self.cancelled)
