"""Tables that were made before, kept beside the index of a run store and never older than it.

What a table shows depends on what the index holds of the runs, on the stages, settings and verified
precisions that the store has, on which tables were shown before, on what was asked, on what plugins
offer, and on the code that makes it. Each table is kept under a hash of all of these; so a table is
found again exactly if nothing of it has changed, and there is nothing to invalidate. The hash is
taken again once a table is made: if something has changed meanwhile, the table is shown and not
kept.

Files appear whole, and several processes may write at once. What is missing, damaged or unwritable
is made anew. The newest few are kept. numpy and scipy are not imported here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from normbench.leaderboard.reading import StoreReader
from normbench.plugins import Catalogue
from normbench.setting_files import SETTINGS_FOLDER
from normbench.store import index_files
from normbench.store.index_files import INDEX_FOLDER
from normbench.store.layout import STAGES_FOLDER, VERIFIED_FOLDER
from normbench.store.shown import SHOWN_FILE

TABLES_FOLDER = "tables"
MOST_FILES = 8
MOST_BYTES = 32_000_000
# Folders of what tables are made of besides runs.
_SAID = (STAGES_FOLDER, SETTINGS_FOLDER, VERIFIED_FOLDER)
_PACKAGES = (
    *("normbench", "normbench_plugins", "normbench_problems", "normbench_baselines"),
    *("numpy.version", "scipy.version"),
)


class Remembered:
    """The place of one table.

    Args:
        reader: What the table is made of.
        catalogue: What the plugins offer.
        asked: What was asked for, as values of JSON.
    """

    def __init__(self, reader: StoreReader, catalogue: Catalogue, asked: Mapping[str, Any]) -> None:
        self._root, self._index = reader.store.root, reader.index
        self._catalogue, self._asked = catalogue, asked
        self._folder = self._root / INDEX_FOLDER / TABLES_FOLDER
        self._shown = _content(self._root / SHOWN_FILE)
        # What making the table imports comes later, and is among our own files.
        self._modules = sorted(filter(None, map(_source, list(sys.modules.values()))))

    def text(self) -> str | None:
        """Return what :meth:`keep` was given; None if nothing is kept of just this."""
        try:
            _, (data,) = index_files.read_parts(self._file)
            os.utime(self._file)
            return bytes(data).decode()
        except (OSError, ValueError):
            return None

    def keep(self, text: str, shown: bytes = b"") -> None:
        """Keep a table for the next who asks for it, where the store has an index.

        Args:
            text: The table.
            shown: What showing it has added to the store: that changes nothing of it.
        """
        data, known = text.encode(), self._key == self._hash()
        if not known or not self._folder.parent.is_dir() or len(data) > MOST_BYTES:
            return
        if _content(self._root / SHOWN_FILE) != self._shown + shown:
            return
        self._shown += shown
        self._key = self._hash()
        with contextlib.suppress(OSError):
            index_files.write_file(self._file, index_files.pack({}, [data]))
            self._drop_oldest()

    @property
    def _file(self) -> Path:
        return self._folder / f"{self._key}.bin"

    @cached_property
    def _key(self) -> str:
        return self._hash()

    def _hash(self) -> str:
        made_of = {
            "runs": self._index.digest,
            "asked": self._asked,
            "said": [list(_stamps(self._root / name)) for name in _SAID],
            "shown": hashlib.sha256(self._shown).hexdigest(),
            "plugins": [[each.name, each.origin, each.error] for each in self._catalogue.plugins],
            "files": [[str(file), *_stamp(file)] for file in self._catalogue.files],
            "code": [*_packages(), *((name, *_stamp(Path(name))) for name in self._modules)],
        }
        text = json.dumps(made_of, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _drop_oldest(self) -> None:
        index_files.sweep(self._folder)
        files = sorted(self._folder.glob("*.bin"), key=_used, reverse=True)
        room = MOST_BYTES * 2
        for number, file in enumerate(files):
            room -= file.stat().st_size
            if number >= MOST_FILES or room < 0:
                file.unlink()


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _source(module: object) -> str | None:
    return getattr(module, "__file__", None)


def _packages() -> Iterator[tuple[str, int, int, int]]:
    """Yield all files of ours, and what tells the version of the packages that compute."""
    for name in _PACKAGES:
        spec = find_spec(name.partition(".")[0])
        origin = Path(spec.origin) if spec and spec.origin else None
        if origin is None:
            continue
        if "." in name:
            yield str(origin), *_stamp(origin.with_name(f"{name.partition('.')[2]}.py"))
        else:
            yield from _tree(origin.parent)


def _tree(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    """Yield the files in *folder*, but for what Python compiles."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.name == "__pycache__":
                continue
            if entry.is_dir():
                yield from _tree(Path(entry.path))
            else:
                yield entry.path, *_stamp(Path(entry.path))


def _stamps(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    """Yield the files in a folder of the store; they are replaced whole."""
    if folder.is_dir():
        yield from _tree(folder)


def _stamp(file: Path) -> tuple[int, int, int]:
    """Return what changes with a file's content; zeros if it is gone."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_ctime_ns


def _used(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
