"""Claiming a run: how exactly one of many processes comes to hold it.

An attempt is prepared in a hidden folder beside the others, with its lease and a first heartbeat in
it, and renamed to the next free number. No folder can be renamed onto one that holds files, so only
one process gets the number. An attempt whose worker is dead or silent is renamed out of the way
first; from then on that worker, should it wake, no longer finds the folder it would publish from.

Numbers set aside stay occupied as ``NNNN.superseded``. A process that was slow enough to rename its
own folder to such a number sees that and withdraws.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normbench.specs import ComponentSpec
from normbench.store import checkpoints
from normbench.store.attempt import Attempt
from normbench.store.checkpoints import Checkpoint
from normbench.store.files import (
    explained,
    is_gone,
    is_temporary,
    open_folder,
    read_bytes,
    remove_tree,
    sync_folder,
    to_json,
    write_all,
)
from normbench.store.folders import (
    ATTEMPTS_FOLDER,
    ENVIRONMENT_FILE,
    RESULT_FILE,
    AttemptFolder,
    attempt_path,
    list_attempts,
    newest_own,
    superseded_path,
)
from normbench.store.journal import Point
from normbench.store.leases import HEARTBEAT_FILE, LEASE_FILE, Lease
from normbench.store.series import covers

_PREPARED = ".claim-"
_TRIES = 20
_OCCUPIED = {errno.EEXIST, errno.ENOTEMPTY}

_log = logging.getLogger(__name__)


class _OvertakenError(Exception):
    """Another process changed the run meanwhile; look again."""


@dataclass(frozen=True)
class _Prepared:
    """An attempt folder that does not count yet.

    Attributes:
        run: Folder of the run.
        folder: The folder itself.
        lease: In whose name it was made.
        now: The file system's time when it was made.
        wanted: Observers whose series a run with a result lacks; None to train one without.
        newest: The newest attempt's number that the claim was decided on; None for any.
    """

    run: Path
    folder: Path
    lease: Lease
    now: float
    wanted: Sequence[ComponentSpec] | None
    newest: int | None

    def comes_too_late(self) -> bool:
        """Whether the run has got its result; an attempt at series comes after that."""
        return self.wanted is None and (self.run / RESULT_FILE).exists()


def claim(
    run: Path,
    environment: Mapping[str, Any],
    lease_seconds: float,
    wanted: Sequence[ComponentSpec] | None = None,
    newest: int | None = None,
) -> Attempt | None:
    """Claim the run in the folder *run*; None if it is done or held, or has a newer attempt.

    With observers *wanted*, the run is one that has its result and is trained again for their
    series; the attempt goes on from the checkpoint of one that observed them all.

    Raises:
        StoreError: If the store cannot be written.
    """
    for _ in range(_TRIES):
        with (
            explained("write", run),
            contextlib.suppress(_OvertakenError),
            _prepare(run, environment, lease_seconds, wanted, newest) as prepared,
        ):
            return _take(prepared)
    _log.warning("run %s changes hands too fast to be claimed", run.name)
    return None


def is_held(attempts: list[AttemptFolder], now: float) -> bool:
    """Whether a worker may be at work on the run with these *attempts*."""
    newest = newest_own(attempts)
    if newest is None or newest.superseded or newest.ended():
        return False
    return Lease.read(newest.path).is_live(newest.path, now)


@contextmanager
def _prepare(
    run: Path,
    environment: Mapping[str, Any],
    seconds: float,
    wanted: Sequence[ComponentSpec] | None,
    newest: int | None,
) -> Iterator[_Prepared]:
    """Make the folder of a new attempt under a name that does not count; remove it if unused."""
    token = secrets.token_hex(16)
    lease = Lease.of_this_process(token, seconds)
    path = run / f"{_PREPARED}{token}"
    try:
        path.mkdir()
        # Some ways of copying a store leave out what is empty.
        (run / ATTEMPTS_FOLDER).mkdir(exist_ok=True)
        with _overtaken_if_gone(), open_folder(path) as folder:
            files = {LEASE_FILE: lease.content(), ENVIRONMENT_FILE: environment}
            write_all({name: to_json(each) for name, each in files.items()}, folder=folder)
            heartbeat = path / HEARTBEAT_FILE
            heartbeat.touch()
            now = heartbeat.stat().st_mtime
        yield _Prepared(run, path, lease, now, wanted, newest)
    finally:
        remove_tree(path)


def _take(prepared: _Prepared) -> Attempt | None:
    run = prepared.run
    attempts = list_attempts(run)
    if is_held(attempts, prepared.now):
        return None
    newest = newest_own(attempts)
    if prepared.newest not in (None, newest.number if newest else 0):
        return None
    if newest is not None:
        _set_aside(newest, run)
    # Nobody can publish any more. Whoever did so before is seen here, or after the next rename.
    if prepared.comes_too_late():
        return None
    with _overtaken_if_gone():
        folders = [attempt.path for attempt in list_attempts(run)]
        if prepared.wanted is not None:
            folders = [folder for folder in folders if covers(folder, prepared.wanted)]
        checkpoint, points = checkpoints.carry_over(folders, prepared.folder)
    number = newest.number + 1 if newest else 1
    if not _occupy(prepared, number):
        return None
    return _begin(prepared, number, checkpoint, points)


def _set_aside(newest: AttemptFolder, run: Path) -> None:
    """Put the attempt out of its worker's reach, unless that worker has ended it."""
    published = newest.published(read_bytes(run / RESULT_FILE))
    if newest.superseded or newest.ended() or published:
        return
    try:
        newest.path.rename(superseded_path(run, newest.number))
    except OSError as error:
        if is_gone(error) or error.errno in _OCCUPIED:
            raise _OvertakenError from error
        raise


