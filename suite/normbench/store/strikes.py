"""Strikes: how often in a row a run's worker died on it, counted from what its attempts left.

Since they are counted from the store, the death of a launcher, a restart or another machine change
nothing. Only the death of a worker while nothing else trained on its machine counts one, and its
attempt says so. A worker that died while others could train beside it makes its run a suspect,
which is no strike: the run is trained next with the machine to itself. A newer checkpoint clears a
run of both, for a run that gets on is not what kills workers; so does an outcome other than
``interrupted``, since whoever asks for such a run again wants it tried anew. At :data:`STRIKES` the
run is set aside as ``killed``. Where nothing can be locked, no run is ever alone: there it is set
aside after twice as many deaths beside others.

The death of a worker that trained several runs in its process says nothing of any of them: it makes
none of them a suspect, and each of them has a process to itself next.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from normbench.errors import StoreError
from normbench.store.checkpoints import find_checkpoint
from normbench.store.files import explain, is_gone, open_folder, read_json, to_json, write_once
from normbench.store.folders import (
    CLOSED,
    OUTCOME_FILE,
    PACK_FILE,
    RESULT_FILE,
    AttemptFolder,
    RunState,
    list_attempts,
    newest_own,
)
from normbench.store.leases import HEARTBEAT_FILE, Lease, last_beat

STRIKES = 3
_MOST_BESIDE = 2 * STRIKES
_DEATH_FILE = "death.txt"


@dataclass(frozen=True)
class Deaths:
    """Deaths of a run's workers in a row.

    Attributes:
        alone: Those with the machine to themselves: its strikes.
        beside: Those while others could train beside it.
    """

    alone: int = 0
    beside: int = 0

    @property
    def total(self) -> int:
        """All of them; a run with any is a suspect."""
        return self.alone + self.beside

    @property
    def verdict(self) -> str:
        """Why the run is to be set aside; empty if it is not."""
        if self.alone >= STRIKES:
            return f"{self.alone} times over while nothing else trained on its machine"
        if self.beside >= _MOST_BESIDE:
            return (
                f"{self.beside} times over while others could train on its machine, which is not "
                "kept free for a run where the store cannot be locked"
            )
        return ""


def count_deaths(attempts: Iterable[AttemptFolder], now: float) -> Deaths:
    """Return the deaths of the workers of a run with these *attempts*, the newest last.

    Args:
        attempts: As listed by :func:`normbench.store.folders.list_attempts`.
        now: Unix seconds by the file system's clock.
    """
    newest_epoch, deaths = 0, Deaths()
    for attempt in attempts:
        checkpoint = find_checkpoint(attempt.path)
        if checkpoint is not None and checkpoint.epoch > newest_epoch:
            newest_epoch, deaths = checkpoint.epoch, Deaths()
        elif _died(attempt, now):
            company = read_json(attempt.path / PACK_FILE) or {"size": 1}
            alone = bool(company.get("alone"))
            beside = not alone and company["size"] == 1
            deaths = Deaths(deaths.alone + alone, deaths.beside + beside)
        elif (attempt.ended() or RunState.INTERRUPTED) is not RunState.INTERRUPTED:
            deaths = Deaths()
    return deaths


def count_strikes(attempts: Iterable[AttemptFolder], now: float) -> int:
    """Return the strikes of a run with these *attempts*; see :func:`count_deaths`."""
    return count_deaths(attempts, now).alone


def must_be_alone(attempts: Iterable[AttemptFolder], now: float) -> bool:
    """Whether the newest of *attempts* was in a pack that died or broke.

    Args:
        attempts: As listed by :func:`normbench.store.folders.list_attempts`.
        now: Unix seconds by the file system's clock.
    """
    newest = newest_own(list(attempts))
    if newest is None or not (pack := read_json(newest.path / PACK_FILE)):
        return False
    return bool(pack["broken"]) or _died(newest, now)


def must_have_gpu_alone(attempts: Iterable[AttemptFolder]) -> bool:
    """Whether the newest of *attempts* that tells of its company lacked memory on a shared GPU.

    One that was stopped, or killed, before it got that far tells nothing.
    """
    for attempt in reversed(list(attempts)):
        if company := read_json(attempt.path / PACK_FILE):
            return bool(company.get("crowded"))
    return False


def captures_broke(run: Path) -> bool:
    """Whether a worker that trained nothing but the run in the folder *run* broke by capturing."""
    packs = (read_json(attempt.path / PACK_FILE) for attempt in list_attempts(run))
    return any(pack["broken"] and pack["size"] == 1 for pack in packs if pack)


def close_for(attempt: Path, outcome: RunState, message: str) -> bool:
    """End the attempt in the folder *attempt* in the name of its worker, which is stopped or dead.

    Returns:
        Whether it counts; False if it ended otherwise before, or another worker took the run over.

    Raises:
        StoreError: If it cannot be written.
    """
    if outcome not in CLOSED:
        raise StoreError(f"an attempt cannot be closed as {outcome!r} in its worker's name.")
    if (attempt.parent.parent / RESULT_FILE).exists():
        return False
    content = {"outcome": str(outcome), "message": message, "ended": time.time()}
    try:
        with open_folder(attempt) as folder:
            written = write_once(OUTCOME_FILE, to_json(content), folder=folder)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(HEARTBEAT_FILE, dir_fd=folder)
    except OSError as error:
        if is_gone(error):
            return False
        raise explain("write", attempt / OUTCOME_FILE, error) from error
    return written


def note_death(attempt: Path, words: str) -> None:
    """Note in the folder *attempt* how its worker died, for whoever sets the run aside."""
    with contextlib.suppress(OSError):
        (attempt / _DEATH_FILE).write_text(words, encoding="utf-8")


def noted_death(attempts: Iterable[AttemptFolder]) -> str:
    """Return how the worker of the last of *attempts* died, as far as somebody noted it."""
    for attempt in reversed(list(attempts)):
        with contextlib.suppress(OSError):
            return (attempt.path / _DEATH_FILE).read_text(encoding="utf-8", errors="replace")
    return ""


def _died(attempt: AttemptFolder, now: float) -> bool:
    """Whether the worker of the *attempt* neither ended it nor let go of it."""
    if attempt.tag or attempt.ended() or last_beat(attempt.path) is None:
        return False
    return attempt.superseded or not Lease.read(attempt.path).is_live(attempt.path, now)
