"""How far a row, or a whole experiment, is: what its tags say, as ``normbench status`` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from normbench.live import MOVING, totals_in_words
from normbench.quantities import counted
from normbench.store import RunState
from normbench.tables import duration
from normbench.tracking import names
from normbench.tracking.seeds import RESULTS


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Runs by state, and the work that is left.

    Attributes:
        counts: Number of runs by state.
        seconds_left: Seconds that one device needs for the runs that train or wait, at the pace of
            finished ones of their row, as far as it is known.
        unknown: Number of rows whose pace is not known.
    """

    counts: Mapping[RunState, int] = field(default_factory=dict)
    seconds_left: float = 0.0
    unknown: int = 0

    @classmethod
    def of_row(
        cls, counts: Mapping[RunState, int], pace: float | None, trained: float = 0.0
    ) -> Progress:
        """Return the progress of a row.

        Args:
            counts: Number of runs by state.
            pace: Seconds that a finished run took on average; None if there is none.
            trained: Share of their epochs that the runs which train or wait have behind them,
                summed over them.
        """
        moving = sum(counts.get(state, 0) for state in MOVING)
        if not moving:
            return cls(counts=counts)
        if pace is None:
            return cls(counts=counts, unknown=1)
        return cls(counts=counts, seconds_left=pace * max(0.0, moving - trained))

    @classmethod
    def of_all(cls, rows: Iterable[Progress]) -> Progress:
        """Return the progress of *rows* together."""
        counts: Counter[RunState] = Counter()
        left, unknown = 0.0, 0
        for row in rows:
            counts.update(row.counts)
            left += row.seconds_left
            unknown += row.unknown
        return cls(counts=counts, seconds_left=left, unknown=unknown)

    def tags(self) -> dict[str, str]:
        """Return the tags that say so."""
        done = sum(self.counts.get(state, 0) for state in RESULTS)
        return {
            names.PROGRESS: f"{done} of {sum(self.counts.values())}",
            names.OUTCOMES: totals_in_words(self.counts),
            names.TIME_LEFT: self._time_left(),
        }

    def _time_left(self) -> str:
        known = [f"{duration(self.seconds_left)} of one device"] if self.seconds_left else []
        rows = f"{counted(self.unknown, 'row')} of unknown pace"
        return ", and ".join([*known, *([rows] if self.unknown else [])]) or "none"
