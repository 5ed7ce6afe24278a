"""How far the runs of a plan are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from normbench.live import RunView, glance_at
from normbench.specs import RunSpec
from normbench.store import RunState, RunStore, StoredRun
from normbench.store.index import Index

DONE = (RunState.FINISHED, RunState.DIVERGED)
MANY_RUNS = 1000


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One run of a plan at a moment.

    Attributes:
        spec: What it is.
        run: The store's; None if it has not been added.
        state: Its state; None if it has not been added.
        share: Share of its work done, in [0, 1].
        score: Of a run with a result.
        seconds: Of the whole run: what it took, or will take by what it has trained; None before.
        index: The index of the store that this was read from, if it was.
    """

    spec: RunSpec
    run: StoredRun | None = None
    state: RunState | None = None
    share: float = 0.0
    score: float | None = None
    seconds: float | None = None
    index: Index | None = field(default=None, repr=False)

    @property
    def done(self) -> bool:
        """Whether it has its result."""
        return self.state in DONE

    def result(self) -> Mapping[str, Any] | None:
        """Return the published result, as far as the index keeps it; None if there is none."""
        if self.run is None or self.index is None:
            return self.run.result() if self.run is not None else None
        return self.index.result(self.run.fingerprint)

    def environment(self) -> dict[str, Any]:
        """Return where it was trained, as far as that is known."""
        if self.run is None:
            return {}
        text = self.index.environment(self.run.fingerprint) if self.index is not None else ""
        found: dict[str, Any] = json.loads(text) if text else self.run.environment() or {}
        return found


class Look:
    """Looks planned runs up in a store.

    Few are read from their own files, whatever else the store holds; many from its index.

    Args:
        store: The store; None if there is none.
        runs: How many will be looked up.
    """

    def __init__(self, store: RunStore | None, runs: int) -> None:
        self._store = store
        self._index = store.index() if store is not None and runs > MANY_RUNS else None
        found = self._index.runs.values() if self._index is not None else ()
        self._indexed = {(run.row, run.seed): run for run in found}

    def at(self, row: str, specs: Sequence[RunSpec]) -> list[Standing]:
        """Return how far the runs of *specs* are, all of one *row*."""
        if self._index is None:
            return [self._read(spec) for spec in specs]
        return [self._from_index(self._index, row, spec) for spec in specs]

    def _read(self, spec: RunSpec) -> Standing:
        run = self._store.get(spec.fingerprint) if self._store is not None else None
        return Standing(spec=spec) if run is None else glanced(spec, run)

    def _from_index(self, index: Index, row: str, spec: RunSpec) -> Standing:
        known = self._indexed.get((row, spec.seed))
        if known is None:
            return Standing(spec=spec)
        run = index.stored(known)
        if known.state is RunState.RUNNING:
            return glanced(spec, run)
        return Standing(
            spec=spec,
            run=run,
            state=known.state,
            share=1.0 if known.done else known.epoch / spec.epochs,
            score=known.score,
            seconds=known.seconds if known.state is RunState.FINISHED else None,
            index=index,
        )


def glanced(spec: RunSpec, run: StoredRun) -> Standing:
    """Return how far *run*, which is *spec*, is by its own files."""
    view = glance_at(run)
    return Standing(
        spec=spec,
        run=run,
        state=view.state,
        share=view.share,
        score=view.score,
        seconds=_seconds(view),
    )


def _seconds(view: RunView) -> float | None:
    if view.state is RunState.FINISHED:
        result = view.run.result() or {}
        return float(result["train_seconds"]) if "train_seconds" in result else None
    if view.seconds_left is None or not view.epoch:
        return None
    return view.seconds_left / (1 - view.epoch / view.epochs) if view.epoch < view.epochs else None
