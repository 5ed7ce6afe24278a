"""Where the numbers of a leaderboard come from: one interface, and the run store behind it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from normbench.descriptions import Metric
from normbench.parameters import Value
from normbench.specs import FIRST_TUNING_SEED
from normbench.store import IndexedRow, RunState, RunStore, StoredRun

SCORED = (RunState.FINISHED, RunState.DIVERGED)


class ReadRun(NamedTuple):
    """What a leaderboard knows of one run.

    Attributes:
        fingerprint: The run.
        state: How it stands.
        score: Its score by the problem's metric; a diverged run has the worst score.
        seconds: Seconds that it trained.
    """

    fingerprint: str
    state: RunState
    score: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class ReadRow:
    """A cell at a setting with its runs.

    Attributes:
        row: Fingerprint of the row.
        problem: Problem by its base name.
        norm: Norm by name.
        norm_label: The norm with what was changed of it.
        optimizer: Optimizer by name.
        setting: Hyper-parameters that differ from their defaults.
        setting_origin: Where they come from.
        protocol: Protocol by name.
        deviations: Words that changed it.
        text: The spec of one of its runs as JSON; read when something of it is asked for.
        runs: Runs by seed; none of them was trained for tuning.
        tuning: Runs that were left out because they were trained for tuning.
    """

    row: str
    problem: str
    norm: str
    norm_label: str
    optimizer: str
    setting: Mapping[str, Value]
    setting_origin: str
    protocol: str
    deviations: tuple[str, ...]
    text: str | bytes = field(repr=False)
    runs: Mapping[int, ReadRun]
    tuning: int = 0

    @cached_property
    def metric(self) -> Metric:
        """What it is judged by."""
        return Metric(**self._content["problem"]["metric"])

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells the row from others, see :class:`normbench.specs.RunSpec`."""
        found: Mapping[str, Any] = self._content["identity"]
        return found

    @property
    def rules(self) -> Mapping[str, Any]:
        """The protocol's rules."""
        found: Mapping[str, Any] = self._content["protocol"]["rules"]
        return found

    @cached_property
    def _content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    @cached_property
    def scores(self) -> dict[int, float]:
        """Score of each run that has a result, by seed."""
        return {seed: run.score for seed, run in self.runs.items() if run.score is not None}

    @cached_property
    def diverged(self) -> tuple[int, ...]:
        """Seeds that diverged."""
        return self._seeds(RunState.DIVERGED)

    @cached_property
    def missing(self) -> tuple[int, ...]:
        """Seeds without a result, whatever the reason."""
        return tuple(seed for seed, run in self.runs.items() if run.state not in SCORED)

    @property
    def plain(self) -> bool:
        """Whether norm and ablation are as they come."""
        return self.norm_label == self.norm

    def _seeds(self, state: RunState) -> tuple[int, ...]:
        return tuple(seed for seed, run in self.runs.items() if run.state is state)


class Reader(Protocol):
    """Gives the rows of a store, whatever kind of store it is."""

    @property
    def place(self) -> str:
        """Where the rows are read, in words."""

    def rows(self) -> Sequence[ReadRow]:
        """Return all rows with their runs."""

    def results(self, fingerprints: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the results of runs, by fingerprint; those without one are left out."""

    def environments(self, fingerprints: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return where runs were trained, by fingerprint, as far as it is known."""


@dataclass
class StoreReader:
    """Reads a run store.

    Attributes:
        store: The store.
    """

    store: RunStore
    _stored: dict[str, StoredRun] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where the rows are read, in words."""
        return f"run store {self.store.root}"

    def rows(self) -> list[ReadRow]:
        """Return all rows with their runs, in an order that depends on nothing else."""
        index = self.store.index()
        runs: dict[str, dict[int, ReadRun]] = {}
        tuning: dict[str, int] = {}
        for run in index.runs.values():
            own = runs.setdefault(run.row, {})
            if run.seed >= FIRST_TUNING_SEED:
                tuning[run.row] = tuning.get(run.row, 0) + 1
            else:
                own[run.seed] = ReadRun(run.fingerprint, run.state, run.score, run.seconds)
        return [
            _row(index.rows[row], dict(sorted(own.items())), tuning.get(row, 0))
            for row, own in sorted(runs.items())
        ]

    def results(self, fingerprints: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return the results of runs, by fingerprint; those without one are left out."""
        found = ((name, self._run(name)) for name in fingerprints)
        results = ((name, run.result() if run else None) for name, run in found)
        return {name: result for name, result in results if result is not None}

    def environments(self, fingerprints: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return where runs were trained, by fingerprint, as far as it is known."""
        found = ((name, self._run(name)) for name in fingerprints)
        known = ((name, run.environment() if run else None) for name, run in found)
        return {name: environment for name, environment in known if environment is not None}

    def _run(self, fingerprint: str) -> StoredRun | None:
        if fingerprint not in self._stored and (run := self.store.get(fingerprint)):
            self._stored[fingerprint] = run
        return self._stored.get(fingerprint)


def _row(entry: IndexedRow, runs: Mapping[int, ReadRun], tuning: int) -> ReadRow:
    return ReadRow(
        row=entry.row,
        problem=entry.problem,
        norm=entry.norm,
        norm_label=entry.norm_label,
        optimizer=entry.optimizer,
        setting=entry.setting,
        setting_origin=entry.setting_origin,
        protocol=entry.protocol,
        deviations=entry.deviations,
        text=entry.text,
        runs=runs,
        tuning=tuning,
    )
