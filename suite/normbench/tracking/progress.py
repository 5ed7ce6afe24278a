"""How far a row, or a whole experiment, is: what its tags say in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from normbench.store import RunState
from normbench.tables import duration
from normbench.tracking import names
from normbench.tracking.seeds import RESULTS

_SETTLED = (*RESULTS, RunState.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Runs by state, and the work that is left.

    Attributes:
        counts: Number of runs by state.
        seconds_left: Seconds that one device needs for the runs without a result, at the pace of
            those of their row that have one; None where no run of a row has one.
    """

    counts: Mapping[RunState, int] = field(default_factory=dict)
    seconds_left: float | None = 0.0

    @classmethod
    def of_row(cls, counts: Mapping[RunState, int], seconds: float | None) -> Progress:
        """Return the progress of a row whose finished runs took *seconds* on average."""
        left = sum(count for state, count in counts.items() if state not in _SETTLED)
        if not left:
            return cls(counts=counts)
        return cls(counts=counts, seconds_left=None if seconds is None else left * seconds)

    @classmethod
    def of_all(cls, rows: Iterable[Progress]) -> Progress:
        """Return the progress of *rows* together; the time left is known if that of each is."""
        counts: Counter[RunState] = Counter()
        left: float | None = 0.0
        for row in rows:
            counts.update(row.counts)
            known = left is not None and row.seconds_left is not None
            left = (left or 0.0) + (row.seconds_left or 0.0) if known else None
        return cls(counts=counts, seconds_left=left)

    def tags(self) -> dict[str, str]:
        """Return the tags that say so."""
        done = sum(self.counts.get(state, 0) for state in RESULTS)
        shown = [(state, self.counts.get(state, 0)) for state in RunState]
        return {
            names.PROGRESS: f"{done} of {sum(self.counts.values())}",
            names.OUTCOMES: ", ".join(f"{count} {state.value}" for state, count in shown if count),
            names.TIME_LEFT: self._time_left(),
        }

    def _time_left(self) -> str:
        if self.seconds_left is None:
            return "not known yet"
        return f"{duration(self.seconds_left)} of one device" if self.seconds_left else "none"
