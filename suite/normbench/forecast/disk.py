"""Disk that runs take: measured from the store's, else estimated from what a run folder holds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from normbench.specs import RunSpec

_BLOCK = 4096
# Folders of the run, its attempts and the attempt; lease, environment, result.
_FIXED_BLOCKS = 6
_POINT_BYTES = 120
_PART_BYTES = 65
_MEASURED_RUNS = 20


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


def _blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
