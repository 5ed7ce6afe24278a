"""The run store: a folder that holds runs by fingerprint, and is the truth about them."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from normbench.errors import NoStoreError, UsageError
from normbench.specs import RunSpec
from normbench.store.files import explain, explained, read_json, remove_tree
from normbench.store.folders import SPEC_FILE
from normbench.store.index import Index
from normbench.store.indexed_run import IndexedRun
from normbench.store.indexing import Indexer
from normbench.store.layout import (
    FINGERPRINT,
    LOCKS_FOLDER,
    RUNS_FOLDER,
    STORE_FILE,
    check_store,
    checked_prefix,
    create_store,
    install_run,
    is_vacant,
    list_names,
    prepare_run,
    run_path,
    try_place,
)
from normbench.store.leases import FileClock
from normbench.store.locks import hold
from normbench.store.run import StoredRun

_PREPARED = ".add-"
_ABANDONED_SECONDS = 3600.0
_IN_THE_WAY = frozenset({errno.EEXIST, errno.ENOENT, errno.ENOTDIR})
_ELSEWHERE = "Choose another folder with --store DIR or $NORMBENCH_STORE."
_LOCK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@contextlib.contextmanager
def _making(root: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block into the error that no store can be made at *root*."""
    try:
        yield
    except OSError as error:
        raise NoStoreError(_not_made(root, error)) from error


def _not_made(root: Path, error: OSError) -> str:
    """Return why no store can be made at *root*, and the fix."""
    if error.errno not in _IN_THE_WAY:
        return str(explain("create the run store", root, error))
    # Of such a link, who makes a folder in its place hears otherwise than who does so below it.
    broken = (each for each in (root, *root.parents) if each.is_symlink() and not each.exists())
    link = next(broken, None)
    cause = error.strerror if link is None else f"the link {link} leads nowhere"
    return f"cannot create the run store {root}: {cause}. {_ELSEWHERE}"


class RunStore:
    """A run store that was opened. Use :meth:`open`.

    Attributes:
        root: Its folder.
        writable: Whether runs can be added and claimed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.writable = os.access(root / RUNS_FOLDER, os.W_OK | os.X_OK)
        self._clock = FileClock(root / LOCKS_FOLDER)
        self._indexer = Indexer(root, self._clock)

    @classmethod
    def open(cls, root: Path, *, create: bool = False) -> Self:
        """Open the store in the folder *root*.

        Args:
            root: Its folder.
            create: Make an empty store if the folder is missing or empty.

        Raises:
            StoreError: If there is no store, it cannot be read, or a newer normbench wrote it.
        """
        content = read_json(root / STORE_FILE)
        if content is None and create:
            with _making(root):
                create_store(root)
            content = read_json(root / STORE_FILE)
        check_store(root, content)
        return cls(root)

    @classmethod
    def open_if_there(cls, root: Path) -> Self | None:
        """Open the store in the folder *root*; None where ``open(root, create=True)`` makes one.

        That is where nothing is, an empty folder, or what is left of a store whose making was cut
        short. Nothing is written.

        Args:
            root: Its folder.

        Raises:
            StoreError: If *root* is something else, it cannot be read, or a newer normbench wrote
                it.
        """
        if not root.exists() or (root.is_dir() and is_vacant(root)):
            return None
        return cls.open(root)

    @classmethod
    def check_place(cls, root: Path) -> None:
        """Check that a store is in the folder *root* or can be made there; none is made.

        Raises:
            StoreError: If neither is so.
        """
        if cls.open_if_there(root) is None:
            with _making(root):
                try_place(root)

    def add(self, spec: RunSpec) -> StoredRun:
        """Add a run; if the store has it already, that one stands.

        Raises:
            StoreError: If it cannot be written.
        """
        path = run_path(self.root, spec.fingerprint)
        if not (path / SPEC_FILE).exists():
            with explained("add a run at", path):
                _add(path, spec)
        return StoredRun(path, self._clock)

    def get(self, fingerprint: str) -> StoredRun | None:
        """Return the run with this *fingerprint*, or None."""
        if not FINGERPRINT.fullmatch(fingerprint):
            return None
        path = run_path(self.root, fingerprint)
        return StoredRun(path, self._clock) if (path / SPEC_FILE).exists() else None

    def find(self, prefix: str) -> list[StoredRun]:
        """Return the runs whose fingerprint begins with *prefix*, else those whose row's does.

        Raises:
            UsageError: If *prefix* is not 4 to 32 hexadecimal digits.
        """
        digits = checked_prefix(prefix)
        bucket = self.root / RUNS_FOLDER / digits[:2]
        found = [run for run in self._runs_in(bucket) if run.fingerprint.startswith(digits)]
        if found:
            return found
        index = self.index()
        return [index.stored(run) for run in index.find(digits)]

    def now(self) -> float:
        """Return the Unix seconds by the clock of the store's file system."""
        return self._clock.now()

    def runs(self) -> Iterator[StoredRun]:
        """Yield all runs, in no particular order; reads no file."""
        for name in list_names(self.root / RUNS_FOLDER):
            yield from self._runs_in(self.root / RUNS_FOLDER / name)

    def index(self) -> Index:
        """Return what is known of all runs now, reading only what changed since the last look.

        Of big stores, what was seen is kept in files, for the next process that looks. They are a
        convenience: what is missing, damaged or old is read again from the runs.

        Raises:
            StoreError: If a folder of the store cannot be read.
        """
        return self._indexer.look()

    def indexed(self, fingerprints: Collection[str]) -> dict[str, IndexedRun]:
        """Return what is known now of some runs, by fingerprint.

        Raises:
            StoreError: If one of them cannot be read, or is not in the store.
        """
        return self._indexer.look_at(fingerprints)

    def lock(self, name: str, *, wait: float | None) -> AbstractContextManager[bool]:
        """Hold a lock that all processes using this store share; it ends with the process.

        Args:
            name: What it protects: letters, digits, ``-`` and ``_``.
            wait: Seconds to wait for it; None for as long as it takes.

        Returns:
            A context manager that yields whether the lock was obtained.

        Raises:
            StoreError: If the file system cannot lock, or the store cannot be written.
        """
        if not _LOCK_NAME.fullmatch(name):
            raise UsageError(f"lock name {name!r}: use letters, digits, '-' and '_'.")
        return hold(self.root / LOCKS_FOLDER / f"{name}.lock", wait)

    def _runs_in(self, bucket: Path) -> Iterator[StoredRun]:
        for name in list_names(bucket):
            if FINGERPRINT.fullmatch(name):
                yield StoredRun(bucket / name, self._clock)


def _add(path: Path, spec: RunSpec) -> None:
    """Add the run, and remove what crashed processes left half-made beside it."""
    prepared = path.parent / f"{_PREPARED}{secrets.token_hex(8)}"
    try:
        prepare_run(prepared, spec)
        oldest = prepared.stat().st_mtime - _ABANDONED_SECONDS
        install_run(prepared, path)
    finally:
        remove_tree(prepared)
    for name in list_names(path.parent):
        if name.startswith(_PREPARED):
            with contextlib.suppress(OSError):
                if (path.parent / name).stat().st_mtime < oldest:
                    remove_tree(path.parent / name)
