"""The queue of a worker: which run to take next, and which to leave.

Every process that claims runs does it through a queue of its own; nothing passes between them but
the store. Each run of the list is looked at once as the list is gone through. Only those that were
held by others are looked at again, and only when the list is at its end, so a process spends a time
proportional to its list on it, however many others share it.

Runs whose workers died come last, one at a time and with the machine to themselves, so that the run
that kills is told from those that died beside it: while one of them trains, no worker of this store
takes another run there. For a suspect that waits for others' runs they begin no new ones, and after
each suspect they have their turn (:mod:`normbench.store.company`). At three strikes
(:mod:`normbench.store.strikes`) whoever meets a run sets it aside as ``killed``.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from normbench.errors import StoreError
from normbench.store.attempt import Attempt
from normbench.store.claims import is_held
from normbench.store.company import Company
from normbench.store.folders import (
    FINAL,
    OUTCOME_FILE,
    RESULT_FILE,
    AttemptFolder,
    RunState,
    is_cancelled,
    list_attempts,
    newest_own,
)
from normbench.store.layout import machine_file
from normbench.store.leases import LEASE_SECONDS
from normbench.store.run import StoredRun
from normbench.store.store import RunStore
from normbench.store.strikes import (
    count_deaths,
    must_be_alone,
    must_have_gpu_alone,
    noted_death,
)

_SHORT_LIST = 1000
_LOOK_AHEAD = 256
# A driver that only looks holds the lock for a moment.
_JOIN_SECONDS = 1.0
_log = logging.getLogger(__name__)

# Whether there is room for a run now; the second value: whether it must have its GPU to itself.
Room = Callable[[StoredRun, bool], bool]


class _Standing(Enum):
    OVER = auto()  # nothing for this queue to do, now or later
    HELD = auto()
    READY = auto()
    SUSPECT = auto()
    STRUCK = auto()


@dataclass(frozen=True)
class _Look:
    """What a run was found to be.

    Attributes:
        standing: Whether it can be taken.
        newest: Number of its newest attempt, 0 for none: what a claim rests on.
        deaths: How many of its workers died in a row.
        for_series: Whether it has its result and lacks series.
        alone: Whether it must not share its process with other runs.
        crowded: Whether it must not share its GPU with other runs.
        verdict: Why it is to be set aside; empty if it is not.
    """

    standing: _Standing
    newest: int = 0
    deaths: int = 0
    for_series: bool = False
    alone: bool = False
    crowded: bool = False
    verdict: str = ""


class Queue:
    """Runs to take, in order.

    Args:
        store: The store.
        fingerprints: The runs, in the order to take them; None for all that are pending in the
            store, or were interrupted, in the order of its index. Runs that ended badly are taken
            only by name.
        since: Unix seconds by the file system's clock at which the launch began; a run that ended
            badly after it is left to a later launch. None for now.

    Attributes:
        declined: Number of runs that the caller did not accept.
        struck: Runs that were set aside as ``killed``.
        alone: Whether the run taken last must not share its process with other runs.
    """

    def __init__(
        self,
        store: RunStore,
        fingerprints: Iterable[str] | None = None,
        *,
        since: float | None = None,
    ) -> None:
        self._store = store
        self._named = fingerprints is not None
        self._since = store.now() if since is None else since
        self._fresh = deque(pending_in(store, fingerprints))
        self._seen = set() if self._named else set(self._fresh)
        self._held: deque[str] = deque()
        self._suspects: dict[str, tuple[int, int]] = {}
        self._ranks: dict[str, int] = {}
        self._company = Company(machine_file(store.root, "training", ".lock"))
        self._shut_out = False
        self.declined = 0
        self.struck: list[str] = []
        self.alone = False

    @property
    def held(self) -> int:
        """Number of runs that may be taken later: held by others, or waiting to run alone."""
        return len(self._held) + len(self._suspects)

    @property
    def waits_here(self) -> bool:
        """Whether a run waits only until others on this machine have ended theirs."""
        return self._shut_out or bool(self._suspects)

    @property
    def secluded(self) -> bool:
        """Whether the run taken last has this machine to itself."""
        return self._company.alone

    def admit_others(self) -> None:
        """Let others train beside the run taken last, which is no suspect any more."""
        self._company.admit_others()

    def take(
        self,
        environment: Mapping[str, Any],
        *,
        lease_seconds: float = LEASE_SECONDS,
        accept: Callable[[StoredRun], bool] | None = None,
        room: Room | None = None,
    ) -> tuple[StoredRun, Attempt] | None:
        """Claim the next run; enter the attempt's ``with`` block at once.

        Args:
            environment: Recorded with the attempt.
            lease_seconds: Others may take the run over after so long without a heartbeat.
            accept: Whether to take a run that could be taken; what it refuses is not offered again.
            room: Asked last, right before the claim; what it refuses waits.

        Returns:
            The run and its attempt; None if there is none now that could be taken.

        Raises:
            StoreError: If the store cannot be read or written, or lacks a run of the list.
        """
        self._company.leave()
        self._shut_out = False
        with closing(self._joined(room, accept)) as joined:
            for run, look in joined:
                attempt = run.claim(
                    environment,
                    lease_seconds=lease_seconds,
                    for_series=look.for_series,
                    newest=look.newest,
                )
                if attempt is not None:
                    self._company.begin()
                    self.alone = look.alone
                    return run, attempt
                self._held.append(run.fingerprint)
        self._company.leave()
        return None

    def _joined(
        self, room: Room | None, accept: Callable[[StoredRun], bool] | None
    ) -> Generator[tuple[StoredRun, _Look]]:
        """Yield the runs that could be taken now, each in the company that it may have."""
        passed: list[str] = []
        try:
            while len(passed) < _LOOK_AHEAD and (found := self._next()) is not None:
                run, look = found
                if not self._company.join(_secluded(run, look), wait=_JOIN_SECONDS):
                    self._wait_with(run, look)
                    return
                if accept is not None and not accept(run):
                    self.declined += 1
                elif room is not None and not room(run, look.crowded):
                    passed.append(run.fingerprint)
                else:
                    yield run, look
        finally:
            self._fresh.extendleft(reversed(passed))

    def _wait_with(self, run: StoredRun, look: _Look) -> None:
        """Put by a run that cannot have the company it needs."""
        if look.deaths:
            self._suspect(run.fingerprint, look)
        else:
            self._held.append(run.fingerprint)
            self._shut_out = True

    def take_beside(
        self,
        is_alike: Callable[[StoredRun], bool],
        environment: Mapping[str, Any],
        *,
        most: int,
        peers: int = 1,
        lease_seconds: float = LEASE_SECONDS,
    ) -> Iterator[tuple[StoredRun, Attempt]]:
        """Claim more runs to train beside the one taken last, from those that come soon.

        Enter each attempt's ``with`` block before asking for the next one.

        Args:
            is_alike: Whether a run can be trained beside it.
            environment: Recorded with the attempts.
            most: Runs to claim at most.
            peers: Workers that find the same runs; each is left its share.
            lease_seconds: Others may take a run over after so long without a heartbeat.
        """
        found: dict[str, tuple[StoredRun, _Look]] = {}
        passed: list[str] = []
        for _ in range(min(len(self._fresh), _LOOK_AHEAD)):
            if len(found) + 1 >= (most + 1) * peers:
                break
            fingerprint = self._fresh.popleft()
            run, look = self._look_at(fingerprint)
            if look.standing is not _Standing.READY:
                self._put_by(fingerprint, look)
                continue
            passed.append(fingerprint)
            if not look.alone and is_alike(run):
                found[fingerprint] = run, look
        share = min(most, -(-(len(found) + 1) // peers) - 1)
        chosen = list(found)[:share]
        self._fresh.extendleft(reversed([each for each in passed if each not in chosen]))
        for fingerprint in chosen:
            run, look = found[fingerprint]
            attempt = run.claim(environment, lease_seconds=lease_seconds, newest=look.newest)
            if attempt is None:
                self._held.append(fingerprint)
            else:
                yield run, attempt

    def give_back(self, run: StoredRun) -> None:
        """Offer a run again that was let go of."""
        self._held.append(run.fingerprint)

    def ready(self, most: int, room: Room | None = None) -> int:
        """Return how many runs could be taken now, without taking them; *most* is enough.

        Args:
            most: When to stop.
            room: Whether there is room for a run beside those that it was asked about before.
        """
        found: list[str] = []
        passed: list[str] = []
        self._shut_out = False
        while len(found) < most and len(passed) < _LOOK_AHEAD:
            if (following := self._next()) is None:
                break
            run, look = following
            # A suspect waits for what is found before it as well.
            if (look.deaths and found) or not self._company.join(_secluded(run, look)):
                self._wait_with(run, look)
                break
            fits = room is None or room(run, look.crowded)
            (found if fits else passed).append(run.fingerprint)
        self._company.leave()
        self._fresh.extendleft(reversed(found + passed))
        return len(found)

    def _next(self) -> tuple[StoredRun, _Look] | None:
        """Return the next run that could be taken and what it was found to be."""
        while True:
            for line in (self._fresh, self._held):
                for _ in range(len(line)):
                    fingerprint = line.popleft()
                    run, look = self._look_at(fingerprint)
                    if look.standing is _Standing.READY:
                        return run, look
                    self._put_by(fingerprint, look)
            if not self._find_more():
                return self._next_suspect()

    def _next_suspect(self) -> tuple[StoredRun, _Look] | None:
        """Return the suspect with the fewest deaths."""
        while self._suspects:
            fingerprint = min(self._suspects, key=self._suspects.__getitem__)
            del self._suspects[fingerprint]
            run, look = self._look_at(fingerprint)
            if look.standing in (_Standing.READY, _Standing.SUSPECT):
                return run, look
            self._put_by(fingerprint, look)
        return None

    def _put_by(self, fingerprint: str, look: _Look) -> None:
        """Remember a run that cannot be taken now and may be later."""
        if look.standing is _Standing.SUSPECT:
            self._suspect(fingerprint, look)
        elif look.standing is _Standing.HELD:
            self._held.append(fingerprint)

    def _suspect(self, fingerprint: str, look: _Look) -> None:
        """Remember a suspect; the first of equals stays first, so that its wait can end."""
        rank = self._ranks.setdefault(fingerprint, len(self._ranks))
        self._suspects[fingerprint] = look.deaths, rank

    def _find_more(self) -> bool:
        """Look for runs that were added meanwhile, unless the runs were named."""
        if self._named or not self._has_more():
            return False
        self._fresh.extend(run for run in pending_in(self._store, None) if run not in self._seen)
        self._seen.update(self._fresh)
        return bool(self._fresh)

    def _has_more(self) -> bool:
        """Whether the index may know of runs to take that were not seen; few are looked at here."""
        others = [run for run in self._store.runs() if run.fingerprint not in self._seen]
        return len(others) > _SHORT_LIST or any(map(self._is_free, others))

    def _is_free(self, run: StoredRun) -> bool:
        try:
            return self._look(run).standing not in (_Standing.OVER, _Standing.HELD)
        except StoreError:
            return False  # damaged: the index leaves it out as well

    def _look_at(self, fingerprint: str) -> tuple[StoredRun, _Look]:
        run = self._store.get(fingerprint)
        if run is None:
            raise StoreError(
                f"run {fingerprint} is not in store {self._store.root}. Add it first, with: "
                "normbench run ... --enqueue"
            )
        try:
            look = self._look(run)
        except StoreError as error:
            # One damaged file must not keep the others from being trained.
            _log.warning("run %s is left out: %s", fingerprint[:8], error)
            return run, _Look(_Standing.OVER)
        if look.standing is _Standing.STRUCK:
            set_aside(run, look.newest, look.verdict)
            self.struck.append(fingerprint)
        return run, look

    def _look(self, run: StoredRun) -> _Look:
        done = os.path.exists(f"{run.path}/{RESULT_FILE}")  # noqa: PTH110 - lists may be long
        if (done and not run.lacking()) or is_cancelled(run.path):
            return _Look(_Standing.OVER)
        attempts, now = list_attempts(run.path), self._store.now()
        newest = newest_own(attempts)
        if newest is None:
            return _Look(_Standing.READY, for_series=done, alone=done)
        if is_held(attempts, now):
            return _Look(_Standing.HELD)
        if self._is_spent(newest):
            return _Look(_Standing.OVER)
        deaths = count_deaths(attempts, now)
        alone = bool(deaths.total) or done or must_be_alone(attempts, now)
        standing = _Standing.SUSPECT if deaths.total else _Standing.READY
        if deaths.verdict:
            standing = _Standing.STRUCK
        return _Look(
            standing,
            newest.number,
            deaths.total,
            for_series=done,
            alone=alone,
            crowded=must_have_gpu_alone(attempts),
            verdict=deaths.verdict,
        )

    def _is_spent(self, newest: AttemptFolder) -> bool:
        """Whether the run ended badly, and is not to be tried again by this queue."""
        outcome = newest.ended()
        if outcome in (None, RunState.INTERRUPTED):
            return False
        if outcome not in FINAL and not self._named:
            return True
        try:
            return (newest.path / OUTCOME_FILE).stat().st_mtime >= self._since
        except OSError:
            return False


def pending_in(store: RunStore, fingerprints: Iterable[str] | None) -> list[str]:
    """Return those of the runs, or of all in the store, that may need work, in order.

    All are in the order of the index, without those that others hold. Of a long list the index
    strikes out what is done; a short one is returned as it is, since each run is looked at anyway.
    """
    given = None if fingerprints is None else list(dict.fromkeys(fingerprints))
    if given is not None and len(given) <= _SHORT_LIST:
        return given
    # A store of its own: what an index of many runs remembers is not worth its memory here.
    index = RunStore.open(store.root).index()
    if given is None:
        return index.claimable()
    known = index.runs
    return [run for run in given if run not in known or known[run].claimable or known[run].held]


def _secluded(run: StoredRun, look: _Look) -> str:
    """Return how a run that is to be alone is called among those that wait; empty for others."""
    return f"{run.fingerprint} {look.newest}" if look.deaths else ""


def set_aside(run: StoredRun, newest: int, verdict: str) -> None:
    """Close the run as ``killed`` for what the *verdict* says, unless somebody else was faster."""
    attempt = run.claim({}, newest=newest) or run.claim({}, for_series=True, newest=newest)
    if attempt is None:
        return
    death = noted_death(list_attempts(run.path))
    message = f"its worker {death or 'died'}, {verdict}, without a newer checkpoint"
    with attempt:
        attempt.close(RunState.KILLED, message)
    _log.warning("run %s is set aside: %s", run.fingerprint[:8], message)
