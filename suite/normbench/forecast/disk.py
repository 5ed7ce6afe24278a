"""Disk that runs take: measured from the store's, else estimated from what a run folder holds.

To that come the folders that the runs are in, and those of the launch that trains them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from normbench.specs import RunSpec
from normbench.store.layout import RUNS_FOLDER, list_names

_BLOCK = 4096
# Folders of the run, its attempts and the attempt; lease, environment, result.
_FIXED_BLOCKS = 6
_POINT_BYTES = 120
_PART_BYTES = 65
_MEASURED_RUNS = 20
# Runs are in folders by the first two digits of their fingerprints.
_BUCKETS = 256
_LINE_BYTES = 33
# Folders of the launch and its logs, its description; of each worker the log and what it reports.
_LAUNCH_BLOCKS = 3
_WORKER_BLOCKS = 2


def folder_bytes(path: Path) -> int:
    """Return what the file system has set aside for *path* and all in it; hard links count once."""
    seen: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(path):
        for name in (".", *names):
            try:
                status = os.stat(os.path.join(place, name), follow_symlinks=False)  # noqa: PTH116, PTH118
            except OSError:
                continue  # a worker has tidied it away meanwhile
            seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def measured_bytes(runs: Iterable[Path]) -> int | None:
    """Return the mean size of some of the finished *runs*; None if there are none."""
    sizes = [folder_bytes(path) for path, _ in zip(runs, range(_MEASURED_RUNS), strict=False)]
    return round(sum(sizes) / len(sizes)) if sizes else None


def estimated_bytes(spec: RunSpec) -> int:
    """Return about what a finished run takes, from its spec and the length of its curve.

    Without checkpoints, which go when the run ends, and without series of observers.
    """
    rules = spec.protocol.rules
    parts = 3 + bool(rules.train_subset)
    journal = (spec.epochs + 1) * (_POINT_BYTES + parts * _PART_BYTES)
    return sum(_blocks(size) for size in (len(spec.to_json()), journal)) + _FIXED_BLOCKS * _BLOCK


def around_bytes(runs: int, workers: int, store: Path | None) -> int:
    """Return about what a launch takes beside its runs: the folders they are in, and its own.

    Args:
        runs: Runs to train, at least 1.
        workers: How many train at once.
        store: Folder of the store; None if there is none yet.
    """
    there = 0 if store is None else len(list_names(store / RUNS_FOLDER))
    missed = (1 - 1 / _BUCKETS) ** runs
    folders = round(max(0, _BUCKETS - there) * (1 - missed))
    blocks = folders + _LAUNCH_BLOCKS + _WORKER_BLOCKS * min(workers, runs)
    return blocks * _BLOCK + _blocks(runs * _LINE_BYTES)


def _blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
