"""How what the index keeps of one run is read from the run's files.

What is kept holds as long as the *stamps* of the run do: the times at which its folders last
changed, by the clock of the file system alone. Files in the store appear whole, by a rename or a
link, so nothing changes without one of these folders. Two things are not kept: whether a worker
still stirs, which depends on the time, and what was read so soon after a change that another one
might bear the same stamp.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from normbench.specs import FIRST_TUNING_SEED
from normbench.store.claims import is_held
from normbench.store.files import explain, is_gone, read_bytes, read_json
from normbench.store.folders import (
    ATTEMPTS_FOLDER,
    CANCEL_FILE,
    OUTCOME_FILE,
    RESULT_FILE,
    AttemptFolder,
    RunState,
    list_attempts,
    outcome_in,
)
from normbench.store.indexed_run import IndexedRun
from normbench.store.journal import last_point
from normbench.store.leases import last_beat
from normbench.store.run import SPEC_FILE, StoredRun, read_spec
from normbench.store.series import SERIES_FOLDER, lacking
from normbench.store.strikes import count_strikes

_TRIES = 5
_SEED = re.compile(rb'\n "seed": (\d+),\n')
# The coarsest clock of a file system that has hard links ticks every second.
_TICK = 2 * 10**9


class Stamps(NamedTuple):
    """When the folders of a run last changed, in nanoseconds; 0 where nothing depends on it."""

    run: int
    attempts: int
    series: int

    @classmethod
    def read(cls, run: str, bucket: int | None = None) -> Stamps:
        """Return those of the run in the folder *run*, relative to the open directory *bucket*."""
        return cls(
            changed(run, bucket),
            changed(f"{run}/{ATTEMPTS_FOLDER}", bucket),
            changed(f"{run}/{SERIES_FOLDER}", bucket),
        )

    def settled(self, now: int) -> bool:
        """Whether any change after *now* is sure to leave another stamp."""
        return all(abs(now - stamp) > _TICK for stamp in self if stamp)


class SeedlessSpec(NamedTuple):
    """What the specs of many runs share, as JSON, and a digest of it.

    The seed in it is the first of its kind: 0, or the first that is kept for tuning.
    """

    digest: str
    text: bytes


def changed(path: str, folder: int | None = None) -> int:
    """Return when the folder *path* last changed; 0 if it does not exist."""
    try:
        # Not when it was modified: copying sets that to a time long past.
        return os.stat(path, dir_fd=folder).st_ctime_ns
    except OSError as error:
        if is_gone(error):
            return 0
        raise explain("read", Path(path), error) from error


def read_seedless(path: Path) -> tuple[SeedlessSpec, int]:
    """Return the spec of the run in the folder *path* without its seed, and the seed.

    Raises:
        StoreError: If the spec is missing or damaged.
    """
    data = read_bytes(path / SPEC_FILE) or b""
    found = _SEED.findall(data)
    if len(found) != 1:
        spec = read_spec(path)
        data, found = spec.to_json().encode(), [spec.seed]
    seed = int(found[0])
    first = FIRST_TUNING_SEED if seed >= FIRST_TUNING_SEED else 0
    text = _SEED.sub(b'\n "seed": %d,\n' % first, data)
    digest = hashlib.md5(text, usedforsecurity=False).hexdigest()
    return SeedlessSpec(digest, text), seed


def index_run(run: StoredRun) -> IndexedRun:
    """Return what the index would say of *run* now.

    Raises:
        StoreError: If it cannot be read.
    """
    spec = run.spec
    known = IndexedRun(run.fingerprint, spec.row, "", spec.seed)
    return read_run(known, run.path, run.clock.now)[0]


def read_run(
    run: IndexedRun, path: Path, now: Callable[[], float]
) -> tuple[IndexedRun, Stamps, bool]:
    """Return *run* as the folder *path* tells, what that rests on, and whether it lasts.

    What lasts holds until a stamp changes; the rest depends on the time.

    Args:
        run: What its spec says; the rest is filled in.
        path: Folder of the run.
        now: Gives the Unix seconds by the file system's clock; asked only where time tells.

    Raises:
        StoreError: If a file is damaged or cannot be read.
    """
    folder = str(path)
    for _ in range(_TRIES):
        stamps = Stamps.read(folder)
        found, lasting = _read(run, path, now)
        if found.done and not found.lacking:
            return found, stamps._replace(attempts=0), True
        # What a worker changed meanwhile may have been seen by halves.
        if stamps == Stamps.read(folder):
            return found, stamps, lasting
    return found, stamps, False


def _read(run: IndexedRun, path: Path, now: Callable[[], float]) -> tuple[IndexedRun, bool]:
    names = _names(path)
    run = run._replace(cancelled=CANCEL_FILE in names)
    if RESULT_FILE in names:
        run = _with_result(run, path, asked=SERIES_FOLDER in names)
        if not run.lacking:
            return run, True
    attempts = list_attempts(path) if _names(path / ATTEMPTS_FOLDER) else []
    time = now() if attempts else 0.0
    # Looked at first: before a worker lets go, it has written how its attempt ended.
    lasting = not any(_may_stir(attempt) for attempt in attempts)
    if run.lacking:
        held = is_held(attempts, time)
    else:
        run = _with_attempt(run, attempts[-1], time) if attempts else run
        held = run.state is RunState.RUNNING
        if run.cancelled and not held:
            run = run._replace(state=RunState.CANCELLED)
    return run._replace(held=held, strikes=count_strikes(attempts, time)), lasting


def _may_stir(attempt: AttemptFolder) -> bool:
    """Whether a worker, even one that was set aside, may still change what the attempt tells."""
    return not attempt.tag and not attempt.ended() and last_beat(attempt.path) is not None


def _with_result(run: IndexedRun, path: Path, *, asked: bool) -> IndexedRun:
    result = read_json(path / RESULT_FILE)
    if result is None:
        return run  # it was deleted by hand meanwhile
    return run._replace(
        state=outcome_in(result, path / RESULT_FILE),
        score=_number(result.get("score")),
        seconds=_number(result.get("train_seconds")),
        epoch=int(_number(result.get("epochs")) or 0),
        attempts=int(_number(result.get("attempt")) or 0),
        lacking=asked and bool(lacking(path)),
    )


def _with_attempt(run: IndexedRun, attempt: AttemptFolder, now: float) -> IndexedRun:
    closed = read_json(attempt.path / OUTCOME_FILE) or {}
    point = last_point(attempt.path)
    return run._replace(
        state=attempt.outcome(now),
        epoch=int(_number(point.get("epoch")) or 0),
        attempts=attempt.number,
        message=str(closed.get("message", "")),
    )


def _number(value: object) -> float | None:
    """Return *value* if it is a number: whatever else a file holds must not stop the others."""
    return value if isinstance(value, int | float) else None


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are enough, and there are many folders
    except OSError as error:
        if is_gone(error):
            return []
        raise explain("read", folder, error) from error
