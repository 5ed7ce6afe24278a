"""Training a session from start or checkpoint to its result."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from normbench.engine import checkpoint
from normbench.engine.checkpoint import Progress
from normbench.engine.loop import EpochSums, evaluate
from normbench.engine.observing import Observing
from normbench.engine.session import Session
from normbench.errors import UsageError
from normbench.schedules import epoch_factors, factor

RESULT_SCHEMA = 1
CHECKPOINT_SECONDS = 30.0
_FIRST_CHECKPOINT_SECONDS = 2.0
Point = dict[str, Any]


class Sink(Protocol):
    """Where the engine's output goes; the engine knows nothing of files."""

    def point(self, point: Point) -> None:
        """Take a curve point, once for each epoch."""
        ...

    def progress(self, epoch: int, step: int, steps: int) -> None:
        """Take note that *step* of the *steps* of *epoch* are done; about once a second."""
        ...

    def checkpoint(self, write: Callable[[Path], None], epoch: int) -> None:
        """Keep what *write* puts into the file it is given, in place of the last checkpoint."""
        ...


class Trainer:
    """Trains one session and reports to a sink.

    Args:
        session: What to train.
        sink: Where points, progress and checkpoints go.
        checkpoint_seconds: Least time between checkpoints.
        observing: What looks at the network meanwhile, of no effect on it.

    Attributes:
        network: The one whose weights are the result: it trains, or it holds the averages.
    """

    def __init__(
        self,
        session: Session,
        sink: Sink,
        *,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        observing: Observing | None = None,
    ) -> None:
        self._session, self._sink = session, sink
        self._observing = observing or Observing(session)
        self.network = session.network
        self._spec = session.spec
        self._metric = session.spec.problem.metric
        self._checkpoint_seconds = checkpoint_seconds
        self._progress = Progress()
        self._last: Point = {}

    def run(self, resume: Path | None = None, points: Sequence[Point] = ()) -> dict[str, Any]:
        """Train to the end and return the result.

        Args:
            resume: Checkpoint to go on from.
            points: Curve points up to that checkpoint.
        """
        if resume is None:
            start = self._evaluated(0)
            self._observing.begin()
            if not _finite(start):
                return self._result("diverged", 0)
            self._report(start)
        else:
            self._progress = checkpoint.restore(resume, self._session, self._observing)
            self._last = dict(points[-1]) if points else {}
        began = saved = time.monotonic()
        for epoch in range(self._progress.epoch + 1, self._spec.epochs + 1):
            bad_step = self._train_epoch(epoch)
            self._observing.end_epoch(bad_step)
            if bad_step is not None:
                return self._result("diverged", bad_step)
            last = epoch == self._spec.epochs
            # The first ones come early and each doubles the time, so that an attempt of any length
            # keeps about half of what it trained at least.
            gap = min(self._checkpoint_seconds, _FIRST_CHECKPOINT_SECONDS + saved - began)
            if not last and time.monotonic() - saved >= gap:
                self._sink.checkpoint(self._save, epoch)
                saved = time.monotonic()
        return self._result("finished", None)

    def _train_epoch(self, epoch: int) -> int | None:
        """Train and evaluate; return the step that diverged, counted from 1, if one did."""
        loop, steps = self._session.loop, self._session.source.steps
        factors = epoch_factors(self._spec.protocol.rules, epoch, self._spec.epochs, steps)
        started = time.perf_counter()
        sums = loop.run_epoch(
            epoch,
            factors,
            lambda step, total: self._sink.progress(epoch, step, total),
            self._observing.start_epoch(epoch),
        )
        elapsed = time.perf_counter() - started
        self._progress.train_seconds += elapsed - self._observing.epoch_seconds
        self._progress.gradient_evaluations = loop.gradient_evaluations
        self._progress.engine = loop.name if loop.decided else ""
        if sums.first_bad_step is not None:
            return (epoch - 1) * steps + sums.first_bad_step + 1
        self._progress.epoch = epoch
        point = self._evaluated(epoch, sums)
        if not self._finite_parameters() or not _finite(point):
            self._progress.epoch = epoch - 1
            return epoch * steps
        self._report(point)
        return None

    def _evaluated(self, epoch: int, sums: EpochSums | None = None) -> Point:
        """Return the curve point of *epoch*, with every part that is due."""
        rules, session = self._spec.protocol.rules, self._session
        point: Point = {"epoch": epoch, "step": epoch * session.source.steps}
        point["lr"] = self._rate(epoch)
        if sums is not None:
            point["train"] = sums.metrics
        if epoch % rules.evaluate_every == 0 or epoch == self._spec.epochs:
            self.network = self._judged_network(epoch)
            started = time.perf_counter()
            session.randomness.start_evaluation()
            for name, part in session.parts.items():
                point[name] = evaluate(
                    self.network,
                    session.task,
                    part,
                    precision=rules.precision,
                    device=session.device,
                )
            self._progress.evaluation_seconds += time.perf_counter() - started
        return point

    def _judged_network(self, epoch: int) -> nn.Module:
        """Return the network to evaluate after *epoch*.

        Averaged weights are of no use before their statistics are estimated, so that is training.
        """
        averaged = self._session.averaged
        if averaged is None or epoch == 0:
            return self._session.network
        started = time.perf_counter()
        averaged.refresh()
        self._progress.train_seconds += time.perf_counter() - started
        return averaged.network

    def _rate(self, epoch: int) -> float:
        """Return the learning rate that the step after *epoch* starts from."""
        base = self._spec.learning_rate
        return base * factor(self._spec.protocol.rules, epoch, self._spec.epochs)

    def _report(self, point: Point) -> None:
        point["train_seconds"] = round(self._progress.train_seconds, 6)
        point["evaluation_seconds"] = round(self._progress.evaluation_seconds, 6)
        point["time"] = time.time()
        self._last = point
        self._note_best(point)
        self._note_target(point)
        self._sink.point(point)

    def _note_best(self, point: Point) -> None:
        name = self._metric.name.partition("_")[2]
        if point["epoch"] == 0 or name not in point.get("validation", {}):
            return
        best = self._progress.best
        if not best or self._metric.better(point["validation"][name], best["validation"][name]):
            self._progress.best = _parts(point)

    def _note_target(self, point: Point) -> None:
        value, target = self._metric_value(point), self._metric.target
        if self._progress.target_epoch is not None or value is None or target is None:
            return
        if value == target or self._metric.better(value, target):
            self._progress.target_epoch = point["epoch"]
            self._progress.target_seconds = point["train_seconds"]

    def _metric_value(self, point: Mapping[str, Any]) -> float | None:
        part, _, name = self._metric.name.partition("_")
        value = point.get(part, {}).get(name)
        return None if value is None else float(value)

    def _finite_parameters(self) -> bool:
        parameters = [p.detach() for p in self._session.network.parameters()]
        norms = torch._foreach_norm(parameters, math.inf)
        return bool(torch.isfinite(torch.stack(norms)).all().item())

    def _save(self, path: Path) -> None:
        checkpoint.save(path, self._session, self._progress, self._observing)

    def _result(self, outcome: str, bad_step: int | None) -> dict[str, Any]:
        progress, metric = self._progress, self._metric
        if outcome == "diverged":
            self.network = self._session.network
        chosen = progress.best if self._spec.protocol.rules.select == "best" else self._last
        score = metric.worst if outcome == "diverged" else self._metric_value(chosen)
        if score is None:
            raise UsageError(
                f"the result has no {metric.name}: evaluated were "
                f"{', '.join(self._session.parts)}. "
                "Hold validation examples out, or evaluate the part that the metric names."
            )
        if metric.direction == "min":
            # A loss has no bound: finishing must not score below diverging.
            score = min(score, metric.worst)
        steps = progress.epoch * self._session.source.steps if bad_step is None else bad_step
        examples = progress.epoch * self._session.source.examples
        seconds = progress.train_seconds
        return {
            "schema": RESULT_SCHEMA,
            "fingerprint": self._spec.fingerprint,
            "outcome": outcome,
            "diverged_at_step": bad_step,
            "metric": metric.name,
            "score": score,
            "final": _parts(self._last),
            "best": progress.best,
            "epochs": progress.epoch,
            "steps": steps,
            "gradient_evaluations": progress.gradient_evaluations,
            "train_seconds": round(seconds, 6),
            "evaluation_seconds": round(progress.evaluation_seconds, 6),
            "observing_seconds": round(self._observing.seconds, 6),
            "images_per_second": round(examples / seconds, 3) if seconds else 0.0,
            "peak_memory_mb": round(peak_memory(self._session.device) / 2**20, 1),
            "time_to_target": {
                "target": metric.target,
                "reached": progress.target_epoch is not None,
                "epochs": progress.target_epoch,
                "seconds": progress.target_seconds,
            },
            "weights_sha256": checkpoint.weights_hash(self.network),
            "engine": self._session.loop.name,
            "device": str(self._session.device),
            "shared": False,
            "finished_at": time.time(),
        }


def _parts(point: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in point.items() if name == "epoch" or isinstance(value, dict)
    }


def _finite(point: Mapping[str, Any]) -> bool:
    return all(
        math.isfinite(value)
        for part in point.values()
        if isinstance(part, dict)
        for value in part.values()
    )


def peak_memory(device: torch.device) -> int:
    """Return bytes: the device's peak on CUDA, else this process's largest resident size."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
