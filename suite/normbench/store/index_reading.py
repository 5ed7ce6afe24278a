"""How what the index keeps of one run is read from the run's files.

What is kept holds as long as the *stamps* of the run do (:mod:`normbench.store.index_stamps`). A
worker whose heartbeat grew too old, or whose process is dead, stays so until it touches a file of
its attempt; these are *watched*. Two things are not kept: that a worker stirs, which depends on the
time, and what was read so soon after a change that another one might bear the same stamp.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from normbench.store.claims import is_held
from normbench.store.files import read_json
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
from normbench.store.index_environments import environment_of
from normbench.store.index_results import Outcome
from normbench.store.index_shard import Kept
from normbench.store.index_stamps import Stamps, changed
from normbench.store.indexed_run import IndexedRun
from normbench.store.journal import JOURNAL_FILE, last_point
from normbench.store.leases import HEARTBEAT_FILE, Lease, last_beat
from normbench.store.proofs import Scoring, read_result
from normbench.store.run import StoredRun
from normbench.store.series import lacking
from normbench.store.strikes import count_strikes

_TRIES = 5


def index_run(run: StoredRun) -> IndexedRun:
    """Return what the index would say of *run* now.

    Raises:
        StoreError: If it cannot be read.
    """
    spec = run.spec
    known = IndexedRun(run.fingerprint, spec.row, "", spec.seed)
    return read_run(known, run.path, run.clock.now, Scoring.of(spec))[0].run


def read_run(
    run: IndexedRun, path: Path, now: Callable[[], float], scoring: Scoring
) -> tuple[Kept, bool]:
    """Return *run* as the folder *path* tells, what that rests on, and whether it lasts.

    What lasts holds until one of these changes; the rest depends on the time.

    Args:
        run: What its spec says; the rest is filled in.
        path: Folder of the run.
        now: Gives the Unix seconds by the file system's clock; asked only where time tells.
        scoring: How it is scored.

    Raises:
        StoreError: If a file is damaged or cannot be read.
    """
    folder = str(path)
    for _ in range(_TRIES):
        stamps = Stamps.read(folder)
        found, lasting = _read(run, path, stamps, now, scoring)
        if found.run.complete:
            return found._replace(stamps=stamps._replace(attempts=0)), True
        # What a worker changed meanwhile may have been seen by halves.
        if stamps == Stamps.read(folder):
            break
        lasting = False
    return found, lasting


def _read(
    run: IndexedRun, path: Path, stamps: Stamps, now: Callable[[], float], scoring: Scoring
) -> tuple[Kept, bool]:
    cancelled = os.path.lexists(f"{path}/{CANCEL_FILE}")
    result = read_result(path, scoring)
    outcome = None
    if result is None:
        run = run._replace(cancelled=cancelled)
    else:
        outcome = Outcome.of(result, environment_of(path, result))
        lacks = bool(stamps.series and lacking(path))
        run = _with_result(run, path, result)._replace(cancelled=cancelled, lacking=lacks)
        if not lacks:
            return Kept(run, stamps, outcome, {}), True
    attempts = list_attempts(path) if stamps.attempts else []
    # Looked at first: before a worker lets go, it has written how its attempt ended.
    stirring = [attempt for attempt in attempts if _may_stir(attempt)]
    watched = {name: changed(f"{path}/{name}") for each in stirring for name in _touched(each)}
    time = now() if attempts else 0.0
    lasting = all(_is_silent(attempt, time) for attempt in stirring)
    if run.lacking:
        held = is_held(attempts, time)
    else:
        run = _with_attempt(run, attempts[-1], time) if attempts else run
        held = run.state is RunState.RUNNING
        if run.cancelled and not held:
            run = run._replace(state=RunState.CANCELLED)
    strikes = count_strikes(attempts, time)
    return Kept(run._replace(held=held, strikes=strikes), stamps, outcome, watched), lasting


def _may_stir(attempt: AttemptFolder) -> bool:
    """Whether a worker, even one that was set aside, may still change what the attempt tells."""
    return not attempt.tag and not attempt.ended() and last_beat(attempt.path) is not None


def _is_silent(attempt: AttemptFolder, now: float) -> bool:
    """Whether nothing but the worker of the *attempt* itself can make it stir again."""
    if attempt.superseded:
        return True
    lease, beat = Lease.read(attempt.path), last_beat(attempt.path)
    # One from the future will be fresh some day.
    return lease.holder_is_dead() or (beat is not None and now - beat >= lease.lease_seconds)


def _touched(attempt: AttemptFolder) -> Iterator[str]:
    """Yield what a worker of the *attempt* cannot go on without changing."""
    folder = f"{ATTEMPTS_FOLDER}/{attempt.path.name}"
    yield from (folder, f"{folder}/{HEARTBEAT_FILE}", f"{folder}/{JOURNAL_FILE}")


def _with_result(run: IndexedRun, path: Path, result: dict[str, Any]) -> IndexedRun:
    return run._replace(
        state=outcome_in(result, f"{path}/{RESULT_FILE}"),
        score=_number(result.get("score")),
        seconds=_number(result.get("train_seconds")),
        epoch=int(_number(result.get("epochs")) or 0),
        attempts=int(_number(result.get("attempt")) or 0),
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
