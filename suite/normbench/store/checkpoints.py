"""Checkpoints of an attempt: one file, and ``checkpoint.json`` that says which and of which epoch.

The latter is what counts: it is replaced only once the former is whole, so that a crash leaves
either the old checkpoint or the new one, each with its own epoch.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from normbench.errors import StoreError
from normbench.store.files import (
    from_json,
    is_temporary,
    open_folder,
    read_json,
    temporary_name,
    to_json,
    write_whole,
)
from normbench.store.journal import JOURNAL_FILE, Point, cut_back, encode, read_points
from normbench.store.series import SERIES_JOURNAL

CHECKPOINT_FILE = "checkpoint.json"
_PREFIX, _SUFFIX = "checkpoint-", ".pt"
_TRIES = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: its file, the epoch it was made after, and the attempt's folder."""

    file: Path
    epoch: int

    @property
    def folder(self) -> Path:
        """Folder of the attempt that made it."""
        return self.file.parent


def find_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the checkpoint of the attempt in *folder*, if it has a whole one."""
    try:
        content = read_json(folder / CHECKPOINT_FILE)
    except StoreError as error:
        _log.warning("%s", error)
        return None
    if content is None:
        return None
    file = folder / content["file"]
    try:
        whole = file.stat().st_size == content["bytes"]
    except OSError:
        return None
    return Checkpoint(file, content["epoch"]) if whole else None


def newest_checkpoint(folders: Iterable[Path]) -> Checkpoint | None:
    """Return the checkpoint of the latest epoch; of several, the last attempt's."""
    found = [find_checkpoint(folder) for folder in folders]
    whole = [checkpoint for checkpoint in found if checkpoint is not None]
    return max(reversed(whole), key=lambda checkpoint: checkpoint.epoch, default=None)


def carry_over(folders: Iterable[Path], target: Path) -> tuple[Checkpoint | None, list[Point]]:
    """Bring the newest checkpoint, with curve and series up to it, into *target*.

    Returns:
        The checkpoint in *target* and the points in its journal; None and no points if there is
        nothing to continue from.

    Raises:
        OSError: If *target* cannot be written.
    """
    folders = list(folders)
    for _ in range(_TRIES):
        source = newest_checkpoint(folders)
        if source is None:
            break
        try:
            _link_or_copy(source.file, target / source.file.name)
        except FileNotFoundError:
            continue  # its worker, not yet aware that it was taken over, made a newer one
        points = cut_back(read_points(source.folder), source.epoch)
        moments = cut_back(read_points(source.folder, SERIES_JOURNAL), source.epoch)
        with open_folder(target) as folder:
            write_whole(JOURNAL_FILE, encode(points), folder=folder)
            if moments:
                write_whole(SERIES_JOURNAL, encode(moments), folder=folder)
            _declare(source.file.name, source.epoch, folder)
        return Checkpoint(target / source.file.name, source.epoch), points
    return None, []


def save(write: Callable[[Path], None], epoch: int, path: Path, folder: int) -> Checkpoint:
    """Replace the checkpoint of the attempt at *path*, open as *folder*.

    Raises:
        OSError: If it cannot be written; then the old checkpoint stands.
    """
    name = f"{_PREFIX}{epoch}-{secrets.token_hex(3)}{_SUFFIX}"
    temporary = temporary_name(name)
    try:
        write(path / temporary)
        with os.fdopen(os.open(temporary, os.O_RDONLY, dir_fd=folder), "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        _declare(name, epoch, folder)
    finally:
        _remove(folder, {temporary, *_undeclared(folder)})
    return Checkpoint(path / name, epoch)


def discard(path: Path) -> None:
    """Delete the checkpoint of the attempt in the folder *path*, and what goes only with it."""
    with contextlib.suppress(OSError), open_folder(path) as folder:
        _remove(folder, {CHECKPOINT_FILE, SERIES_JOURNAL})
        _remove(folder, _files(folder))


def clean(path: Path) -> None:
    """Delete half-written files of the ended attempt in the folder *path*."""
    with contextlib.suppress(OSError), open_folder(path) as folder:
        _remove(folder, filter(is_temporary, _names(folder)))
        _remove(folder, _undeclared(folder))


def _declare(name: str, epoch: int, folder: int) -> None:
    size = os.stat(name, dir_fd=folder).st_size
    content = {"epoch": epoch, "file": name, "bytes": size}
    write_whole(CHECKPOINT_FILE, to_json(content), folder=folder)


def _undeclared(folder: int) -> set[str]:
    """Return the checkpoints that do not count: older ones, and one cut short by a crash."""
    try:
        with os.fdopen(os.open(CHECKPOINT_FILE, os.O_RDONLY, dir_fd=folder), "rb") as stream:
            declared = from_json(stream.read())["file"]
    except FileNotFoundError:
        declared = ""
    except (OSError, ValueError):
        return set()
    return set(_files(folder)) - {declared}


def _files(folder: int) -> list[str]:
    return [n for n in _names(folder) if n.startswith(_PREFIX) and n.endswith(_SUFFIX)]


def _names(folder: int) -> list[str]:
    return os.listdir(folder)


def _remove(folder: int, names: Iterable[str]) -> None:
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)


def _link_or_copy(source: Path, target: Path) -> None:
    # Checkpoints are replaced, never changed, so two attempts may share one.
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        with source.open("rb") as old, target.open("wb") as new:
            shutil.copyfileobj(old, new)
            new.flush()
            os.fsync(new.fileno())
