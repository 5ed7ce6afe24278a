"""The cells of a plan: their runs, how far each is, and why a cell cannot be trained."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from normbench.errors import UsageError
from normbench.forecast.cost import Cost
from normbench.forecast.standing import Look, Standing
from normbench.live import FAILED
from normbench.planning import missing_data, resolve_checked
from normbench.plugins import Catalogue
from normbench.resolve import Request, request_label
from normbench.specs import RunSpec
from normbench.store import RunState, RunStore

_STATES = {
    "done": (RunState.FINISHED, RunState.DIVERGED),
    "running": (RunState.RUNNING,),
    "failed": FAILED,
    "cancelled": (RunState.CANCELLED,),
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row of a plan.

    Attributes:
        label: The words that ask for it.
        runs: Its runs, by seed; none if it could not be resolved.
        error: Why it cannot be trained here; empty if nothing is known against it.
        missing_data: What its dataset lacks and how to get it; empty if nothing.
        cost: What one run takes; None if that is not known.
        trials: Whether its runs are the trials of a tuning, each at a setting of its own.
    """

    label: str
    runs: Sequence[Standing] = ()
    error: str = ""
    missing_data: str = ""
    cost: Cost | None = None
    trials: bool = False

    @property
    def spec(self) -> RunSpec | None:
        """The spec of its first seed."""
        return self.runs[0].spec if self.runs else None

    @property
    def counts(self) -> dict[str, int]:
        """Number of runs that are done, running, failed and cancelled."""
        states = Counter(run.state for run in self.runs)
        return {word: sum(states[state] for state in group) for word, group in _STATES.items()}

    @property
    def left(self) -> list[float]:
        """Share of the work left of each run that is not done."""
        return [1.0 - run.share for run in self.runs if not run.done]

    @property
    def seconds_left(self) -> list[float]:
        """Seconds left of each run that is not done; empty where the cost is not known."""
        return [self.cost.seconds * share for share in self.left] if self.cost else []

    @property
    def scores(self) -> list[float]:
        """Scores of the runs that are done, by seed."""
        return [run.score for run in self.runs if run.score is not None]

    @property
    def expected_seconds_left(self) -> float | None:
        """Seconds that the runs left take by what other runs of the cell took; None before one."""
        if not self.left:
            return 0.0
        seconds = [run.seconds for run in self.runs if run.seconds is not None]
        return statistics.fmean(seconds) * sum(self.left) if seconds else None

    def with_cost(self, cost: Cost | None, error: str = "") -> Cell:
        """Return the cell with what is known of its cost, or why nothing is."""
        return replace(self, cost=cost, error=error)


@dataclass
class _Gathered:
    """Cells so far, by row; requests that mean the same row are one cell."""

    specs: dict[str, dict[int, RunSpec]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def gather(
    requests: Iterable[Request],
    catalogue: Catalogue,
    store: RunStore | None,
    folder: Path | None = None,
) -> list[Cell]:
    """Return the cells of *requests* in their order; one that cannot be resolved says why.

    Args:
        requests: What was asked for.
        catalogue: What the plugins offer.
        store: Where the runs are looked up; None if there is none yet.
        folder: Data folder to look for data files in; None to look for none.
    """
    found = _Gathered()
    for request in requests:
        label = request_label(request)
        try:
            specs = resolve_checked(request, catalogue)
        except UsageError as error:
            found.errors[label] = str(error)
            found.labels[label] = label
            continue
        row = specs[0].row
        found.labels.setdefault(row, label)
        found.specs.setdefault(row, {}).update((spec.seed, spec) for spec in specs)
    look = Look(store, sum(map(len, found.specs.values())))
    return [_cell(key, found, catalogue, look, folder) for key in found.labels]


def _cell(
    key: str, found: _Gathered, catalogue: Catalogue, look: Look, folder: Path | None
) -> Cell:
    if key in found.errors:
        return Cell(label=found.labels[key], error=found.errors[key])
    specs = [spec for _, spec in sorted(found.specs[key].items())]
    return Cell(
        label=found.labels[key],
        runs=tuple(look.at(key, specs)),
        missing_data="" if folder is None else missing_data(specs[0], catalogue, folder),
    )
