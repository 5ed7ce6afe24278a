"""Keeping the index of a store up to date with its files.

A look lists the folders of the runs and asks of each when it last changed; only what changed is
read. Several processes may look at once: each writes what it saw.
"""

from __future__ import annotations

import logging
import string
from collections.abc import Collection
from pathlib import Path

from normbench.errors import StoreError
from normbench.garbage import uncollected
from normbench.store import index_files
from normbench.store.files import explain, is_gone, open_folder
from normbench.store.folders import ATTEMPTS_FOLDER
from normbench.store.index import Index
from normbench.store.index_files import INDEX_FOLDER, Record, Records
from normbench.store.index_reading import (
    SeedlessSpec,
    changed,
    read_run,
    read_seedless,
)
from normbench.store.index_rows import IndexedRow
from normbench.store.indexed_run import IndexedRun
from normbench.store.layout import FINGERPRINT, RUNS_FOLDER, list_names, run_path
from normbench.store.leases import FileClock
from normbench.store.run import read_spec
from normbench.store.series import SERIES_FOLDER

# So few runs are read faster than anyone notices, and need no further files.
SMALL = 200
_DIGITS = string.hexdigits[:16]
_ROWS = "rows"
# The stamps of a run that is to be read again each time.
_UNSETTLED = (-1, -1, -1)

_log = logging.getLogger(__name__)


class Indexer:
    """Looks at all runs of a store, again and again, and remembers what it saw.

    Args:
        root: Folder of the store.
        clock: Clock of the file system it is on.
    """

    def __init__(self, root: Path, clock: FileClock) -> None:
        self._root, self._clock = root, clock
        self._runs, self._folder = root / RUNS_FOLDER, root / INDEX_FOLDER
        self._records: Records = {}
        self._rows: dict[str, IndexedRow] = {}
        self._damaged: dict[str, str] = {}
        self._stale: set[str] = set()
        self._loaded = False
        self._looks = 0
        self._reads = 0
        self._warned = False

    def look(self) -> Index:
        """Return the index of the runs as they are now.

        Raises:
            StoreError: If a folder cannot be read.
        """
        with uncollected():
            if not self._loaded:
                self._load()
            names = {bucket: list_names(self._runs / bucket) for bucket in list_names(self._runs)}
            big = sum(map(len, names.values())) > SMALL
            # A store that is small and looked at once is not even touched.
            now = self._clock.touched() if big or self._looks else None
            self._looks += 1
            self._damaged, self._reads = {}, 0
            seen: Records = {}
            for bucket, found in names.items():
                self._look_at(bucket, found, now, seen)
            self._stale.update(name[0] for name in self._records.keys() - seen.keys())
            self._records = seen
            if big:
                self._save(now)
            runs = {name: record[0] for name, record in seen.items()}
        return Index(self._root, self._clock, runs, dict(self._rows), self._damaged)

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
            if name not in index.runs:
                raise StoreError(index.damaged.get(name) or f"run {name} is not in {self._root}.")
        return {name: index.runs[name] for name in fingerprints}

    def _look_at_run(self, name: str, now: int | None) -> IndexedRun:
        path = run_path(self._root, name)
        record = self._records.get(name)
        if record is None or not _holds(record, str(path), None):
            record = self._records[name] = self._read(path, now)
        return record[0]

    def _load(self) -> None:
        """Take up what was written earlier."""
        self._loaded = True
        self._rows |= index_files.read_rows(self._folder)
        written: Records = {}
        for digit in _DIGITS if self._rows else "":
            written |= index_files.read_shard(self._folder, digit, self._rows)
        self._records = written | self._records

    def _look_at(self, bucket: str, names: list[str], now: int | None, seen: Records) -> None:
        """Add what is known of the runs in one folder to those *seen*."""
        known, path = self._records, self._runs / bucket
        try:
            with open_folder(path) as folder:
                for name in names:
                    record = known.get(name)
                    if record is None or not _holds(record, name, folder):
                        record = self._try(path / name, now)
                    if record is not None:
                        seen[name] = record
        except OSError as error:
            if not is_gone(error):
                raise explain("read", path, error) from error

    def _try(self, path: Path, now: int | None) -> Record | None:
        """Read the run in the folder *path*; None if there is none, or it is damaged."""
        if not FINGERPRINT.fullmatch(path.name):
            return None
        try:
            return self._read(path, now)
        except StoreError as error:
            if path.exists():
                self._damaged[path.name] = str(error)
            return None

    def _read(self, path: Path, now: int | None) -> Record:
        self._reads += 1
        spec, seed = read_seedless(path)
        run = IndexedRun(path.name, self._row(spec, path).row, spec.digest, seed)
        run, stamps, lasting = read_run(run, path, self._clock.now)
        if not lasting or now is None or not stamps.settled(now):
            return (run, *_UNSETTLED)
        self._stale.add(path.name[0])
        return (run, *stamps)

    def _row(self, spec: SeedlessSpec, path: Path) -> IndexedRow:
        if spec.digest not in self._rows:
            self._rows[spec.digest] = IndexedRow.of(read_spec(path), spec.text)
            self._stale.add(_ROWS)
        return self._rows[spec.digest]

    def _save(self, now: int | None) -> None:
        """Write what others would else have to read again; where that is not possible, say so."""
        if now is None:
            self._warn(f"nothing can be written in {self._root}.")
            return
        try:
            # The rows first: the others name them.
            for shard in sorted(self._stale, reverse=True):
                self._write(shard)
                self._stale.discard(shard)
        except OSError as error:
            self._warn(str(explain("write the index", self._folder, error)))

    def _warn(self, problem: str) -> None:
        if self._reads > SMALL and not self._warned:
            _log.warning("%s Each look at this store reads again what is new.", problem)
            self._warned = True

    def _used_rows(self) -> dict[str, IndexedRow]:
        """Return the specs of the runs that are there now."""
        used = {record[0].description for record in self._records.values()}
        return {digest: row for digest, row in self._rows.items() if digest in used}

    def _write(self, shard: str) -> None:
        if shard == _ROWS:
            index_files.sweep(self._folder)
            index_files.write_rows(self._folder, self._used_rows())
            return
        records = self._records.items()
        lasting = {name: record for name, record in records if name[0] == shard and record[1] > 0}
        index_files.write_shard(self._folder, shard, lasting)


def _holds(record: Record, name: str, bucket: int | None) -> bool:
    """Whether the run in the folder *name*, in the open directory *bucket*, is as recorded."""
    _, run, attempts, series = record
    return (
        run == changed(name, bucket)
        and (not attempts or attempts == changed(f"{name}/{ATTEMPTS_FOLDER}", bucket))
        and (not series or series == changed(f"{name}/{SERIES_FOLDER}", bucket))
    )
