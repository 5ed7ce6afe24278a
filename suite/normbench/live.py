"""How far runs are, read from the store alone: for progress displays and ``status``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normbench.garbage import uncollected
from normbench.store import IndexedRun, RunState, RunStore, StoredRun
from normbench.tables import states_in_words

_DONE = (RunState.FINISHED, RunState.DIVERGED)
# Outcomes that a new launch tries again.
FAILED = (RunState.FAILED, RunState.OUT_OF_MEMORY, RunState.TIMED_OUT, RunState.KILLED)
# So many runs are looked up together rather than one by one.
_MANY = 200
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


def totals_in_words(counts: Mapping[RunState, int], damaged: int = 0) -> str:
    """Return how many runs there are of each kind, what failed by its own word."""
    parts = [
        states_in_words({state: counts.get(state, 0) for state in group})
        if word == "failed"
        else f"{count} {word}"
        for word, group in TOTALS.items()
        if (count := sum(counts.get(state, 0) for state in group))
    ]
    return ", ".join([*parts, *([f"{damaged} damaged"] if damaged else [])])


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    """One run at a moment.

    Attributes:
        run: The run.
        state: Its state.
        epoch: Epochs trained.
        epochs: Epochs to train.
        share: Share of the work done, in [0, 1].
        last: The newest curve point, empty before the first; None to read it when it is asked for.
        seconds_left: Estimated from the epochs trained so far; None before the first.
        score: Of a run with a result.
    """

    run: StoredRun
    state: RunState
    epoch: int
    epochs: int
    share: float
    last: dict[str, Any] | None = None
    seconds_left: float | None = None
    score: float | None = None

    @property
    def point(self) -> dict[str, Any]:
        """The newest curve point, empty before the first."""
        if self.last is not None:
            return self.last
        points = self.run.points()
        return points[-1] if points else {}

    @property
    def images_per_second(self) -> float | None:
        """Training examples a second so far; None before the first epoch."""
        point = self.point if self.epoch else {}
        seconds = point.get("train_seconds", 0.0)
        if not seconds:
            return None
        batch = self.run.spec.problem.training.batch_size
        return float(point["step"]) * batch / float(seconds)


class Watch:
    """Looks at some runs again and again; reads only those that train, and those that changed.

    Of very many runs what the index knows is enough for those that wait or are done. They share
    what their specs have in common, so that each takes a kilobyte.
    """

    def __init__(self, store: RunStore, fingerprints: Iterable[str]) -> None:
        self._store = store
        self._fingerprints = tuple(fingerprints)
        self._known: dict[str, IndexedRun] = {}
        self._views: dict[str, RunView] = {}
        self._ended: set[str] = set()

    def views(self) -> list[RunView]:
        """Return a view of every run, in the order given."""
        moving = [name for name in self._fingerprints if name not in self._ended]
        with uncollected():
            if len(moving) > _MANY:
                self._look_at_many(moving)
            else:
                self._look_at(self._store.indexed(moving), self._stored)
        return [self._views[name] for name in self._fingerprints]

    def _look_at_many(self, moving: Sequence[str]) -> None:
        index = self._store.index()
        missing = [name for name in moving if name not in index.runs]
        entries = self._store.indexed(missing) if missing else {}
        entries = {name: index.runs.get(name) or entries[name] for name in moving}
        self._look_at(entries, index.stored)

    def _look_at(
        self, entries: Mapping[str, IndexedRun], stored: Callable[[IndexedRun], StoredRun]
    ) -> None:
        for name, entry in entries.items():
            known = self._known.get(name)
            if known is None or entry.state is RunState.RUNNING or known != entry:
                view = self._views.get(name)
                self._views[name] = _view(view.run if view else stored(entry), entry)
            self._known[name] = entry
            if entry.complete:
                self._ended.add(name)

    def _stored(self, entry: IndexedRun) -> StoredRun:
        run = self._store.get(entry.fingerprint)
        if run is None:
            raise KeyError(entry.fingerprint)
        return run


def _view(run: StoredRun, entry: IndexedRun) -> RunView:
    """Return how far *run* is; where the index tells it no file is read."""
    if entry.done:
        epochs = run.spec.epochs
        return RunView(run=run, state=entry.state, epoch=entry.epoch, epochs=epochs, share=1.0)
    if entry.state is RunState.PENDING:
        return RunView(
            run=run, state=entry.state, epoch=0, epochs=run.spec.epochs, share=0.0, last={}
        )
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
    share = 1.0 if state in _DONE else min(1.0, (epoch + _epochs_since(run, epoch)) / epochs)
    left = _seconds_left(point, epoch, epochs) if state is RunState.RUNNING else None
    return RunView(
        run=run,
        state=state,
        epoch=epoch,
        epochs=epochs,
        share=share,
        last=point,
        seconds_left=left,
    )


def _epochs_since(run: StoredRun, epoch: int) -> float:
    """Return the epochs behind *epoch*, that of the last point, by what its worker last reported.

    More than one on a device whose points come an epoch late.
    """
    attempts = run.attempts()
    if not attempts:
        return 0.0
    try:
        text = (attempts[-1].folder / "progress.json").read_text(encoding="utf-8")
        progress = json.loads(text)
    except (OSError, ValueError):
        return 0.0
    whole = progress["epoch"] - epoch - 1
    return whole + progress["step"] / progress["steps"] if whole in (0, 1) else 0.0


def _seconds_left(point: dict[str, Any], epoch: int, epochs: int) -> float | None:
    if not epoch:
        return None
    spent = point["train_seconds"] + point["evaluation_seconds"]
    return float(spent) / epoch * (epochs - epoch)
