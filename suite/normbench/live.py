"""How far runs are, read from the store alone: for progress displays and ``status``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from normbench.store import IndexedRun, RunState, RunStore, StoredRun
from normbench.tables import states_in_words

_DONE = (RunState.FINISHED, RunState.DIVERGED)
# Outcomes that a new launch tries again.
FAILED = (RunState.FAILED, RunState.OUT_OF_MEMORY, RunState.TIMED_OUT, RunState.KILLED)
# What a launch would still train by itself.
MOVING = (RunState.RUNNING, RunState.PENDING, RunState.INTERRUPTED)
TOTALS = {
    "running": (RunState.RUNNING,),
    "queued": (RunState.PENDING, RunState.INTERRUPTED),
    "done": _DONE,
    "failed": FAILED,
    "cancelled": (RunState.CANCELLED,),
}


def totals(states: Iterable[RunState]) -> dict[str, int]:
    """Return how many runs there are of each kind in :data:`TOTALS`."""
    found = list(states)
    return {word: sum(map(found.count, group)) for word, group in TOTALS.items()}


def totals_in_words(counts: Mapping[RunState, int]) -> str:
    """Return how many runs there are of each kind, what failed by its own word."""
    parts = [
        states_in_words({state: counts.get(state, 0) for state in group})
        if word == "failed"
        else f"{count} {word}"
        for word, group in TOTALS.items()
        if (count := sum(counts.get(state, 0) for state in group))
    ]
    return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run at a moment.

    Attributes:
        run: The run.
        state: Its state.
        epoch: Epochs trained.
        epochs: Epochs to train.
        share: Share of the work done, in [0, 1].
        point: The newest curve point, empty before the first.
        seconds_left: Estimated from the epochs trained so far; None before the first.
        score: Of a run with a result.
    """

    run: StoredRun
    state: RunState
    epoch: int
    epochs: int
    share: float
    point: dict[str, Any] = field(default_factory=dict)
    seconds_left: float | None = None
    score: float | None = None

    @property
    def images_per_second(self) -> float | None:
        """Training examples a second so far; None before the first epoch."""
        seconds = self.point.get("train_seconds", 0.0)
        if not self.epoch or not seconds:
            return None
        batch = self.run.spec.problem.training.batch_size
        return float(self.point["step"]) * batch / float(seconds)


class Watch:
    """Looks at some runs again and again; reads only those that train, and those that changed."""

    def __init__(self, store: RunStore, fingerprints: Iterable[str]) -> None:
        self._store = store
        self._fingerprints = tuple(fingerprints)
        self._known: dict[str, IndexedRun] = {}
        self._views: dict[str, RunView] = {}
        self._ended: set[str] = set()

    def views(self) -> list[RunView]:
        """Return a view of every run, in the order given."""
        moving = [name for name in self._fingerprints if name not in self._ended]
        for name, entry in self._store.indexed(moving).items():
            self._views[name] = self._view(entry)
            self._known[name] = entry
            if entry.complete:
                self._ended.add(name)
        return [self._views[name] for name in self._fingerprints]

    def _view(self, entry: IndexedRun) -> RunView:
        view = self._views.get(entry.fingerprint)
        if view is not None:
            moved = entry.state is RunState.RUNNING or entry != self._known[entry.fingerprint]
            return view_run(view.run) if moved else view
        run = self._store.get(entry.fingerprint)
        if run is None:
            raise KeyError(entry.fingerprint)
        return view_run(run)


def glance_at(run: StoredRun) -> RunView:
    """Return how far *run* is; of a run that is done, nothing but its result is read."""
    state = run.state()
    result = run.result() if state in _DONE else None
    if result is None:
        return view_run(run)
    return RunView(
        run=run,
        state=state,
        epoch=int(result["epochs"]),
        epochs=run.spec.epochs,
        share=1.0,
        score=float(result["score"]),
    )


def view_run(run: StoredRun) -> RunView:
    """Return how far *run* is."""
    state, epochs = run.state(), run.spec.epochs
    points = [] if state is RunState.PENDING else run.points()
    point = points[-1] if points else {}
    epoch = int(point.get("epoch", 0))
    share = 1.0 if state in _DONE else min(1.0, (epoch + _epoch_share(run, epoch)) / epochs)
    left = _seconds_left(point, epoch, epochs) if state is RunState.RUNNING else None
    return RunView(
        run=run,
        state=state,
        epoch=epoch,
        epochs=epochs,
        share=share,
        point=point,
        seconds_left=left,
    )


def _epoch_share(run: StoredRun, epoch: int) -> float:
    """Return the share of the running epoch that its worker last reported."""
    attempts = run.attempts()
    if not attempts:
        return 0.0
    try:
        text = (attempts[-1].folder / "progress.json").read_text(encoding="utf-8")
        progress = json.loads(text)
    except (OSError, ValueError):
        return 0.0
    return progress["step"] / progress["steps"] if progress["epoch"] == epoch + 1 else 0.0


def _seconds_left(point: dict[str, Any], epoch: int, epochs: int) -> float | None:
    if not epoch:
        return None
    spent = point["train_seconds"] + point["evaluation_seconds"]
    return float(spent) / epoch * (epochs - epoch)
