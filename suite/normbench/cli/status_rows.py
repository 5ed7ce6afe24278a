"""The rows that ``normbench status`` shows, made from the index."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

from normbench.cli import output
from normbench.live import FAILED, MOVING, view_run
from normbench.origins import UNTUNED, in_words
from normbench.store import (
    Index,
    IndexedRow,
    IndexedRun,
    RunState,
    precision_label,
    read_verifications,
)
from normbench.tables import duration


@dataclass(frozen=True)
class StatusRow:
    """A cell at a setting, as its runs are at a moment.

    Attributes:
        entry: What the row is.
        runs: Its runs, by seed.
        pace: Seconds that a whole run takes, by one that trains; None if none tells.
        label: What a reader must know of its precision; empty if nothing.
        engines: The engine that trained each run with a result; empty unless asked for.
        damaged: Those of its runs that cannot be read, without their results.
    """

    entry: IndexedRow
    runs: tuple[IndexedRun, ...]
    pace: float | None = None
    label: str = ""
    engines: Mapping[str, str] = field(default_factory=dict)
    damaged: tuple[IndexedRun, ...] = ()

    @cached_property
    def seconds_left(self) -> float | None:
        """Seconds of one device for the runs that train or wait; None where no pace is known."""
        moving = [run for run in self.runs if run.state in MOVING]
        if not moving:
            return 0.0
        finished = [run.seconds for run in self.runs if run.state is RunState.FINISHED]
        known = [seconds for seconds in finished if seconds is not None]
        pace = statistics.fmean(known) if known else self.pace
        if pace is None:
            return None
        return pace * sum(1 - min(1.0, run.epoch / self.entry.epochs) for run in moving)

    @property
    def left(self) -> str:
        """The time left in words; empty if nothing trains or waits."""
        return "?" if self.seconds_left is None else duration(self.seconds_left or None)

    @cached_property
    def counts(self) -> Counter[RunState]:
        """Number of runs by their state."""
        return Counter(run.state for run in self.runs)

    @cached_property
    def scores(self) -> list[float]:
        """Scores of finished and diverged runs, by seed; a diverged one has the worst score."""
        return [run.score for run in self.runs if run.score is not None]

    @property
    def n(self) -> int:
        """Number of scores."""
        return len(self.scores)

    @cached_property
    def mean(self) -> float | None:
        """Mean score; None without scores."""
        return statistics.fmean(self.scores) if self.scores else None

    @cached_property
    def sd(self) -> float | None:
        """Standard deviation over seeds, with n - 1; None below two scores."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None

    @property
    def setting(self) -> str:
        """The hyper-parameters that differ from their defaults, and where they come from."""
        words = [f"{name}={output.shown(value)}" for name, value in self.entry.setting.items()]
        origin = self.entry.setting_origin
        return " ".join([*words, UNTUNED if origin == "default" else f"({origin})"])

    @property
    def live(self) -> str:
        """Epoch of each running seed."""
        if not self.counts[RunState.RUNNING]:
            return ""
        running = [run for run in self.runs if run.state is RunState.RUNNING]
        return ", ".join(f"seed {run.seed}: {run.epoch}/{self.entry.epochs}" for run in running)

    @cached_property
    def failed(self) -> list[IndexedRun]:
        """The runs that a new launch tries again, by seed."""
        return [run for run in self.runs if run.state in FAILED]

    def to_dict(self) -> dict[str, Any]:
        """Return the row as strict JSON values."""
        entry = self.entry
        return {
            "row": entry.row,
            "problem": entry.problem,
            "norm": entry.norm_label,
            "optimizer": entry.optimizer,
            "protocol": entry.protocol,
            "deviations": list(entry.deviations),
            "setting": dict(entry.spec.optimizer.parameters),
            "setting_origin": in_words(entry.setting_origin),
            "tuning": entry.tuning,
            "label": self.label,
            "metric": entry.metric,
            "states": {state.value: self.counts[state] for state in RunState},
            "seconds_left": self.seconds_left,
            "n": self.n,
            "mean": self.mean,
            "sd": self.sd,
            "runs": [self._run_record(run) for run in self.runs],
            "damaged": [{"fingerprint": run.fingerprint, "seed": run.seed} for run in self.damaged],
            "messages": {str(run.seed): run.message for run in self.failed},
        }

    def _run_record(self, run: IndexedRun) -> dict[str, Any]:
        return {
            "fingerprint": run.fingerprint,
            "seed": run.seed,
            "state": run.state.value,
            "epoch": run.epoch,
            "epochs": self.entry.epochs,
            "score": run.score,
            "engine": self.engines.get(run.fingerprint),
        }


@dataclass(frozen=True)
class TuningRow(StatusRow):
    """All trials of a cell, in one row.

    Attributes:
        trials: The row of each.
    """

    trials: tuple[StatusRow, ...] = ()

    @property
    def trials_done(self) -> str:
        """How many trials are done, of how many."""
        done = sum(
            all(run.done for run in trial.runs) and not trial.damaged for trial in self.trials
        )
        return f"{done} of {len(self.trials)}"


def status_rows(
    index: Index,
    runs: Sequence[IndexedRun],
    damaged: Sequence[IndexedRun] = (),
    *,
    engines: bool = False,
) -> list[StatusRow]:
    """Return the rows of *runs*, which come row by row.

    Args:
        index: What is known of them.
        runs: The runs.
        damaged: Runs that cannot be read.
        engines: Whether the engines are looked up, which takes a while for many runs.
    """
    rows = []
    tests = read_verifications(index.root)
    everything = index.in_order([*runs, *damaged]) if damaged else runs
    for _, members in groupby(everything, key=lambda run: run.row):
        found = tuple(members)
        lost = tuple(run for run in found if run.fingerprint in index.damaged) if damaged else ()
        of_row = tuple(run for run in found if run not in lost) if lost else found
        entry = index.describe(found[0])
        label = "" if entry.tuning else precision_label(entry.table, tests)
        by = _engines(index, of_row) if engines else {}
        rows.append(StatusRow(entry, of_row, _pace(index, of_row), label, by, lost))
    return rows


def _engines(index: Index, runs: Sequence[IndexedRun]) -> dict[str, str]:
    results = ((run.fingerprint, index.result(run.fingerprint)) for run in runs if run.done)
    found = ((name, result.get("engine")) for name, result in results if result is not None)
    return {name: str(engine) for name, engine in found if engine}


def _pace(index: Index, runs: Sequence[IndexedRun]) -> float | None:
    """Return the seconds that a whole run takes by one of *runs* that trains, if none is done."""
    if any(run.state is RunState.FINISHED for run in runs):
        return None
    for run in runs:
        if run.state is RunState.RUNNING:
            view = view_run(index.stored(run))
            if view.seconds_left is not None and view.epoch < view.epochs:
                return view.seconds_left * view.epochs / (view.epochs - view.epoch)
    return None


def tuning_rows(trials: Sequence[StatusRow]) -> list[TuningRow]:
    """Return a row for each cell that has *trials*."""
    cells: dict[str, list[StatusRow]] = {}
    for trial in trials:
        cells.setdefault(trial.entry.cell, []).append(trial)
    return [
        TuningRow(
            found[0].entry,
            tuple(run for trial in found for run in trial.runs),
            next((trial.pace for trial in found if trial.pace is not None), None),
            damaged=tuple(run for trial in found for run in trial.damaged),
            trials=tuple(found),
        )
        for found in cells.values()
    ]
