"""Sharing the first look at very many runs among the cores of this machine.

Helpers are processes of their own (``python -m normbench.store.index_helpers``) that look at the
runs of some first digits, and leave an index of those in a folder for temporary files. Whoever
started them takes it over as it would an older index: each run in it is compared with its folder
once more. A helper that fails or dies leaves its runs to be read without it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

WORTH = 5_000
_MOST = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Helpers:
    """Processes at work.

    Attributes:
        folder: Where they leave what they find.
        digits: First digits of the runs that they look at.
    """

    folder: Path
    digits: frozenset[str]
    processes: tuple[subprocess.Popen[bytes], ...] = ()

    def wait(self) -> None:
        """Wait until they are done."""
        for process in self.processes:
            if process.wait() != 0:
                _log.debug("a helper ended with %s; its runs are read without it", process.args)


@contextmanager
def helpers(root: Path, counts: Mapping[str, int]) -> Iterator[Helpers]:
    """Start helpers if that is worth their start; end them and remove their folder at the end.

    Args:
        root: Folder of the store.
        counts: Runs to be read, by first digit.
    """
    number = min(_MOST, len(os.sched_getaffinity(0)) - 1) if sum(counts.values()) > WORTH else 0
    if not number:
        yield Helpers(Path(), frozenset())
        return
    with tempfile.TemporaryDirectory(prefix="normbench-index-") as name:
        shares = _shares(counts, number + 1)[1:]
        processes = tuple(_start(root, Path(name), share) for share in shares)
        try:
            yield Helpers(Path(name), frozenset("".join(shares)), processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _shares(counts: Mapping[str, int], number: int) -> list[str]:
    """Return so many groups of digits, with about as many runs in each."""
    shares = [""] * number
    for digit in sorted(counts, key=counts.__getitem__, reverse=True):
        least = min(range(number), key=lambda place: sum(counts[d] for d in shares[place]))
        shares[least] += digit
    return shares


def _start(root: Path, folder: Path, digits: str) -> subprocess.Popen[bytes]:
    """Start a helper that imports what this process does."""
    paths = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(root.absolute()), str(folder), digits],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
    )


def main() -> None:
    """Look at the runs that the command line names."""
    from normbench.store.indexing import Indexer
    from normbench.store.layout import LOCKS_FOLDER
    from normbench.store.leases import FileClock

    root, folder, digits = sys.argv[1:]
    clock = FileClock(Path(root) / LOCKS_FOLDER)
    Indexer(Path(root), clock, Path(folder)).look_at_some(digits)


if __name__ == "__main__":
    main()
