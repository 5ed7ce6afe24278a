"""Where the numbers of a leaderboard come from: one interface, and the run store behind it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Protocol

from normbench.descriptions import Metric
from normbench.errors import DamagedFileError, StoreError
from normbench.parameters import Value
from normbench.specs import FIRST_TUNING_SEED
from normbench.store import (
    Declaration,
    Index,
    IndexedRow,
    RunState,
    RunStore,
    Shown,
    Verification,
    read_shown,
    read_verifications,
    readable_declarations,
)

_log = logging.getLogger(__name__)
SCORED = (RunState.FINISHED, RunState.DIVERGED)


class ReadRun(NamedTuple):
    """What a leaderboard knows of one run.

    Attributes:
        fingerprint: The run.
        state: How it stands.
        score: Its score by the problem's metric; a diverged run has the worst score.
        seconds: Seconds that it trained.
        damaged: Whether it may have a result that cannot be read, since a file is damaged.
    """

    fingerprint: str
    state: RunState
    score: float | None = None
    seconds: float | None = None
    damaged: bool = False


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
        dated: Results that were left out because they are older than was asked for.
        declared: The stages that seeds are added in, where they were declared.
        shown: The tables that first gave it verdicts, as far as that is known.
        damaged: Why it is not known whether its stages were declared, or which setting its cell
            has; no table is made of it.
        recorded: Why where its setting comes from is what was recorded, not what is known now: the
            file of its cell's setting cannot be read.
        edited: Whether a one-off file that it was trained with was edited since; None where there
            is none, or it is not loaded.
        table: What rows of one table share, see :func:`normbench.comparable.comparable`; empty
            where that is still to be read from the spec.
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
    dated: int = 0
    declared: Declaration | None = None
    shown: tuple[Shown, ...] = ()
    damaged: StoreError | None = None
    recorded: DamagedFileError | None = None
    edited: bool | None = None
    table: str = field(default="", repr=False)

    @cached_property
    def metric(self) -> Metric:
        """What it is judged by."""
        return Metric(**self.content["problem"]["metric"])

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells the row from others, see :class:`normbench.specs.RunSpec`."""
        found: Mapping[str, Any] = self.content["identity"]
        return found

    @property
    def rules(self) -> Mapping[str, Any]:
        """The protocol's rules."""
        found: Mapping[str, Any] = self.content["protocol"]["rules"]
        return found

    @property
    def content(self) -> dict[str, Any]:
        """The spec of one of its runs; read anew each time, since together they are large."""
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
        return tuple(seed for seed, run in self.runs.items() if run.score is None)

    @cached_property
    def unread(self) -> tuple[int, ...]:
        """Seeds whose results, if there are any, cannot be read; all of them are missing."""
        return tuple(seed for seed, run in self.runs.items() if run.damaged)

    @property
    def has_results(self) -> bool:
        """Whether a run of it has a result, be it older than was asked for."""
        return bool(self.scores or self.dated)

    @property
    def plain(self) -> bool:
        """Whether norm and ablation are as they come."""
        return self.norm_label == self.norm

    @property
    def bound_to(self) -> str:
        """The row that its stages were declared against; empty if none was named."""
        return self.declared.reference if self.declared is not None else ""

    @property
    def staged(self) -> Declaration | None:
        """The stages that it was looked at in itself, if any were declared."""
        return self.declared if self.declared is not None and self.declared.own else None

    def _seeds(self, state: RunState) -> tuple[int, ...]:
        return tuple(seed for seed, run in self.runs.items() if run.state is state)


class Reader(Protocol):
    """Gives the rows of a store, whatever kind of store it is."""

    @property
    def place(self) -> str:
        """Where the rows are read, in words."""

    @property
    def option(self) -> str:
        """What names the store to commands, such as `` --store DIR``; empty for the default."""

    def rows(self) -> Sequence[ReadRow]:
        """Return all rows with their runs."""

    def unplaced(self) -> Sequence[str]:
        """Return the damaged runs of which it is not known to which row they belong."""

    def results(self, fingerprints: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the results of runs, by fingerprint; those without one are left out.

        Of each there is at least what :mod:`normbench.store.index_results` keeps, as far as the
        result has it.
        """

    def environments(self, fingerprints: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return where runs were trained, by fingerprint, as far as it is known."""

    def verifications(self) -> Sequence[Verification] | None:
        """Return the tests of a precision, see ``normbench verify``; None if they are not known."""


class StoreReader:
    """Reads a run store, as it is when something is asked of it for the first time.

    Args:
        store: The store.
        option: What names it to commands, such as `` --store DIR``; empty for the default one.
    """

    def __init__(self, store: RunStore, option: str = "") -> None:
        self.store = store
        self._option = option

    @cached_property
    def index(self) -> Index:
        """What is known of all runs; a warning names those that cannot be read."""
        found = self.store.index()
        for sentence in found.left_out():
            _log.warning("%s", sentence)
        return found

    @property
    def damaged(self) -> Mapping[str, StoreError]:
        """Why it is not known of rows whether their stages were declared."""
        return self._declarations[1]

    @cached_property
    def _declarations(self) -> tuple[Mapping[str, Declaration], Mapping[str, StoreError]]:
        return readable_declarations(self.store.root)

    @property
    def place(self) -> str:
        """Where the rows are read, in words."""
        return f"run store {self.store.root}"

    @property
    def option(self) -> str:
        """What names the store to commands."""
        return self._option

    def rows(self) -> list[ReadRow]:
        """Return all rows with their runs, in an order that depends on nothing else."""
        index = self.index
        runs: dict[str, dict[int, ReadRun]] = {}
        for run in index.runs.values():
            found = ReadRun(run.fingerprint, run.state, run.score, run.seconds)
            runs.setdefault(run.row, {})[run.seed] = found
        for run in index.lost.values():
            lost = ReadRun(run.fingerprint, run.state, damaged=True)
            runs.setdefault(run.row, {}).setdefault(run.seed, lost)
        declared, damaged = self._declarations
        shown = read_shown(self.store.root)
        rows = [
            read_row(index.rows[row], own, declared.get(row), shown.get(row, ()))
            for row, own in sorted(runs.items())
        ]
        if not damaged:
            return rows
        return [replace(each, damaged=damaged.get(each.row)) for each in rows]

    def unplaced(self) -> list[str]:
        """Return the damaged runs of which it is not known to which row they belong."""
        return self.index.unplaced

    def results(self, fingerprints: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return the results of runs, by fingerprint; those without one are left out."""
        found = ((name, self.index.result(name)) for name in fingerprints)
        return {name: result for name, result in found if result is not None}

    def environments(self, fingerprints: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return where runs with a result were trained, by fingerprint, as far as it is known."""
        found = ((name, self.index.environment(name)) for name in fingerprints)
        return {name: _parsed(text) for name, text in found if text}

    def verifications(self) -> list[Verification]:
        """Return the tests of a precision that were made in the store."""
        return read_verifications(self.store.root)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def read_row(
    entry: IndexedRow,
    runs: Mapping[int, ReadRun],
    declared: Declaration | None = None,
    shown: tuple[Shown, ...] = (),
) -> ReadRow:
    """Return the row that *entry* describes; of runs at tuning seeds only the number.

    Args:
        entry: What the spec says of the row.
        runs: All of its runs by seed.
        declared: The stages that its seeds are added in.
        shown: The tables that first gave it verdicts.
    """
    own = {seed: run for seed, run in sorted(runs.items()) if seed < FIRST_TUNING_SEED}
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
        runs=own,
        tuning=len(runs) - len(own),
        declared=declared,
        shown=shown,
        table=entry.table,
    )
