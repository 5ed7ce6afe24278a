"""The index: what is known of all runs of a store at a moment, without reading their files."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from normbench.garbage import uncollected
from normbench.quantities import counted
from normbench.specs import FIRST_TUNING_SEED, RunSpec
from normbench.store.folders import RunState
from normbench.store.index_results import Outcome
from normbench.store.index_rows import IndexedRow
from normbench.store.index_shard import EMPTY, Kept, Shard
from normbench.store.index_specs import SeedlessSpecs
from normbench.store.indexed_run import IndexedRun
from normbench.store.layout import checked_prefix, run_path
from normbench.store.leases import FileClock
from normbench.store.run import StoredRun


class Part(NamedTuple):
    """Some of the runs of a store at a moment.

    Attributes:
        shard: What was known of them before.
        changed: What was read again, by fingerprint; None for a run that cannot be read.
    """

    shard: Shard
    changed: Mapping[str, Kept | None]


_NOTHING = Part(EMPTY, {})
_MOST_TOLD = 20


@dataclass(frozen=True)
class Index:
    """The runs of a store as they were when :meth:`RunStore.index` was called.

    Attributes:
        root: Folder of the store.
        clock: Clock of its file system.
        parts: All runs, by the first digit of their fingerprints.
        specs: Specs without their seeds, by digest.
        damaged: Why a run cannot be read, by fingerprint; such runs are not among :attr:`runs`.
        described: What the specs of damaged runs say, by fingerprint, where they can be read.
    """

    root: Path
    clock: FileClock
    parts: Mapping[str, Part]
    specs: SeedlessSpecs
    damaged: Mapping[str, str]
    described: Mapping[str, IndexedRun] = field(default_factory=dict)

    @cached_property
    def runs(self) -> Mapping[str, IndexedRun]:
        """What is known of each run, by fingerprint."""
        with uncollected():
            runs: dict[str, IndexedRun] = {}
            for shard, changed in self.parts.values():
                runs.update(zip(shard.names, shard.runs, strict=True))
                for name, kept in changed.items():
                    if kept is None:
                        runs.pop(name, None)
                    else:
                        runs[name] = kept.run
            return runs

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits that change with anything a table shows of any run.

        They are had without reading what is known of the runs. How far a run is that trains plays
        no part in them.
        """
        parts = [self.parts[digit] for digit in sorted(self.parts)]
        shown = [(shard.digest, _shown(changed)) for shard, changed in parts]
        told = repr((shown, sorted(self.damaged.items())))
        return hashlib.md5(told.encode(), usedforsecurity=False).hexdigest()

    @cached_property
    def rows(self) -> dict[str, IndexedRow]:
        """What tables show of each row, by fingerprint; as the spec of its lowest seed says."""
        lowest: dict[str, IndexedRun] = {}
        for run in (*self.runs.values(), *self.described.values()):
            first = lowest.setdefault(run.row, run)
            if run.seed < first.seed:
                lowest[run.row] = run
        rows = {row: self.describe(run) for row, run in lowest.items()}
        self.specs.keep()
        return rows

    @cached_property
    def lost(self) -> Mapping[str, IndexedRun]:
        """The damaged runs whose row and seed are known, by fingerprint, without their results.

        Where the spec cannot be read either, the fingerprint tells what it was if a row of the
        store had the run at a seed that some other run has, or that lies below it.
        """
        found = dict(self.described)
        unknown = self.damaged.keys() - found.keys()
        for run in islice(self._guesses(unknown), len(unknown)) if unknown else ():
            found[run.fingerprint] = run
        return {
            name: run._replace(state=RunState.INTERRUPTED) for name, run in sorted(found.items())
        }

    @property
    def unplaced(self) -> list[str]:
        """The damaged runs of which it is not known to which row they belong."""
        return sorted(self.damaged.keys() - self.lost.keys())

    def left_out(self) -> list[str]:
        """Return a sentence for each damaged run, or for the first of very many and all others."""
        told = sorted(self.damaged.items())
        found = [f"run {name[:8]} is left out: {problem}" for name, problem in told[:_MOST_TOLD]]
        if (more := len(told) - _MOST_TOLD) > 0:
            found.append(
                f"{counted(more, 'run')} more with damaged files left out. All are named by: "
                f"normbench check --store {shlex.quote(str(self.root))}"
            )
        return found

    def _guesses(self, names: Collection[str]) -> Iterator[IndexedRun]:
        """Yield the runs among *names* that a row would have at a seed that it lacks."""
        one_each = {run.row: run for run in (*self.runs.values(), *self.described.values())}
        seeds = {run.seed for run in self.runs.values()}
        own = {*seeds, *range(max((s for s in seeds if s < FIRST_TUNING_SEED), default=0) + 2)}
        for row, first in one_each.items():
            spec = self.spec(first)
            for seed in own:
                if spec.tuning == (seed >= FIRST_TUNING_SEED):
                    name = replace(spec, seed=seed).fingerprint
                    if name in names:
                        yield IndexedRun(name, row, first.description, seed)

    def describe(self, run: IndexedRun) -> IndexedRow:
        """Return what the run's own spec says of its row.

        Raises:
            StoreError: If the files of the index lack it, and it cannot be read.
        """
        row = self.specs.get(run.description)
        return row or self.specs.recover(run_path(self.root, run.fingerprint), run.description)

    def outcome(self, fingerprint: str) -> Outcome | None:
        """Return what tables use of the result of a run; None if it has none."""
        part = self.parts.get(fingerprint[:1], _NOTHING)
        shard, changed = part.shard, part.changed
        if fingerprint in changed:
            kept = changed[fingerprint]
            return kept and kept.outcome
        place = shard.places.get(fingerprint)
        return None if place is None else shard.outcomes[place]

    def result(self, fingerprint: str) -> Mapping[str, Any] | None:
        """Return what is kept of the result of a run; None if it has none."""
        part = self.parts.get(fingerprint[:1], _NOTHING)
        place = None if fingerprint in part.changed else part.shard.places.get(fingerprint)
        if place is not None:
            return part.shard.outcomes.result(place)
        outcome = self.outcome(fingerprint)
        return None if outcome is None else outcome.result()

    def environment(self, fingerprint: str) -> str:
        """Return where a run with a result was trained, as JSON; empty if that is not known."""
        part = self.parts.get(fingerprint[:1], _NOTHING)
        shard, changed = part.shard, part.changed
        if fingerprint in changed or fingerprint not in shard.places:
            outcome = self.outcome(fingerprint)
            return outcome.environment if outcome else ""
        return shard.outcomes.environment(shard.places[fingerprint])

    def spec(self, run: IndexedRun) -> RunSpec:
        """Return the run's spec."""
        return _with_seed(self.describe(run), run.seed)

    def stored(self, run: IndexedRun) -> StoredRun:
        """Return the run in the store; its spec needs no file."""
        # What is kept must not keep the whole index.
        known = partial(_with_seed, self.describe(run), run.seed)
        return StoredRun(run_path(self.root, run.fingerprint), self.clock, known)

    def counts(self) -> Counter[RunState]:
        """Return the number of runs in each state."""
        return Counter(run.state for run in self.runs.values())

    def claimable(self, wanted: Collection[str] | None = None) -> list[str]:
        """Return the runs that a worker may claim, in the order to take them.

        These are all that are neither done nor held nor cancelled, and those that are done and lack
        series. They come seed by seed, so that rows can be compared early; within a seed by
        problem, protocol, norm and optimizer. Those with strikes come last.

        Args:
            wanted: Fingerprints to choose among; None for all.
        """
        names = self.runs.keys() if wanted is None else self.runs.keys() & wanted
        found = [run for name in names if (run := self.runs[name]).claimable]
        ordered = sorted(self.in_order(found), key=attrgetter("strikes", "seed"))
        return [run.fingerprint for run in ordered]

    def find(self, prefix: str) -> list[IndexedRun]:
        """Return the runs whose fingerprint begins with *prefix*, else those whose row's does.

        Raises:
            UsageError: If *prefix* is not 4 to 32 hexadecimal digits.
        """
        digits = checked_prefix(prefix)
        found = [run for name, run in self.runs.items() if name.startswith(digits)]
        return found or [run for run in self.runs.values() if run.row.startswith(digits)]

    def in_order(self, runs: Iterable[IndexedRun]) -> list[IndexedRun]:
        """Return *runs* by problem, protocol, norm, optimizer, row and seed."""
        by_row: dict[str, list[IndexedRun]] = {}
        for run in runs:
            by_row.setdefault(run.row, []).append(run)
        rows = sorted(by_row, key=self._ranks.__getitem__)
        seed = attrgetter("seed", "fingerprint")
        return [run for row in rows for run in sorted(by_row[row], key=seed)]

    @cached_property
    def _ranks(self) -> dict[str, int]:
        """Number of each row in the order in which tables show them."""
        entries = self.rows.values()
        keys = sorted((e.problem, e.protocol, e.norm_label, e.optimizer, e.row) for e in entries)
        return {row: rank for rank, (*_, row) in enumerate(keys)}


def _shown(changed: Mapping[str, Kept | None]) -> list[object]:
    """Return what tables show of runs."""
    return [
        (name, kept and (*kept.run[1:7], kept.outcome)) for name, kept in sorted(changed.items())
    ]


def _with_seed(row: IndexedRow, seed: int) -> RunSpec:
    return replace(row.spec, seed=seed)