def _occupy(prepared: _Prepared, number: int) -> bool:
    """Give the prepared attempt its *number*; False if the run turns out to be done."""
    target = attempt_path(prepared.run, number)
    try:
        prepared.folder.rename(target)
    except OSError as error:
        if error.errno in _OCCUPIED:
            raise _OvertakenError from error
        if not is_gone(error):
            raise
        # A network file system may repeat a rename that succeeded and report the repetition.
        if Lease.read(target).token != prepared.lease.token:
            raise _OvertakenError from error
    late = superseded_path(prepared.run, number).exists()
    done = prepared.comes_too_late()
    if late or done:
        with _overtaken_if_gone():
            target.rename(prepared.folder)
    if late:
        raise _OvertakenError
    return not done


def _begin(
    prepared: _Prepared, number: int, checkpoint: Checkpoint | None, points: list[Point]
) -> Attempt:
    path = attempt_path(prepared.run, number)
    if checkpoint is not None:
        checkpoint = Checkpoint(path / checkpoint.file.name, checkpoint.epoch)
    with open_folder(path.parent) as folder:
        sync_folder(folder)
    _sweep(prepared, number)
    with _overtaken_if_gone():
        seconds = prepared.lease.lease_seconds
        for_series = prepared.wanted is not None
        return Attempt(
            prepared.run, path, number, seconds, checkpoint, points, for_series=for_series
        )


def _sweep(prepared: _Prepared, number: int) -> None:
    """Remove what crashed processes left half-made."""
    for attempt in list_attempts(prepared.run):
        if not attempt.tag and attempt.number < number:
            checkpoints.clean(attempt.path)
    oldest = prepared.now - prepared.lease.lease_seconds
    for path in prepared.run.iterdir():
        with contextlib.suppress(OSError):
            if _is_left_over(path, oldest):
                remove_tree(path)


def _is_left_over(path: Path, oldest: float) -> bool:
    """Whether *path* is a preparation that nobody will finish."""
    prepared = path.name.startswith(_PREPARED)
    if not prepared and not is_temporary(path.name):
        return False
    if path.stat().st_mtime < oldest:
        return True
    lease = Lease.read(path)
    # One without a lease is half removed, or its maker comes too late and will look again.
    return prepared and (not lease.token or lease.holder_is_dead())


@contextmanager
def _overtaken_if_gone() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_gone(error):
            raise _OvertakenError from error
        raise
