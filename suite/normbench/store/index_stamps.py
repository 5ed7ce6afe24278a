"""When the folders of runs last changed: how a look knows which runs to read again.

Files in the store appear whole, by a rename or a link, so nothing that the index keeps changes
without one of these folders, and a folder's time of change (``ctime``) is set by its file system in
the same step as the change. So nobody who changes a run has anything else to write, and none can
die between changing a run and saying so; runs that are deleted or brought by hand, or changed by
another version, are noticed all the same. A note kept by those who change runs could spare the
looks at folders, but would miss all of these; 100 000 folders take a quarter of a second. On a
network file system a folder's time is as old as the client's attribute cache allows, which holds
for reading the files themselves as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from normbench.store.files import explain, is_gone
from normbench.store.folders import ATTEMPTS_FOLDER
from normbench.store.series import SERIES_FOLDER

# The coarsest clock of a file system that has hard links ticks every second.
_TICK = 2 * 10**9


class Stamps(NamedTuple):
    """When the folders of a run last changed, in nanoseconds; 0 where nothing depends on it."""

    run: int
    attempts: int
    series: int

    @classmethod
    def read(cls, run: str) -> Stamps:
        """Return those of the run in the folder *run*."""
        return cls(
            changed(run), changed(f"{run}/{ATTEMPTS_FOLDER}"), changed(f"{run}/{SERIES_FOLDER}")
        )

    def hold(self, run: str) -> bool:
        """Whether the run in the folder *run* bears them still."""
        return self.run == changed(run) and all(
            not stamp or stamp == changed(f"{run}/{name}") for name, stamp in self._inner()
        )

    def _inner(self) -> tuple[tuple[str, int], ...]:
        return (ATTEMPTS_FOLDER, self.attempts), (SERIES_FOLDER, self.series)


def settled(stamps: Iterable[int], now: int) -> bool:
    """Whether any change after *now* is sure to leave another stamp than these."""
    return all(abs(now - stamp) > _TICK for stamp in stamps if stamp)


def changed(path: str, folder: int | None = None) -> int:
    """Return when the file or folder *path* last changed; 0 if it does not exist."""
    try:
        # Not when it was modified: copying sets that to a time long past.
        return os.stat(path, dir_fd=folder).st_ctime_ns
    except OSError as error:
        if is_gone(error):
            return 0
        raise explain("read", Path(path), error) from error


def all_changed(paths: Sequence[str], folder: int) -> list[int]:
    """Return the same for several *paths* in the open directory *folder*, at once."""
    try:
        return [os.stat(path, dir_fd=folder).st_ctime_ns for path in paths]
    except OSError:
        return [changed(path, folder) for path in paths]


def outdated(names: Sequence[str], stamps: Iterable[Sequence[int]], folder: int) -> set[str]:
    """Return which of the runs *names* in the open directory *folder* do not bear their *stamps*.

    Args:
        names: Folders of the runs.
        stamps: A sequence for each field of :class:`Stamps`.
        folder: The open directory.
    """
    runs, *inner = stamps
    found = _differing(names, names, runs, folder)
    for place, known in zip((ATTEMPTS_FOLDER, SERIES_FOLDER), inner, strict=True):
        there = [i for i, stamp in enumerate(known) if stamp] if any(known) else []
        paths = [f"{names[i]}/{place}" for i in there]
        found |= _differing([names[i] for i in there], paths, [known[i] for i in there], folder)
    return found


def _differing(
    names: Sequence[str], paths: Sequence[str], known: Sequence[int], folder: int
) -> set[str]:
    now = all_changed(paths, folder)
    if now == known:
        return set()
    return {name for name, old, new in zip(names, known, now, strict=True) if old != new}
