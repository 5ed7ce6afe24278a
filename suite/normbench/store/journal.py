"""The journal of an attempt: curve points as lines of JSON, only ever appended.

One process writes a journal, so nothing rests on appends being atomic. A process that dies while it
writes leaves a torn last line; readers drop it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from normbench.store.files import from_json, read_bytes, to_json

JOURNAL_FILE = "journal.jsonl"
SYNC_SECONDS = 5.0

Point = dict[str, Any]


class Journal:
    """The open journal of one attempt.

    Args:
        folder: Open directory of the attempt.
        name: The file.

    Raises:
        OSError: If it cannot be opened.
    """

    def __init__(self, folder: int, name: str = JOURNAL_FILE) -> None:
        flags = os.O_RDWR | os.O_CREAT
        self._descriptor = os.open(name, flags, 0o666, dir_fd=folder)
        self._end = os.fstat(self._descriptor).st_size
        self._synced = time.monotonic()

    def append(self, point: Mapping[str, Any]) -> None:
        """Write one line, and make it last if the previous sync is some seconds ago.

        Raises:
            StoreError: If *point* is not strict JSON.
            OSError: If it cannot be written; then the journal is as it was.
        """
        line = to_json(point, indent=None)
        try:
            self._write(line)
        except OSError:
            # Without room for the line, its beginning must not stay before the next one.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(line)
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Make all lines last."""
        os.fsync(self._descriptor)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _write(self, line: bytes) -> None:
        written = 0
        while written < len(line):
            written += os.pwrite(self._descriptor, line[written:], self._end + written)


def encode(points: Iterable[Mapping[str, Any]]) -> bytes:
    """Return *points* as a journal."""
    return b"".join(to_json(point, indent=None) for point in points)


def decode(data: bytes) -> list[Point]:
    """Return the points of a journal up to its first torn or damaged line."""
    points: list[Point] = []
    for line in data.split(b"\n")[:-1]:
        try:
            points.append(from_json(line))
        except ValueError:
            break
    return points


def read_points(folder: Path, name: str = JOURNAL_FILE) -> list[Point]:
    """Return the points in the journal of the attempt in *folder*; none if it is gone."""
    return decode(read_bytes(folder / name) or b"")


def last_point(folder: Path) -> Point:
    """Return the last of those points, reading only its line if that is whole; empty if none."""
    lines = (read_bytes(folder / JOURNAL_FILE) or b"").rsplit(b"\n", 2)
    try:
        return from_json(lines[-2])
    except (IndexError, ValueError):
        points = read_points(folder)
        return points[-1] if points else {}


def cut_back(points: Iterable[Point], epoch: int) -> list[Point]:
    """Return the points up to and including *epoch*."""
    return [point for point in points if point.get("epoch", 0) <= epoch]
