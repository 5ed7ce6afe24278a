"""MLflow's SQLite database, made once and made whole."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from normbench.errors import StoreError
from normbench.store import RunStore
from normbench.tracking import faults

LOCK = "mlflow"
_BESIDE = ("-wal", "-shm", "-journal")
_MOUNTS = Path("/proc/mounts")
_LOCAL_FILE_SYSTEMS = frozenset(
    ["bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "tmpfs", "xfs", "zfs"]
)


def ensure_database(store: RunStore, uri: str, path: Path, artifacts: Path) -> None:
    """Create the database *path* of *uri* unless it is there.

    MLflow builds its tables in many steps, and processes that do so at once destroy each other's
    work; so it is done beside, under a lock, and the finished file is renamed.

    Raises:
        StoreError: If it cannot be written.
    """
    if has_database(path):
        check_writable(path)
        return
    if not store.writable:
        raise StoreError(
            f"the run store {store.root} may not be written, so it cannot hold an MLflow database. "
            "Set MLFLOW_TRACKING_URI to a server or to a database elsewhere."
        )
    with store.lock(LOCK, wait=None):
        if not has_database(path):
            _create(uri, path, artifacts)


def check_writable(path: Path) -> None:
    """Raise :class:`StoreError` if MLflow could not use the database *path*: it reads with a lock.

    SQLite keeps the lock, and what readers of a write-ahead log share, in files beside it.
    """
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        raise StoreError(faults.READ_ONLY.format(uri=path))


def has_database(path: Path) -> bool:
    """Whether there is a database at *path*: a file that is not empty."""
    return path.exists() and path.stat().st_size > 0


def _create(uri: str, path: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    for ending in _BESIDE:
        # Left by a database that was deleted, they would be taken for this one's.
        path.with_name(path.name + ending).unlink(missing_ok=True)
    made = SqlAlchemyStore(f"{uri}.part", artifacts.as_uri())
    made.engine.dispose()
    if on_local_disk(path.parent):
        connection = sqlite3.connect(part)
        # Stays in the file; readers and the writer then do not wait for each other.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
    part.replace(path)


def on_local_disk(folder: Path) -> bool:
    """Whether *folder* lies on a local file system; False where that cannot be told.

    Write-ahead logging needs memory shared between processes, which network file systems lack.
    """
    try:
        lines = _MOUNTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    place = folder.resolve()
    best, kind = -1, ""
    for line in lines:
        _, point, name, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if place.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), name
    return kind in _LOCAL_FILE_SYSTEMS
