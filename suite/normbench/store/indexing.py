"""Keeping the index of a store up to date with its files.

A look lists the folders of the runs and asks of each when it last changed; only what changed is
read. Several processes may look at once: each writes what it saw.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from normbench.errors import DamagedFileError, StoreError
from normbench.garbage import uncollected
from normbench.store import index_files, index_helpers
from normbench.store.files import explain
from normbench.store.index import Index, Part
from normbench.store.index_files import DIGITS, INDEX_FOLDER
from normbench.store.index_reading import read_run
from normbench.store.index_shard import Kept, Shard
from normbench.store.index_specs import SeedlessSpecs, read_seedless
from normbench.store.index_stamps import settled
from normbench.store.index_survey import Survey, survey
from normbench.store.indexed_run import IndexedRun
from normbench.store.layout import RUNS_FOLDER, run_path
from normbench.store.leases import FileClock

# So few runs are read faster than anyone notices, and need no further files.
SMALL = 200

_log = logging.getLogger(__name__)


class _Found(NamedTuple):
    """What was read of a run, and whether it lasts until a stamp changes."""

    kept: Kept
    lasting: bool


class Indexer:
    """Looks at all runs of a store, again and again, and remembers what it saw.

    Args:
        root: Folder of the store.
        clock: Clock of the file system it is on.
        folder: Where the index is kept; None for its place in the store.
    """

    def __init__(self, root: Path, clock: FileClock, folder: Path | None = None) -> None:
        self._root, self._clock = root, clock
        self._runs, self._folder = root / RUNS_FOLDER, folder or root / INDEX_FOLDER
        self._shards: dict[str, Shard] = {}
        self._few: dict[str, _Found] = {}
        self._specs = SeedlessSpecs(self._folder)
        self._damaged: dict[str, str] = {}
        self._described: dict[str, IndexedRun] = {}
        self._stale: set[str] = set()
        self._looks = 0
        self._reads = 0
        self._warned = False
        self._lost = False

    def look(self) -> Index:
        """Return the index of the runs as they are now.

        Raises:
            StoreError: If a folder cannot be read.
        """
        with uncollected():
            surveys = self._surveyed(DIGITS)
            big = sum(each.listed for each in surveys.values()) > SMALL
            # A store that is small and looked at once is not even touched.
            now = self._clock.touched() if big or self._looks else None
            self._looks += 1
            self._damaged, self._described, self._reads = {}, {}, 0
            parts = self._read_all(surveys, now)
            if big:
                self._save(now)
        damaged, described = self._damaged, self._described
        return Index(self._root, self._clock, parts, self._specs, damaged, described)

    def look_at(self, fingerprints: Collection[str]) -> dict[str, IndexedRun]:
        """Return what is known of some runs now; of few, without a look at the others.

        Raises:
            StoreError: If one of them cannot be read, or is not in the store.
        """
        if len(fingerprints) <= SMALL:
            now = self._clock.touched() if self._looks else None
            self._looks += 1
            return {name: self._look_at_run(name, now) for name in fingerprints}
        index = self.look()
        for name in fingerprints:
            if name in index.damaged:
                raise DamagedFileError(index.damaged[name], run_path(self._root, name))
            if name not in index.runs:
                raise StoreError(f"run {name} is not in {self._root}.")
        return {name: index.runs[name] for name in fingerprints}

    def look_at_some(self, digits: Iterable[str]) -> None:
        """Look at the runs whose fingerprints begin with one of *digits*, and write what is known.

        Raises:
            StoreError: If a folder cannot be read, or nothing can be written.
        """
        now = self._clock.touched()
        with uncollected():
            for digit, found in self._surveyed(sorted(set(digits))).items():
                self._renewed(digit, found, now)
            self._save(now)

    def _look_at_run(self, name: str, now: int | None) -> IndexedRun:
        path = run_path(self._root, name)
        found = self._few.get(name) or self._remembered(name)
        if found is None or not found.lasting or not found.kept.holds(str(path)):
            found = self._few[name] = self._read(path, now)
        return found.kept.run

    def _remembered(self, name: str) -> _Found | None:
        """Return what an earlier look at all runs found."""
        shard = self._shards.get(name[:1])
        place = shard.places.get(name) if shard else None
        return None if shard is None or place is None else _Found(shard.kept(place), lasting=True)

    def _read_all(self, surveys: Mapping[str, Survey], now: int | None) -> dict[str, Part]:
        """Read what *surveys* found to be read."""
        counts = {digit: len(found.fresh) for digit, found in surveys.items()}
        with index_helpers.helpers(self._root, counts if now is not None else {}) as helpers:
            own = [digit for digit in DIGITS if digit not in helpers.digits]
            parts = {digit: self._renewed(digit, surveys[digit], now) for digit in own}
            helpers.wait()
            for digit in sorted(helpers.digits):
                self._shards[digit] = Shard.read(helpers.folder, digit)
                self._stale.add(digit)
            if helpers.digits:
                self._specs.bring(helpers.folder)
        for digit, found in self._surveyed(sorted(helpers.digits)).items():
            parts[digit] = self._renewed(digit, found, now)
        return parts

    def _surveyed(self, digits: Collection[str]) -> dict[str, Survey]:
        """Compare what is known of the runs that begin with one of *digits* with their folders."""
        for digit in digits:
            if digit not in self._shards:
                self._shards[digit] = Shard.read(self._folder, digit)
        return survey(self._runs, {digit: self._shards[digit] for digit in digits})

    def _renewed(self, digit: str, seen: Survey, now: int | None) -> Part:
        """Read what a survey has *seen* to be read."""
        shard = self._shards[digit]
        read = {name: self._try(run_path(self._root, name), now) for name in sorted(seen.fresh)}
        lasting = {name: found.kept for name, found in read.items() if found and found.lasting}
        if lasting or seen.gone:
            left = seen.gone | read.keys()
            older = (shard.kept(place) for name, place in shard.places.items() if name not in left)
            shard = self._shards[digit] = Shard.of([*older, *lasting.values()])
            self._stale.add(digit)
            self._lost |= bool(seen.gone)
        changed = {name: found and found.kept for name, found in read.items()}
        return Part(shard, {name: changed[name] for name in changed.keys() - lasting.keys()})

    def _try(self, path: Path, now: int | None) -> _Found | None:
        """Read the run in the folder *path*; None if there is none, or it is damaged."""
        try:
            return self._read(path, now)
        except StoreError as error:
            if path.exists():
                self._damaged[path.name] = str(error)
                with contextlib.suppress(StoreError):
                    self._described[path.name] = self._describe(path)
            return None

    def _read(self, path: Path, now: int | None) -> _Found:
        self._reads += 1
        run = self._describe(path)
        proof = self._specs.proof(run.description)
        kept, lasting = read_run(run, path, self._clock.now, proof.scoring)
        lasting = lasting and self._is_settled((*kept.stamps, *kept.watched.values()), now)
        if lasting:
            self._specs.need(run.description)
        return _Found(kept, lasting)

    def _describe(self, path: Path) -> IndexedRun:
        """Return what the spec says of the run in the folder *path*."""
        spec, seed = read_seedless(path)
        row = self._specs.of(spec, path).row
        self._specs.proof(spec.digest).check(seed, path)
        return IndexedRun(path.name, row, spec.digest, seed)

    def _is_settled(self, stamps: Iterable[int], now: int | None) -> bool:
        if now is not None and max(stamps) > now:
            # It changed since the look began, or the clock was set back.
            now = self._clock.touched()
        return now is not None and settled(stamps, now)

    def _save(self, now: int | None) -> None:
        """Write what others would else have to read again; where that is not possible, say so."""
        if now is None:
            self._warn(f"nothing can be written in {self._root}.")
            return
        try:
            if self._specs.unwritten or self._lost:
                index_files.sweep(self._folder)
                self._specs.write(self._used_specs() if self._lost else None)
                self._lost = False
            for digit in sorted(self._stale):
                self._shards[digit].write(self._folder, digit)
                self._stale.discard(digit)
        except OSError as error:
            self._warn(str(explain("write the index", self._folder, error)))

    def _warn(self, problem: str) -> None:
        if self._reads > SMALL and not self._warned:
            _log.warning("%s Each look at this store reads again what is new.", problem)
            self._warned = True

    def _used_specs(self) -> set[str]:
        """Return the digests of the specs of the runs that are kept."""
        return {digest for shard in self._shards.values() for digest in shard.descriptions}
