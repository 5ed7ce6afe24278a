"""The top of a store: its folders, and the file that says which version wrote it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import normbench
from normbench.errors import DamagedFileError, NewerStoreError, NoStoreError, UsageError
from normbench.specs import RunSpec
from normbench.store.files import (
    explain,
    is_gone,
    is_temporary,
    open_folder,
    sync_folder,
    temporary_name,
    to_json,
    write_once,
    write_whole,
)
from normbench.store.folders import ATTEMPTS_FOLDER, SPEC_FILE

STORE_SCHEMA = 1
STORE_FILE = "store.json"
RUNS_FOLDER = "runs"
LOCKS_FOLDER = "locks"
TUNING_FOLDER = "tuning"
STAGES_FOLDER = "stages"
VERIFIED_FOLDER = "verified"
PLUGIN_FILES = "plugin_files.json"
FINGERPRINT = re.compile(r"[0-9a-f]{32}")
_PREFIX = re.compile(r"[0-9a-f]{4,32}")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
_MAY_BE_THERE = {RUNS_FOLDER, LOCKS_FOLDER, "lost+found"}
# What else lies in stores: a folder with only these, too, is one that has lost its file.
_OF_STORES = _MAY_BE_THERE | {
    *(TUNING_FOLDER, STAGES_FOLDER, VERIFIED_FOLDER, "settings", "launches", "index", "probes"),
    *(PLUGIN_FILES, "shown.jsonl"),
    *("mlflow-artifacts", "mlflow.db", "mlflow.db-wal", "mlflow.db-shm"),
}
_OTHER = "Choose another folder with --store DIR or $NORMBENCH_STORE"


def create_store(root: Path) -> None:
    """Make an empty store; the last step of it is the file that makes it one.

    A store that has lost this file gets it again.

    Raises:
        StoreError: If *root* holds something else.
        OSError: If it cannot be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    if not is_vacant(root) and (root / STORE_FILE).exists():
        return  # another process was faster
    (root / RUNS_FOLDER).mkdir(exist_ok=True)
    (root / LOCKS_FOLDER).mkdir(exist_ok=True)
    content = {"schema": STORE_SCHEMA, "written_by": normbench.__version__}
    with open_folder(root) as folder:
        # By a hard link, as results are published: a file system without them fails here and now.
        write_once(STORE_FILE, to_json(content), folder=folder)


def try_place(root: Path) -> None:
    """Make a folder where :func:`create_store` would, and remove it again.

    Raises:
        OSError: If that cannot be done, so that no store can be made there.
    """
    whole = root.absolute()
    place = next(each for each in (whole, *whole.parents) if os.path.lexists(each))
    trial = place / temporary_name("store")
    trial.mkdir()
    trial.rmdir()


def unmake_store(root: Path) -> None:
    """Take back :func:`create_store`, unless something was added to the store since."""
    if set(list_names(root)) - {STORE_FILE, RUNS_FOLDER, LOCKS_FOLDER}:
        return
    with contextlib.suppress(OSError):
        # Fails, and ends it here, if somebody has added a run.
        (root / RUNS_FOLDER).rmdir()
        (root / STORE_FILE).unlink()
        for lock in (root / LOCKS_FOLDER).iterdir():
            lock.unlink()
        (root / LOCKS_FOLDER).rmdir()


def is_vacant(root: Path) -> bool:
    """Whether the folder *root* is empty, but for what a store that was not finished leaves.

    False if it is a store, also one that has lost its file.

    Raises:
        NoStoreError: If *root* holds something else.
        StoreError: If it cannot be read.
    """
    names = [name for name in list_names(root) if not is_temporary(name)]
    strange = sorted(set(names) - _MAY_BE_THERE)
    others = [name for name in strange if name not in _OF_STORES or RUNS_FOLDER not in names]
    if others and STORE_FILE not in strange:
        raise NoStoreError(
            f"{root} is neither empty nor a run store: it holds {others[0]!r}. {_OTHER}."
        )
    return not strange


def check_store(root: Path, content: Mapping[str, Any] | None) -> None:
    """Raise :class:`StoreError` unless *content* is that of a store which this version reads."""
    if content is None:
        problem = "is not a run store" if root.exists() else "does not exist"
        raise NoStoreError(
            f"{root} {problem}: {root / STORE_FILE} is missing. {_OTHER}, or make a store with: "
            "normbench run PROBLEM OPTIMIZER"
        )
    schema = content.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise DamagedFileError(
            f"{root / STORE_FILE} is damaged: its schema is {schema!r}, expected a whole number "
            "from 1. Restore it from a backup.",
            root / STORE_FILE,
        )
    if schema > STORE_SCHEMA:
        raise NewerStoreError(
            f"{root} was written by normbench {content.get('written_by')} with store schema "
            f"{schema}; this version reads up to {STORE_SCHEMA}. Upgrade normbench."
        )


def run_path(root: Path, fingerprint: str) -> Path:
    """Return the folder of a run."""
    return root.joinpath(RUNS_FOLDER, fingerprint[:2], fingerprint)


def machine_file(root: Path, name: str, suffix: str) -> Path:
    """Return the place of a file that the processes of this machine share in a store."""
    host = _NOT_IN_A_NAME.sub("-", socket.gethostname())
    return root / LOCKS_FOLDER / f"{name}-{host}{suffix}"


def prepare_run(folder: Path, spec: RunSpec) -> None:
    """Make the folder of a run without attempts.

    Raises:
        OSError: If it cannot be written.
    """
    folder.mkdir(parents=True)
    (folder / ATTEMPTS_FOLDER).mkdir()
    with open_folder(folder) as descriptor:
        write_whole(SPEC_FILE, spec.to_file(), folder=descriptor)


def install_run(prepared: Path, path: Path) -> bool:
    """Rename the folder of a whole new run to its place; False if the store has it already.

    Raises:
        OSError: If it cannot be renamed.
    """
    try:
        prepared.rename(path)
    except OSError as error:
        if error.errno in {errno.EEXIST, errno.ENOTEMPTY}:
            return False
        raise
    with open_folder(path.parent) as folder:
        sync_folder(folder)
    return True


def checked_prefix(prefix: str) -> str:
    """Return the beginning of a fingerprint in the letters that those have.

    Raises:
        UsageError: If *prefix* is not 4 to 32 hexadecimal digits.
    """
    digits = prefix.lower()
    if not _PREFIX.fullmatch(digits):
        raise UsageError(f"{prefix!r} is no fingerprint; give its first 4 to 32 hex digits.")
    return digits


def list_names(folder: Path) -> list[str]:
    """Return the names in *folder*; none if it is gone.

    Raises:
        StoreError: If it cannot be read.
    """
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are enough, and there may be many
    except OSError as error:
        if is_gone(error):
            return []
        raise explain("read", folder, error) from error
