"""What a run will take, as far as earlier runs tell: time, and memory of a GPU.

None is begun that cannot end before the machine goes away, or does not fit beside others.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from normbench.store import RunState, RunStore, StoredRun
from normbench.store.checkpoints import newest_checkpoint
from normbench.store.folders import list_attempts

_REFRESH_SECONDS = 60.0
_ENOUGH = 3
# torch keeps more of a GPU than its tensors hold, which is what results tell.
_KEPT = 1.2


class Predictor:
    """Predicts from finished runs of the same row, else from the runs that this worker trained.

    Args:
        store: Where finished runs are.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._of_row: dict[str, float] = {}
        self._of_problem: dict[str, float] = {}
        self._peaks: dict[str, int | None] = {}
        self._finished: Mapping[str, Sequence[str]] = {}
        self._looked = float("-inf")

    def learn(self, run: StoredRun, epochs: int, seconds: float) -> None:
        """Take note that *epochs* of *run* took *seconds* here."""
        if epochs > 0:
            self._of_row[run.spec.row] = seconds / epochs
            self._of_problem[run.spec.problem.name] = seconds / epochs

    def seconds(self, run: StoredRun) -> float | None:
        """Return the seconds that *run* needs from its checkpoint on; None if nothing is known."""
        per_epoch = self._per_epoch(run)
        return None if per_epoch is None else per_epoch * epochs_left(run)

    def _per_epoch(self, run: StoredRun) -> float | None:
        row = run.spec.row
        if row not in self._of_row and (stored := self._of_finished(row)) is not None:
            self._of_row[row] = stored
        return self._of_row.get(row) or self._of_problem.get(run.spec.problem.name)

    def _of_finished(self, row: str) -> float | None:
        """Return the mean seconds per epoch, evaluation included, of finished runs of a row."""
        found = [_seconds_per_epoch(result) for result in self._results(row)]
        found = [seconds for seconds in found if seconds]
        return sum(found) / len(found) if found else None

    def peak_memory(self, row: str) -> int | None:
        """Return the bytes of a GPU that finished runs of a row took; None if none is known."""
        self._look()
        if row not in self._peaks:
            peaks = [each["peak_memory_mb"] for each in self._results(row) if _on_gpu(each)]
            self._peaks[row] = round(max(peaks) * 2**20 * _KEPT) if peaks else None
        return self._peaks[row]

    def _results(self, row: str) -> list[Mapping[str, Any]]:
        """Return the results of a few finished runs of a row."""
        self._look()
        runs = [self._store.get(fingerprint) for fingerprint in self._finished.get(row, ())]
        return [result for run in runs if run and (result := run.result())]

    def _look(self) -> None:
        """See which runs have finished, unless that was done a moment ago."""
        if time.monotonic() - self._looked > _REFRESH_SECONDS:
            self._finished = _finished(self._store)
            self._peaks.clear()
            self._looked = time.monotonic()


def epochs_left(run: StoredRun) -> int:
    """Return how many epochs of *run* are not in its newest checkpoint."""
    checkpoint = newest_checkpoint(attempt.path for attempt in list_attempts(run.path))
    return max(0, run.spec.epochs - (checkpoint.epoch if checkpoint else 0))


def _finished(store: RunStore) -> Mapping[str, Sequence[str]]:
    """Return a few finished runs of each row that has some."""
    found: dict[str, list[str]] = {}
    for run in RunStore.open(store.root).index().runs.values():
        if run.state is RunState.FINISHED and len(found.setdefault(run.row, [])) < _ENOUGH:
            found[run.row].append(run.fingerprint)
    return found


def _seconds_per_epoch(result: Mapping[str, Any]) -> float:
    """Return what an epoch takes alone; a pack's runs share the device's time."""
    if not result["epochs"]:
        return 0.0
    seconds = float(result["train_seconds"] + result["evaluation_seconds"])
    return seconds / int(result["epochs"]) / int(result.get("pack", 1))


def _on_gpu(result: Mapping[str, Any]) -> bool:
    return str(result.get("device", "")).startswith("cuda") and bool(result.get("peak_memory_mb"))
