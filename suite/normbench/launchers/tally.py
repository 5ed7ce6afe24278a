"""What came of the runs of one launcher, counted as workers report it."""

from __future__ import annotations

import logging
from collections import Counter

from normbench.store import RunState

_GOOD = (RunState.FINISHED, RunState.DIVERGED, RunState.INTERRUPTED)


class Tally:
    """Counts how runs ended, and logs each in a line.

    Args:
        logger: Where to.
        level: Of the lines.

    Attributes:
        outcomes: How many runs ended how.
        runs: The runs that ended.
    """

    def __init__(self, logger: logging.Logger, level: int) -> None:
        self.outcomes: Counter[RunState] = Counter()
        self.runs: set[str] = set()
        self._logger, self._level = logger, level

    @property
    def failed(self) -> bool:
        """Whether a run ended badly."""
        return any(state not in _GOOD for state in self.outcomes)

    def count(self, run: str, outcome: RunState, message: str = "") -> None:
        """Take note that the run with this fingerprint ended so."""
        self.outcomes[outcome] += 1
        self.runs.add(run)
        words = f": {message.splitlines()[0]}" if message else ""
        self._logger.log(self._level, "run %s: %s%s", run[:8], outcome, words)
