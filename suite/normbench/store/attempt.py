"""One try at a run: its journal, its checkpoint, and its result, for as long as its lease holds.

Everything an attempt writes goes through a descriptor of its own folder. So a worker that was
stopped, taken over and woken reaches nothing but the folder that was set aside. The one write that
leaves the folder, publishing, links by path; a folder that was set aside is no longer there.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from normbench.errors import LeaseLostError, RunCancelledError, StoreError
from normbench.store import checkpoints, series
from normbench.store.checkpoints import Checkpoint
from normbench.store.files import explain, is_gone, open_folder, sync_folder, to_json, write_whole
from normbench.store.folders import (
    ATTEMPTS_FOLDER,
    CLOSED,
    FINAL,
    OUTCOME_FILE,
    PACK_FILE,
    RESULT_FILE,
    TRACEBACK_FILE,
    RunState,
    is_cancelled,
    list_attempts,
)
from normbench.store.journal import JOURNAL_FILE, Journal, Point, read_points
from normbench.store.leases import HEARTBEAT_FILE, Heartbeat

RESULT_SCHEMA = 1
_log = logging.getLogger(__name__)


class Attempt:
    """A claimed run. Made by :meth:`normbench.store.run.StoredRun.claim`.

    Use it in a ``with`` block, which keeps the lease alive. Leaving the block without
    :meth:`publish` or :meth:`close` lets go of the run as interrupted.

    Every method raises :class:`LeaseLostError` once another worker has taken the run over, and
    :class:`StoreError` if something cannot be written; the store then stays as it was.

    Args:
        run: Folder of the run.
        path: Folder of the attempt.
        number: Number of the attempt.
        lease_seconds: The run may be taken over after so long without a heartbeat.
        checkpoint: What to continue from, in the attempt's own folder.
        points: The curve up to that checkpoint, already in the attempt's own journal.
        for_series: The run has its result; this attempt trains it again for series alone.

    Raises:
        OSError: If the folder is gone or cannot be written.
    """

    def __init__(
        self,
        run: Path,
        path: Path,
        number: int,
        lease_seconds: float,
        checkpoint: Checkpoint | None,
        points: list[Point],
        *,
        for_series: bool = False,
    ) -> None:
        self.path = path
        self.number = number
        self.points = points
        self.for_series = for_series
        self.moments = read_points(path, series.SERIES_JOURNAL)
        self._moments: Journal | None = None
        self._run = run
        self._checkpoint = checkpoint
        self._lost = False
        self._open = True
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._journal = Journal(self._folder)
        except OSError:
            os.close(self._folder)
            raise
        self._heartbeat = Heartbeat(self._folder, lease_seconds, self._check_lease)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the run."""
        return self._run.name

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint: what to continue from, later what this attempt saved."""
        return self._checkpoint.file if self._checkpoint else None

    @property
    def checkpoint_epoch(self) -> int | None:
        """Epochs trained up to :attr:`checkpoint`; None if there is none."""
        return self._checkpoint.epoch if self._checkpoint else None

    def __enter__(self) -> Self:
        """Start the heartbeat."""
        self._heartbeat.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the run, as interrupted if it was neither published nor closed."""
        if not self._open:
            return
        if self._lost:
            # It is another worker's, who says how the run ends.
            self._end()
            return
        message = f"{kind.__name__}: {error}" if kind else "its worker left it"
        try:
            self.close(RunState.INTERRUPTED, message)
        except (LeaseLostError, StoreError) as trouble:
            if error is None:
                raise
            _log.warning("%s", trouble)

    def check(self) -> None:
        """Raise an error if the work on the run is to end.

        Raises:
            LeaseLostError: If another worker has taken the run over.
            RunCancelledError: If the run was cancelled. What was trained may still be written.
        """
        self._check_lease()
        if is_cancelled(self._run):
            raise RunCancelledError(f"{self} was cancelled. Readmit it with: normbench resume RUN")

    def _check_lease(self) -> None:
        if not self._open:
            raise StoreError(f"{self} has ended; claim the run again to go on with it.")
        if self._lost or not self._is_in_place():
            self._lost = True
            raise LeaseLostError(
                f"{self} lost its lease: another worker took the run over. What this one did since "
                "its last checkpoint is dropped; nothing else is to be done."
            )

    def note_pack(
        self, size: int, *, broken: bool = False, alone: bool = False, crowded: bool = False
    ) -> None:
        """Note in what company the run is trained, which says what its worker's death means.

        Args:
            size: How many runs its process trains.
            broken: Whether the run is to be trained alone next; if it was alone, capturing broke
                its process, and no other is to capture for it.
            alone: Whether nothing else trains on its machine, so that a death is a strike.
            crowded: Whether it lacked memory on a GPU that it shared.
        """
        content = {"size": size, "broken": broken, "alone": alone, "crowded": crowded}
        with self._writing(PACK_FILE):
            write_whole(PACK_FILE, to_json(content), folder=self._folder)

    def append(self, point: Mapping[str, Any]) -> None:
        """Append a curve point to the journal."""
        with self._writing(JOURNAL_FILE):
            self._journal.append(point)

    def append_moments(self, line: Mapping[str, Any]) -> None:
        """Append one line to the journal of series, whose first line names the ``observers``."""
        with self._writing(series.SERIES_JOURNAL):
            self._moments = self._moments or Journal(self._folder, series.SERIES_JOURNAL)
            self._moments.append(line)

    def save_checkpoint(self, write: Callable[[Path], None], *, epoch: int) -> None:
        """Replace the checkpoint.

        Args:
            write: Writes the new checkpoint to the path it is given.
            epoch: Epochs trained so far. An attempt that continues from this checkpoint keeps the
                journal up to here.
        """
        with self._writing("checkpoint"):
            self._journal.sync()
            if self._moments is not None:
                self._moments.sync()
            self._checkpoint = checkpoints.save(write, epoch, self.path, self._folder)

    def write_series(self, observer: str, data: bytes) -> None:
        """Write an observer's whole series into the attempt's own folder."""
        with self._writing(series.own_file(observer)):
            write_whole(series.own_file(observer), data, folder=self._folder)

    def publish_series(self, observer: str, declaration: Mapping[str, Any]) -> None:
        """Make the series that :meth:`write_series` wrote the run's.

        Args:
            observer: Name of the observer.
            declaration: What it is: at least ``observer``, as it was asked for, and the
                ``weights_sha256`` that the training ended in.
        """
        with self._writing(series.own_file(observer)):
            series.publish(self._run, self.path, observer, {**declaration, "attempt": self.number})

    def publish(self, result: Mapping[str, Any], *, keep: bool = False) -> bool:
        """Publish the result of the run and end the attempt.

        Schema, fingerprint and attempt number are filled in.

        Args:
            result: The result, with ``outcome`` ``finished`` or ``diverged``.
            keep: Whether the checkpoint stays.

        Returns:
            Whether this is now the run's result; False if it had one already.
        """
        content = {**result, "schema": RESULT_SCHEMA}
        content |= {"fingerprint": self.fingerprint, "attempt": self.number}
        if content.get("outcome") not in FINAL:
            raise StoreError(
                f"a result of {self} has the outcome {content.get('outcome')!r}, expected "
                f"{' or '.join(sorted(FINAL))}. Close the attempt with any other outcome."
            )
        data = to_json(content)
        with self._writing(RESULT_FILE):
            self._journal.sync()
            write_whole(RESULT_FILE, data, folder=self._folder)
        if not self._link_result():
            self.close(RunState.INTERRUPTED, "the run had a result already")
            return False
        self._tidy(keep=keep)
        self._end()
        return True

    def close(self, outcome: RunState, message: str = "", traceback: str = "") -> None:
        """End the attempt without a result and let go of the run.

        The run is let go of even if the outcome cannot be written; it then counts as interrupted.

        Args:
            outcome: FAILED, OUT_OF_MEMORY, TIMED_OUT, KILLED or INTERRUPTED; FINISHED or DIVERGED
                for an attempt at series, which never publishes a result.
            message: Why, in a line.
            traceback: Python's, if there is one.
        """
        allowed = CLOSED | FINAL if self.for_series else CLOSED
        if outcome not in allowed:
            raise StoreError(
                f"{self} cannot be closed as {outcome!r}, expected one of "
                f"{', '.join(sorted(allowed))}. Results are published instead."
            )
        content = {"outcome": str(outcome), "message": message, "ended": time.time()}
        try:
            with self._writing(OUTCOME_FILE):
                if traceback:
                    write_whole(TRACEBACK_FILE, traceback.encode(), folder=self._folder)
                write_whole(OUTCOME_FILE, to_json(content), folder=self._folder)
            if outcome in FINAL:
                checkpoints.discard(self.path)
        finally:
            self._end()

    def __str__(self) -> str:
        """Return run and number."""
        return f"attempt {self.number} of run {self.fingerprint}"

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Guard a write to the attempt's own folder."""
        self._check_lease()
        try:
            yield
        except LeaseLostError:
            raise
        except Exception as error:
            self._check_lease()
            if isinstance(error, OSError):
                raise explain("write", self.path / name, error) from error
            raise
        self._check_lease()

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._folder), self.path.stat())
        except OSError as error:
            if is_gone(error):
                return False
            raise explain("read", self.path, error) from error

    def _link_result(self) -> bool:
        published = self._run / RESULT_FILE
        try:
            # Makes a client of a network file system look names in this folder up anew.
            os.utime(self._run / ATTEMPTS_FOLDER)
            published.hardlink_to(self.path / RESULT_FILE)
        except FileExistsError:
            mine = os.stat(RESULT_FILE, dir_fd=self._folder)
            if os.path.samestat(mine, published.stat()):
                return True  # a network file system may repeat a request that succeeded
            self._check_lease()
            return False
        except OSError as error:
            self._check_lease()
            raise explain("publish", published, error) from error
        return True

    def _tidy(self, *, keep: bool) -> None:
        """Make the published result last, and delete the checkpoints that it makes needless."""
        try:
            with open_folder(self._run) as folder:
                sync_folder(folder)
            for attempt in list_attempts(self._run):
                if not keep or attempt.path != self.path:
                    checkpoints.discard(attempt.path)
        except (OSError, StoreError) as error:
            _log.warning("%s is published, but not all is tidy: %s", self, error)

    def _end(self) -> None:
        """Stop the heartbeat and let go of the lease."""
        if not self._open:
            return
        self._heartbeat.stop()
        self._open = False
        try:
            os.unlink(HEARTBEAT_FILE, dir_fd=self._folder)
        except OSError as error:
            _log.debug("the heartbeat of %s stays until it is stale: %s", self, error)
        self._journal.close()
        if self._moments is not None:
            self._moments.close()
        os.close(self._folder)
