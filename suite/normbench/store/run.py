"""A run in the store: its spec, its state, and what its attempts left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.errors import DamagedFileError, UsageError
from normbench.specs import ComponentSpec, RunSpec
from normbench.store import series
from normbench.store.attempt import Attempt
from normbench.store.claims import claim, is_held
from normbench.store.files import (
    explain,
    explained,
    is_gone,
    open_folder,
    read_bytes,
    read_json,
    to_json,
    write_once,
)
from normbench.store.folders import (
    CANCEL_FILE,
    ENVIRONMENT_FILE,
    FINAL,
    RESULT_FILE,
    SPEC_FILE,
    AttemptFolder,
    AttemptInfo,
    RunState,
    is_cancelled,
    list_attempts,
    outcome_in,
)
from normbench.store.journal import Point, read_points
from normbench.store.leases import LEASE_SECONDS, FileClock
from normbench.store.proofs import Proof, Scoring, read_result

if TYPE_CHECKING:
    from normbench.series import Series

_TRIES = 5


def read_spec(path: Path) -> RunSpec:
    """Read the spec of the run in the folder *path*.

    Raises:
        StoreError: If the file is missing or damaged, or another run's.
    """
    file = path / SPEC_FILE
    data = read_bytes(file)
    if data is None:
        raise DamagedFileError(f"{file} is missing. Add the run again, or delete {path}.", file)
    try:
        content = json.loads(data.decode())
        spec = RunSpec.from_content(content)
        proof = Proof.of(spec, content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(
            f"{file} is not a run spec that this version reads ({type(error).__name__}: {error}). "
            f"Restore it from a backup, or delete {path} and add the run again.",
            file,
        ) from error
    proof.check(spec.seed, path)
    return spec


class StoredRun:
    """A run in the store. Everything is read from its files at the time of asking.

    Reading never waits for writers: what they rename or delete meanwhile is looked for again, or
    taken as gone.

    Args:
        path: Folder of the run.
        clock: Clock of the file system it is on.
        known: Gives its spec, where that was read before.
    """

    def __init__(
        self, path: Path, clock: FileClock, known: Callable[[], RunSpec] | None = None
    ) -> None:
        self.path = path
        self.clock = clock
        self._known = known

    @property
    def fingerprint(self) -> str:
        """The run's 32 hexadecimal digits."""
        return self.path.name

    @cached_property
    def spec(self) -> RunSpec:
        """What the run is; read once.

        Raises:
            StoreError: If the file is missing or damaged.
        """
        return self._known() if self._known else read_spec(self.path)

    def state(self) -> RunState:
        """Return the state: from the result, else a live attempt, else the mark, else the newest.

        A run that was cancelled while it trains is running until its worker has let go of it.
        """
        state = self._state()
        if state in FINAL or state is RunState.RUNNING or not is_cancelled(self.path):
            return state
        return RunState.CANCELLED

    def _state(self) -> RunState:
        """Return the state, leaving the mark of a cancelled run aside."""
        state = RunState.PENDING
        for _ in range(_TRIES):
            published = read_result(self.path)
            if published is not None:
                return outcome_in(published, self.path / RESULT_FILE)
            attempts = list_attempts(self.path)
            if not attempts:
                return RunState.PENDING
            state = attempts[-1].outcome(self.clock.now())
            if attempts[-1].path.exists():
                return state
        return state

    def result(self) -> dict[str, Any] | None:
        """Return the published result, or None.

        Raises:
            StoreError: If it is damaged, another run's, or has a score that contradicts its own
                numbers.
        """
        there = (self.path / RESULT_FILE).exists()
        return read_result(self.path, Scoring.of(self.spec)) if there else None

    def points(self) -> list[Point]:
        """Return the curve of the published attempt, else of the newest one."""
        for _ in range(_TRIES):
            shown = self._shown()
            points = read_points(shown.path) if shown else []
            if points or shown is None or shown.path.exists():
                return points
        return []

    def environment(self) -> dict[str, Any] | None:
        """Return where the published attempt ran, else the newest one; None before the first."""
        for _ in range(_TRIES):
            shown = self._shown()
            environment = read_json(shown.path / ENVIRONMENT_FILE) if shown else None
            if environment is not None or shown is None or shown.path.exists():
                return environment
        return None

    def attempts(self) -> list[AttemptInfo]:
        """Return what is known of the attempts, the newest last, merged ones before others."""
        now = self.clock.now()
        published = read_bytes(self.path / RESULT_FILE)
        return [AttemptInfo.of(attempt, now, published) for attempt in list_attempts(self.path)]

    def ask(self, observers: Iterable[ComponentSpec]) -> None:
        """Ask that the run be observed; an observer asked for before is asked for anew.

        Raises:
            StoreError: If the store cannot be written.
        """
        for observer in observers:
            series.ask(self.path, observer)

    def asked(self) -> list[ComponentSpec]:
        """Return the observers that were asked for."""
        return series.asked(self.path)

    def observed(self) -> dict[str, dict[str, Any]]:
        """Return what is said of each series that the result came with or got later.

        By observer: ``observer`` as it was asked for, ``bytes`` and ``weights_sha256``,
        ``attempt``, ``seconds`` that observing took, and their ``share`` of the training time.
        """
        return series.declared(self.path)

    def lacking(self) -> list[ComponentSpec]:
        """Return the observers that were asked for and whose series a run with a result lacks."""
        return series.lacking(self.path)

    def series(self, observer: str) -> Series:
        """Return the arrays that *observer* left.

        Raises:
            UsageError: If there are none.
            StoreError: If they cannot be read.
        """
        # numpy is needed for nothing else in the store.
        from normbench.series import read_series

        there = self.observed()
        if observer not in there:
            held = f"It has those of {', '.join(sorted(there))}." if there else "It has none."
            raise UsageError(
                f"run {self.fingerprint[:8]} has no series of observer {observer!r}. {held} Ask "
                f"for it with: normbench run ... --observe {observer}"
            )
        return read_series(series.series_path(self.path, observer))

    def claim(
        self,
        environment: Mapping[str, Any],
        *,
        lease_seconds: float = LEASE_SECONDS,
        for_series: bool = False,
        newest: int | None = None,
    ) -> Attempt | None:
        """Claim the run for this process.

        A run whose worker is dead, or has shown no heartbeat for its lease, is taken over. The
        attempt continues from the newest checkpoint of earlier ones. Enter its ``with`` block at
        once: the heartbeat starts there.

        Args:
            environment: Versions, hardware and the like, recorded with the attempt.
            lease_seconds: Others may take the run over after so long without a heartbeat.
            for_series: Claim a run that has its result, for the series that it lacks.
            newest: Number of the newest attempt (0 for none) that the decision to claim rests on;
                with a newer one the run is left alone.

        Returns:
            The attempt; None if the run is done, cancelled, or held elsewhere.

        Raises:
            StoreError: If the store cannot be written.
        """
        if not lease_seconds > 0:
            raise UsageError(f"a lease of {lease_seconds} seconds is too short, give more than 0.")
        wanted = self.lacking() if for_series else None
        if not wanted and (for_series or (self.path / RESULT_FILE).exists()):
            return None
        if is_cancelled(self.path) or is_held(list_attempts(self.path), self.clock.now()):
            return None
        return claim(self.path, environment, lease_seconds, wanted, newest)

    def cancel(self) -> bool:
        """Mark the run so that nobody trains it, until :meth:`readmit`.

        A worker that trains it lets go of it at its next check. A result beats the mark, whichever
        comes first; of a run that has one, only training again for series can be cancelled.

        Returns:
            Whether the run is marked now; False if it is done.

        Raises:
            StoreError: If the store cannot be written.
        """
        if (self.path / RESULT_FILE).exists() and not self.lacking():
            return False
        with explained("cancel", self.path), open_folder(self.path) as folder:
            write_once(CANCEL_FILE, to_json({"cancelled": time.time()}), folder=folder)
        return True

    def readmit(self) -> bool:
        """Take back that the run was cancelled; whether it was.

        Raises:
            StoreError: If the store cannot be written.
        """
        mark = self.path / CANCEL_FILE
        # A read-only disk refuses to remove even what is not there.
        if not mark.exists():
            return False
        try:
            mark.unlink()
        except OSError as error:
            if is_gone(error):
                return False
            raise explain("readmit", self.path, error) from error
        return True

    def _shown(self) -> AttemptFolder | None:
        """Return the published attempt, else the newest one."""
        attempts = list_attempts(self.path)
        published = read_bytes(self.path / RESULT_FILE)
        if published is not None:
            attempts = [attempt for attempt in attempts if attempt.published(published)]
        return attempts[-1] if attempts else None
