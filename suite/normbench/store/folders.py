"""The attempt folders of a run: their names, their order, and what state they are in.

``0001`` is an attempt, ``0001.superseded`` one whose worker lost its lease, ``0001.merged-TAG`` a
copy of one made in another store. Only the first two kinds count for leases: their numbers run
without a gap, and whoever holds the highest holds the run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from normbench.errors import DamagedFileError
from normbench.store.files import explain, is_gone, read_bytes, read_json
from normbench.store.leases import Lease, last_beat

ATTEMPTS_FOLDER = "attempts"
SPEC_FILE = "spec.json"
RESULT_FILE = "result.json"
OUTCOME_FILE = "outcome.json"
PACK_FILE = "pack.json"
TRACEBACK_FILE = "traceback.txt"
ENVIRONMENT_FILE = "environment.json"
CANCEL_FILE = "cancelled"
_NAME = re.compile(r"(\d{4,})(?:\.(superseded)|\.merged-([0-9a-f]{8}))?")


class RunState(StrEnum):
    """State of a run or outcome of an attempt.

    FINISHED and DIVERGED are published results and final. A CANCELLED run waits until it is
    readmitted; in every other state but RUNNING a run may be claimed (again).
    """

    PENDING = "pending"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"
    DIVERGED = "diverged"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    KILLED = "killed"
    CANCELLED = "cancelled"


FINAL = frozenset({RunState.FINISHED, RunState.DIVERGED})
CLOSED = frozenset(RunState) - FINAL - {RunState.PENDING, RunState.RUNNING, RunState.CANCELLED}


@dataclass(frozen=True)
class AttemptFolder:
    """One attempt on disk.

    Attributes:
        path: Its folder.
        number: Its number, from 1.
        superseded: Whether another worker took the run over from it.
        tag: For a merged attempt the first digits of its lease's token, else empty.
    """

    path: Path
    number: int
    superseded: bool = False
    tag: str = ""

    def outcome(self, now: float) -> RunState:
        """Return how the attempt ended, RUNNING, or INTERRUPTED.

        Args:
            now: Unix seconds by the file system's clock.
        """
        if ended := self.ended():
            return ended
        mine = not self.superseded and not self.tag
        if mine and Lease.read(self.path).is_live(self.path, now):
            return RunState.RUNNING
        return RunState.INTERRUPTED

    def published(self, result: bytes | None) -> RunState | None:
        """Return the outcome in the run's published *result* if that is this attempt's."""
        # Merged attempts keep their numbers, so the number does not tell whose it is.
        if result is None or read_bytes(self.path / RESULT_FILE) != result:
            return None
        return read_outcome(self.path / RESULT_FILE)

    def ended(self) -> RunState | None:
        """Return how its worker closed it, or None if it did not.

        A result in its folder ends nothing: its worker may be about to publish it.
        """
        return read_outcome(self.path / OUTCOME_FILE)


@dataclass(frozen=True, kw_only=True)
class AttemptInfo:
    """What ``normbench status`` shows of an attempt.

    Attributes:
        number: From 1; a merged attempt keeps the number it had in its own store.
        folder: Where it is.
        host: Machine of its worker.
        pid: Process of its worker.
        started: Unix seconds.
        heartbeat_age: Seconds since its worker last stirred; None if it let go.
        outcome: How it ended, RUNNING, or INTERRUPTED.
        message: What its worker said at the end.
        superseded: Whether another worker took the run over from it.
        merged: Whether it was made in another store.
    """

    number: int
    folder: Path
    host: str
    pid: int
    started: float
    heartbeat_age: float | None
    outcome: RunState
    message: str
    superseded: bool
    merged: bool

    @classmethod
    def of(cls, attempt: AttemptFolder, now: float, result: bytes | None) -> AttemptInfo:
        """Read what is known of an attempt.

        Args:
            attempt: The attempt.
            now: Unix seconds by the file system's clock.
            result: The published result of its run.
        """
        lease = Lease.read(attempt.path)
        beat = last_beat(attempt.path)
        closed = read_json(attempt.path / OUTCOME_FILE) or {}
        return cls(
            number=attempt.number,
            folder=attempt.path,
            host=lease.host,
            pid=lease.pid,
            started=lease.started,
            heartbeat_age=None if beat is None else max(0.0, now - beat),
            outcome=attempt.published(result) or attempt.outcome(now),
            message=closed.get("message", ""),
            superseded=attempt.superseded,
            merged=bool(attempt.tag),
        )


def read_outcome(path: Path) -> RunState | None:
    """Return the outcome that the result or outcome file *path* tells; None if there is no file.

    Raises:
        StoreError: If the file is damaged.
    """
    content = read_json(path)
    return None if content is None else outcome_in(content, path)


def outcome_in(content: Mapping[str, Any], path: Path | str) -> RunState:
    """Return the outcome that the *content* of the result or outcome file *path* tells.

    Raises:
        StoreError: If it tells none.
    """
    try:
        return RunState(content.get("outcome", ""))
    except ValueError as error:
        raise DamagedFileError(
            f"{path} is damaged: its outcome is {content.get('outcome')!r}, expected one of "
            f"{', '.join(sorted(FINAL | CLOSED))}. Restore it from a backup, or delete it.",
            Path(path),
        ) from error


def is_cancelled(run: Path) -> bool:
    """Whether the run in the folder *run* bears the mark of a cancelled one."""
    try:
        (run / CANCEL_FILE).stat()
    except OSError as error:
        if is_gone(error):
            return False
        raise explain("read", run / CANCEL_FILE, error) from error
    return True


def attempt_path(run: Path, number: int) -> Path:
    """Return the folder of attempt *number* of the run in *run*."""
    return run / ATTEMPTS_FOLDER / f"{number:04d}"


def superseded_path(run: Path, number: int) -> Path:
    """Return where that folder is put when the run is taken over."""
    return run / ATTEMPTS_FOLDER / f"{number:04d}.superseded"


def merged_path(run: Path, number: int, tag: str) -> Path:
    """Return the folder of a copy of an attempt made in another store."""
    return run / ATTEMPTS_FOLDER / f"{number:04d}.merged-{tag}"


def list_attempts(run: Path) -> list[AttemptFolder]:
    """Return the attempts of the run in *run*, the newest last, merged ones before its own."""
    folder = run / ATTEMPTS_FOLDER
    found = [_parse(folder, name) for name in _names(folder)]
    attempts = [attempt for attempt in found if attempt is not None]
    set_aside = {attempt.number for attempt in attempts if attempt.superseded}
    # Where both exist, the plain one is a claim that came too late and is about to be withdrawn.
    valid = [a for a in attempts if a.superseded or a.tag or a.number not in set_aside]
    return sorted(valid, key=lambda attempt: (not attempt.tag, attempt.number, attempt.tag))


def newest_own(attempts: list[AttemptFolder]) -> AttemptFolder | None:
    """Return the attempt that decides who holds the run; None if there is none."""
    return attempts[-1] if attempts and not attempts[-1].tag else None


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are enough, and there may be many folders
    except OSError as error:
        if is_gone(error):
            return []
        raise explain("read", folder, error) from error


def _parse(folder: Path, name: str) -> AttemptFolder | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    number, superseded, tag = match.groups()
    return AttemptFolder(folder / name, int(number), bool(superseded), tag or "")
