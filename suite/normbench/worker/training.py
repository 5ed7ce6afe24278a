"""What a worker does with a claimed run: train it, and close its attempt whatever happens."""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from normbench.engine import checkpoint
from normbench.engine.session import open_session
from normbench.engine.trainer import CHECKPOINT_SECONDS, Trainer
from normbench.environment import environment
from normbench.errors import LeaseLostError, NormbenchError, RunCancelledError, StoreError
from normbench.observation import open_observing, publish_series
from normbench.plugins import Catalogue
from normbench.rungs import AUTO, Rung
from normbench.store import Attempt, RunState, RunStore, StoredRun
from normbench.store.queue import Queue
from normbench.worker.limits import (
    TimeLimit,
    TimeLimitError,
    is_out_of_memory,
    lift_memory_limit,
    limit_memory,
    out_of_memory_message,
)
from normbench.worker.predictions import Predictor
from normbench.worker.reports import Reporter
from normbench.worker.sink import AttemptSink, peak_memory

LEASE_SECONDS = 60.0
_log = logging.getLogger("normbench.worker")


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How a worker treats its runs.

    Attributes:
        checkpoint_seconds: Least time between checkpoints.
        lease_seconds: A run whose worker has not stirred for so long may be taken over.
        keep_weights: Whether the final weights stay beside the result.
        time_limit: Seconds that a run may take; None without limit.
        memory_limit: Bytes that this process may hold, for messages; see
            :func:`normbench.worker.limits.limit_memory`.
        until: Unix seconds at which the machine goes away; None if it stays.
        shared: Whether other runs share the device, so that timings do not count.
        engine: How steps are carried out; see :mod:`normbench.rungs`.
    """

    checkpoint_seconds: float = CHECKPOINT_SECONDS
    lease_seconds: float = LEASE_SECONDS
    keep_weights: bool = False
    time_limit: float | None = None
    memory_limit: int | None = None
    until: float | None = None
    shared: bool = False
    engine: str = AUTO


class Worker:
    """Trains runs of one store on one device.

    Args:
        store: Where specs come from and results go.
        catalogue: Knows the components that specs name.
        device: Where to train.
        folder: Data folder.
        options: How to treat runs.
        reporter: Tells the launcher.
        words: Single fields of *options*.

    Attributes:
        unclean: Whether a run failed in a way that may have harmed this process; a launcher
            replaces it then.
    """

    def __init__(
        self,
        store: RunStore,
        catalogue: Catalogue,
        device: torch.device,
        folder: Path,
        options: WorkerOptions | None = None,
        reporter: Reporter | None = None,
        **words: Any,
    ) -> None:
        self._store, self._catalogue = store, catalogue
        self._device, self._folder = device, folder
        self._options = options or WorkerOptions(**words)
        self._reporter = reporter or Reporter()
        self._environment = environment(device, catalogue)
        self._predictor = Predictor(store)
        self.unclean = False

    def train(self, run: StoredRun) -> RunState | None:
        """Train *run* unless it is done or held elsewhere (then None); return its outcome.

        A run that has its result and lacks series that were asked for is trained again for them.
        """
        lease = self._options.lease_seconds
        attempt = run.claim(self._environment, lease_seconds=lease)
        outcome = self._try(run, attempt) if attempt else None
        return self._observe(run) or outcome

    def take(self, queue: Queue) -> RunState | None:
        """Train the next run of *queue*; return its outcome, INTERRUPTED if it was let go of.

        None if there is none that could be taken now.
        """
        lease = self._options.lease_seconds
        taken = queue.take(self._environment, lease_seconds=lease, accept=self._fits)
        if taken is None:
            return None
        run, attempt = taken
        outcome = self._try(run, attempt)
        return self._observe(run) or outcome or RunState.INTERRUPTED

    def _fits(self, run: StoredRun) -> bool:
        """Whether *run* would end before the machine goes away, as far as is known."""
        if self._options.until is None:
            return True
        seconds = self._predictor.seconds(run)
        return time.time() + (seconds or 0.0) < self._options.until

    def _observe(self, run: StoredRun) -> RunState | None:
        """Train *run* again if it has its result and lacks series."""
        if not run.lacking():
            return None
        lease = self._options.lease_seconds
        attempt = run.claim(self._environment, lease_seconds=lease, for_series=True)
        return self._try(run, attempt) if attempt else None

    def _try(self, run: StoredRun, attempt: Attempt) -> RunState | None:
        """Train a claimed run; return how that ended, None if it was let go of."""
        # Entered at once: who stops before leaves an attempt that looks like a worker's death.
        with attempt:
            limit = TimeLimit(self._options.time_limit, _spent(attempt))
            began_at = len(attempt.points)
            self._reporter.tell(
                "took",
                run=run.fingerprint,
                attempt=str(attempt.path),
                began=limit.began,
                ends=limit.ends,
            )
            outcome, message = self._classified(run, attempt, limit)
        seconds = time.monotonic() - limit.began
        if outcome in (RunState.FINISHED, RunState.DIVERGED):
            self._predictor.learn(run, run.spec.epochs - max(0, began_at - 1), seconds)
        self._reporter.tell(
            "ended",
            run=run.fingerprint,
            outcome=str(outcome or RunState.INTERRUPTED),
            message=message,
            seconds=seconds,
            peak_memory=peak_memory(self._device),
        )
        return outcome

    def _classified(
        self, run: StoredRun, attempt: Attempt, limit: TimeLimit
    ) -> tuple[RunState | None, str]:
        """Train, and close the attempt if that fails; return its outcome and the reason."""
        try:
            return self._attempt(run, attempt, limit), ""
        except LeaseLostError as lost:
            _log.warning("%s", lost)
            return None, str(lost)
        except RunCancelledError as cancelled:
            _log.warning("%s", cancelled)
            attempt.close(RunState.INTERRUPTED, "cancelled")
            return None, "cancelled"
        except StoreError:
            raise
        except TimeLimitError as error:
            # Where the time happened to be over says nothing.
            return _close(attempt, RunState.TIMED_OUT, str(error), trace=False)
        except NormbenchError as error:
            return _close(attempt, RunState.FAILED, str(error))
        except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything
            self.unclean = True
            if is_out_of_memory(error):
                lift_memory_limit()
                words = out_of_memory_message(error, self._options.memory_limit)
                return _close(attempt, RunState.OUT_OF_MEMORY, words)
            return _close(attempt, RunState.FAILED, _in_a_line(error))
        except (KeyboardInterrupt, SystemExit):
            attempt.close(RunState.INTERRUPTED, "stopped by a signal")
            raise

    def _attempt(self, run: StoredRun, attempt: Attempt, limit: TimeLimit) -> RunState:
        _log.info("%s: attempt %d", run.fingerprint[:8], attempt.number)
        session = open_session(
            run.spec, self._catalogue, self._folder, self._device, self._options.engine
        )
        if attempt.for_series and (result := run.result()):
            # Its weights must become those of the result again.
            session.loop.keep(result.get("engine", Rung.EAGER))
        observing = open_observing(run, attempt, session, self._catalogue)
        trainer = Trainer(
            session,
            AttemptSink(attempt, limit, run.spec.epochs, self._device),
            checkpoint_seconds=self._options.checkpoint_seconds,
            observing=observing,
        )
        # Only now: a library that is first imported beyond the limit may wait for memory for ever.
        limit_memory(self._options.memory_limit, self._device)
        try:
            result = trainer.run(attempt.checkpoint, attempt.points)
        finally:
            lift_memory_limit()
        publish_series(run, attempt, observing.watches, result)
        if attempt.for_series:
            attempt.close(RunState(result["outcome"]), "trained again for its series")
            return RunState(result["outcome"])
        if self._options.keep_weights:
            _keep(trainer.network, attempt.path / "weights.pt")
        attempt.publish({**result, "shared": self._options.shared})
        _log.info("%s: %s, score %s", run.fingerprint[:8], result["outcome"], result["score"])
        return RunState(result["outcome"])


def _spent(attempt: Attempt) -> float:
    """Return the seconds up to the checkpoint that *attempt* goes on from."""
    last = attempt.points[-1] if attempt.points else {}
    return float(last.get("train_seconds", 0.0)) + float(last.get("evaluation_seconds", 0.0))


def _in_a_line(error: Exception) -> str:
    """Return the kind of *error* and the first line of what it says; the traceback has the rest."""
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__


def _keep(network: nn.Module, path: Path) -> None:
    try:
        checkpoint.write(path, network.state_dict())
    except OSError as error:
        raise StoreError(
            f"the final weights could not be written to {path}: {error.strerror}. Make room, or "
            "leave out --keep-weights, and give the same command again."
        ) from error


def _close(
    attempt: Attempt, outcome: RunState, message: str, *, trace: bool = True
) -> tuple[RunState, str]:
    _log.error("%s: %s", outcome, message)
    attempt.close(outcome, message, traceback.format_exc() if trace else "")
    return outcome, message
