"""The curve of a run so far, what stands out on it, and the result that it ends in."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from normbench.engine.checkpoint import Progress
from normbench.errors import UsageError
from normbench.specs import RunSpec

RESULT_SCHEMA = 1
Point = dict[str, Any]


class Curve:
    """The points of one run, of which the best and the first to reach the target are kept.

    Args:
        spec: The run.
        points: Those up to the checkpoint that it goes on from.
        progress: How far it had come then.

    Attributes:
        progress: How far it has come.
        last: The last point.
    """

    def __init__(
        self, spec: RunSpec, points: Sequence[Point] = (), progress: Progress | None = None
    ) -> None:
        self.progress = progress or Progress()
        self.last: Point = dict(points[-1]) if points else {}
        self._spec, self._metric = spec, spec.problem.metric

    def add(self, point: Point) -> None:
        """Take the next point, and write into it what has been spent."""
        point["train_seconds"] = round(self.progress.train_seconds, 6)
        point["evaluation_seconds"] = round(self.progress.evaluation_seconds, 6)
        point["time"] = time.time()
        self.last = point
        self._note_best(point)
        self._note_target(point)

    def _note_best(self, point: Point) -> None:
        name = self._metric.name.partition("_")[2]
        if point["epoch"] == 0 or name not in point.get("validation", {}):
            return
        best = self.progress.best
        if not best or self._metric.better(point["validation"][name], best["validation"][name]):
            self.progress.best = _parts(point)

    def _note_target(self, point: Point) -> None:
        value, target = self._metric_value(point), self._metric.target
        if self.progress.target_epoch is not None or value is None or target is None:
            return
        if value == target or self._metric.better(value, target):
            self.progress.target_epoch = point["epoch"]
            self.progress.target_seconds = point["train_seconds"]

    def _metric_value(self, point: Mapping[str, Any]) -> float | None:
        part, _, name = self._metric.name.partition("_")
        value = point.get(part, {}).get(name)
        return None if value is None else float(value)

    def _score(self, outcome: str) -> float | None:
        if outcome == "diverged":
            return self._metric.worst
        select_best = self._spec.protocol.rules.select == "best"
        score = self._metric_value(self.progress.best if select_best else self.last)
        if score is None or self._metric.direction == "max":
            return score
        # A loss has no bound: finishing must not score below diverging.
        return min(score, self._metric.worst)

    def result(self, outcome: str, bad_step: int | None, steps: int, examples: int) -> Point:
        """Return the result, as far as the curve knows it.

        Args:
            outcome: ``finished`` or ``diverged``.
            bad_step: The step that diverged, counted from 1.
            steps: Steps in an epoch.
            examples: Examples in an epoch.

        Raises:
            UsageError: If what the metric names was not evaluated.
        """
        progress, metric, score = self.progress, self._metric, self._score(outcome)
        if score is None:
            evaluated = ", ".join(name for name in _parts(self.last) if name not in _OTHER)
            raise UsageError(
                f"the result has no {metric.name}: evaluated were {evaluated}. "
                "Hold validation examples out, or evaluate the part that the metric names."
            )
        seconds, joules = progress.train_seconds, progress.energy_joules
        return {
            "schema": RESULT_SCHEMA,
            "fingerprint": self._spec.fingerprint,
            "outcome": outcome,
            "diverged_at_step": bad_step,
            "metric": metric.name,
            "score": score,
            "final": _parts(self.last),
            "best": progress.best,
            "epochs": progress.epoch,
            "steps": progress.epoch * steps if bad_step is None else bad_step,
            "gradient_evaluations": progress.gradient_evaluations,
            "train_seconds": round(seconds, 6),
            "evaluation_seconds": round(progress.evaluation_seconds, 6),
            "engine_seconds": round(progress.engine_seconds, 6),
            "energy_joules": None if joules is None else round(joules, 3),
            "images_per_second": round(progress.epoch * examples / seconds, 3) if seconds else 0.0,
            "time_to_target": {
                "target": metric.target,
                "reached": progress.target_epoch is not None,
                "epochs": progress.target_epoch,
                "seconds": progress.target_seconds,
            },
        }


_OTHER = ("epoch", "train")


def finite(point: Mapping[str, Any]) -> bool:
    """Whether every metric of *point* is a finite number."""
    parts = (part for part in point.values() if isinstance(part, dict))
    return all(math.isfinite(value) for part in parts for value in part.values())


def _parts(point: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in point.items() if name == "epoch" or isinstance(value, dict)
    }
