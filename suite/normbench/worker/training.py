"""What a worker does with a claimed run: train it, and close its attempt whatever happens."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from normbench.engine.capturing import CAPTURES, CaptureBrokenError
from normbench.engine.meter import EnergyUse, Meter
from normbench.engine.pack import Member, Pack, PackBrokenError, can_branch
from normbench.engine.recording import PlainRecorder
from normbench.engine.session import open_session
from normbench.engine.sums import PendingSums
from normbench.engine.trainer import CHECKPOINT_SECONDS, Epoch, Trainer
from normbench.environment import environment
from normbench.errors import LeaseLostError, NormbenchError, RunCancelledError, StoreError
from normbench.launchers.seating import GpuRoom
from normbench.observation import open_observing, publish_series
from normbench.pack_key import pack_key
from normbench.plugins import Catalogue
from normbench.rungs import AUTO, Rung
from normbench.store import Attempt, RunState, RunStore, StoredRun
from normbench.store.folders import FINAL
from normbench.store.queue import Queue
from normbench.store.strikes import captures_broke
from normbench.worker.claimed import Training
from normbench.worker.closing import close, in_a_line, is_device_error, keep_weights, spent
from normbench.worker.limits import (
    TimeLimit,
    TimeLimitError,
    is_out_of_memory,
    lift_memory_limit,
    limit_memory,
    out_of_memory_message,
)
from normbench.worker.packing import Packing
from normbench.worker.predictions import Predictor
from normbench.worker.reports import Reporter
from normbench.worker.sink import AttemptSink, forget_memory, peak_memory

_T = TypeVar("_T")
Course = Generator[Epoch, PendingSums, _T]
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
        packing: Says how many runs to train at once; one, by default.
        room: Says which runs fit on a GPU that other workers share; None if none does.
        words: Single fields of *options*.

    Attributes:
        unclean: Whether a run failed in a way that may have harmed this process; a launcher
            replaces it then.
        broken: Whether the device serves this process no longer.
    """

    def __init__(
        self,
        store: RunStore,
        catalogue: Catalogue,
        device: torch.device,
        folder: Path,
        options: WorkerOptions | None = None,
        reporter: Reporter | None = None,
        packing: Packing | None = None,
        room: GpuRoom | None = None,
        **words: Any,
    ) -> None:
        self._store, self._catalogue = store, catalogue
        self._device, self._folder = device, folder
        self._options = options or WorkerOptions(**words)
        self._reporter = reporter or Reporter()
        self._environment = environment(device, catalogue)
        self._meter = Meter.of(device)
        self._predictor = Predictor(store)
        self._packing = packing or Packing("off", device)
        self._room = room
        self.unclean = self.broken = False

    def train(self, run: StoredRun) -> RunState | None:
        """Train *run* unless it is done or held elsewhere (then None); return its outcome.

        A run that has its result and lacks series that were asked for is trained again for them.
        """
        lease = self._options.lease_seconds
        attempt = run.claim(self._environment, lease_seconds=lease)
        outcome = self._try(run, attempt) if attempt else None
        return self._observe(run) or outcome

    def take(self, queue: Queue) -> Sequence[RunState]:
        """Train the next run of *queue*, or the next few as a pack; return their outcomes.

        A run that was let go of is INTERRUPTED. Empty if there is none that could be taken now.
        """
        with ExitStack() as attempts:
            # Entered at once: who stops before leaves an attempt that looks like a worker's death.
            training = [
                Training(run, attempts.enter_context(attempt))
                for run, attempt in self._claim(queue)
            ]
            for each in training:
                self._prepare(each, queue)
            self._train(training)
        for each in training:
            if each.alone_next:
                queue.give_back(each.run)
        return [
            self._observe(each.run) or each.outcome or RunState.INTERRUPTED for each in training
        ]

    def _prepare(self, training: Training, queue: Queue) -> None:
        """Say in what company a run trains, and what its progress means for the others."""
        if queue.secluded:
            with suppress(LeaseLostError):
                training.attempt.note_pack(1, alone=True)
            training.kept = queue.admit_others
        if (room := self._room) is not None:
            run = training.run
            # Not by way of *training*: it would keep itself, and the memory of its run, alive.
            training.got_on = lambda: room.saw_peak(run, peak_memory(self._device))

    def _claim(self, queue: Queue) -> Iterator[tuple[StoredRun, Attempt]]:
        """Claim the next run, and then those that are to be trained beside it."""
        claims: dict[str, Any] = {
            "environment": self._environment,
            "lease_seconds": self._options.lease_seconds,
        }
        room = self._room.enter if self._room else None
        first = queue.take(**claims, accept=self._fits, room=room)
        if first is None:
            if self._room is not None:
                self._room.leave()
            return
        yield first
        spec = first[0].spec
        most = 1 if queue.alone else self._packing.most(spec, self._options.engine)
        if most > 1:
            kind = pack_key(spec)
            yield from queue.take_beside(
                lambda run: pack_key(run.spec) == kind and self._fits(run, most),
                **claims,
                most=most - 1,
                peers=self._packing.peers,
            )

    def _fits(self, run: StoredRun, pack: int = 1) -> bool:
        """Whether *run* would end before the machine goes away, as far as is known.

        Args:
            run: The run.
            pack: Runs that share the device's time with it, itself included.
        """
        if self._options.until is None:
            return True
        seconds = self._predictor.seconds(run)
        return time.time() + (seconds or 0.0) * pack < self._options.until

    def _observe(self, run: StoredRun) -> RunState | None:
        """Train *run* again if it has its result and lacks series."""
        if not run.lacking():
            return None
        lease = self._options.lease_seconds
        attempt = run.claim(self._environment, lease_seconds=lease, for_series=True)
        return self._try(run, attempt) if attempt else None

    def _try(self, run: StoredRun, attempt: Attempt) -> RunState | None:
        """Train a claimed run; return how that ended, None if it was let go of."""
        with attempt:
            training = Training(run, attempt)
            self._train([training])
        return training.outcome

    def _train(self, together: Sequence[Training]) -> None:
        """Train claimed runs in this process, each to its own outcome."""
        members = []
        for each in together:
            each.pack, each.first = len(together), each is together[0]
            with suppress(LeaseLostError):
                if each.pack > 1:
                    each.attempt.note_pack(each.pack)
            members.append(Member(self._course(each), each.find_loop))
        Pack(members).run()

    def _course(self, training: Training) -> Course[None]:
        """Bring a claimed run to its outcome, and tell the launcher."""
        run, attempt = training.run, training.attempt
        limit = TimeLimit(self._options.time_limit, spent(attempt), training.pack)
        began_at = len(attempt.points)
        self._reporter.tell(
            "took",
            run=run.fingerprint,
            attempt=str(attempt.path),
            began=limit.began,
            ends=limit.ends,
        )
        with ExitStack() as leaving:
            leaving.push(attempt.__exit__)
            training.outcome, message = yield from self._classified(training, limit)
        seconds = time.monotonic() - limit.began
        self.unclean = self.unclean or bool(CAPTURES.over)
        if training.outcome in FINAL and training.pack == 1:
            self._predictor.learn(run, run.spec.epochs - max(0, began_at - 1), seconds)
            branches = can_branch(training.find_loop())
            self._packing.saw(run.spec, peak_memory(self._device), can_branch=branches)
        self._reporter.tell(
            "ended",
            run=run.fingerprint,
            outcome=str(training.outcome or RunState.INTERRUPTED),
            message=message,
            seconds=seconds,
            peak_memory=peak_memory(self._device) // training.pack,
        )

    def _classified(
        self, training: Training, limit: TimeLimit
    ) -> Course[tuple[RunState | None, str]]:
        """Train, and close the attempt if that fails; return its outcome and the reason."""
        attempt = training.attempt
        try:
            return (yield from self._attempt(training, limit)), ""
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
            return close(attempt, RunState.TIMED_OUT, str(error), trace=False)
        except (PackBrokenError, CaptureBrokenError) as error:
            return self._broken(training, error)
        except NormbenchError as error:
            return close(attempt, RunState.FAILED, str(error))
        except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything
            self.unclean = True
            return self._failed(training, error)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            attempt.close(RunState.INTERRUPTED, "stopped by a signal")
            raise

    def _broken(
        self, training: Training, error: PackBrokenError | CaptureBrokenError
    ) -> tuple[RunState | None, str]:
        """Let go of a run whose process is of no use any more, unless it captured nothing."""
        self.broken = self.unclean = True
        if isinstance(error, PackBrokenError):
            return None, training.leave_pack(str(error))
        if training.plainly:
            return close(training.attempt, RunState.FAILED, str(error))
        return None, training.leave_process(str(error))

    def _failed(self, training: Training, error: Exception) -> tuple[RunState | None, str]:
        """Close an attempt that *error* ended."""
        self.broken = self.broken or is_device_error(error)
        memory = is_out_of_memory(error)
        if memory:
            lift_memory_limit()
        if training.pack > 1 and (memory or self.broken):
            # In a pack another run may be to blame; alone it counts.
            return None, training.leave_pack(in_a_line(error))
        if memory and self._room is not None and self._room.lacked(training.run):
            return None, training.leave_gpu(in_a_line(error))
        if memory:
            words = out_of_memory_message(error, self._options.memory_limit)
            return close(training.attempt, RunState.OUT_OF_MEMORY, words)
        return close(training.attempt, RunState.FAILED, in_a_line(error))

    def _attempt(self, training: Training, limit: TimeLimit) -> Course[RunState]:
        run, attempt = training.run, training.attempt
        if training.first:
            # What a kind of run takes is told by its own peak.
            forget_memory(self._device)
        _log.info("%s: attempt %d", run.fingerprint[:8], attempt.number)
        training.plainly = captures_broke(run.path)
        engine = Rung.EAGER.value if training.plainly else self._options.engine
        session = open_session(run.spec, self._catalogue, self._folder, self._device, engine)
        training.loop = session.loop
        if attempt.for_series and (result := run.result()):
            # Its weights must become those of the result again.
            session.loop.keep(result.get("engine", Rung.EAGER))
        observing = open_observing(run, attempt, session, self._catalogue)
        trainer = Trainer(
            session,
            AttemptSink(
                attempt,
                limit,
                run.spec.epochs,
                self._device,
                got_on=training.got_on,
                kept=training.kept,
            ),
            checkpoint_seconds=self._options.checkpoint_seconds,
            observing=observing,
            recorder=PlainRecorder() if training.plainly else None,
            energy=EnergyUse(self._meter, training.pack),
        )
        # Only now: a library that is first imported beyond the limit may wait for memory for ever.
        limit_memory(self._options.memory_limit, self._device)
        try:
            result = yield from trainer.course(attempt.checkpoint, attempt.points)
        finally:
            lift_memory_limit()
        publish_series(run, attempt, observing.watches, result)
        if attempt.for_series:
            attempt.close(RunState(result["outcome"]), "trained again for its series")
            return RunState(result["outcome"])
        if self._options.keep_weights:
            keep_weights(trainer.network, attempt.path / "weights.pt")
        attempt.publish({**result, **self._company(training, result)})
        _log.info("%s: %s, score %s", run.fingerprint[:8], result["outcome"], result["score"])
        return RunState(result["outcome"])

    def _company(self, training: Training, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return what of a result the other runs on the device have a part in."""
        return {
            "shared": self._options.shared or training.pack > 1,
            "pack": training.pack,
            "peak_memory_mb": round(result["peak_memory_mb"] / training.pack, 1),
        }
