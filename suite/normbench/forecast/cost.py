"""What one run of a row takes: from runs of it, else from trials of its cell, else a probe."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from normbench.forecast.probes import Measured
from normbench.forecast.standing import Standing
from normbench.specs import RunSpec
from normbench.store import RunState

_MOST_RUNS = 5


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run takes.

    Attributes:
        seconds: Training and evaluation; not the start of the worker, nor opening the run.
        seconds_per_step: Of training.
        peak_memory: Bytes; None where it was not measured.
        checkpoint: Bytes of a checkpoint while it trains; None where it is not known.
        origin: ``runs`` of the row that the store has, ``trials`` of its cell, or a ``probe``.
    """

    seconds: float
    seconds_per_step: float
    peak_memory: int | None
    checkpoint: int | None = None
    origin: Literal["runs", "trials", "probe"]


def cost_of_runs(
    runs: Sequence[Standing],
    device: str,
    hardware: str,
    origin: Literal["runs", "trials"] = "runs",
) -> Cost | None:
    """Return the mean cost of the finished *runs* of one row that trained on such a device.

    Args:
        runs: Runs of the row, or trials of its cell.
        device: ``cpu`` or ``cuda:N``.
        hardware: Its name; times of other hardware say nothing.
        origin: Which of the two they are.
    """
    finished = [run for run in runs if run.state is RunState.FINISHED]
    results = [
        result
        for run in finished[:_MOST_RUNS]
        if _trained_on(run, hardware) and (result := run.result()) and _fits(result, device)
    ]
    if not results:
        return None
    memory = [result["peak_memory_mb"] for result in results if result.get("peak_memory_mb")]
    return Cost(
        seconds=statistics.fmean(r["train_seconds"] + r["evaluation_seconds"] for r in results),
        seconds_per_step=statistics.fmean(r["train_seconds"] / r["steps"] for r in results),
        peak_memory=round(max(memory) * 2**20) if memory else None,
        origin=origin,
    )


def cost_of_probe(spec: RunSpec, measured: Measured) -> Cost:
    """Return the cost of a run of *spec* at the speed that a probe measured."""
    steps = spec.epochs * measured.steps_per_epoch
    evaluations = _evaluations(spec)
    seconds = steps * measured.seconds_per_step
    seconds += evaluations * measured.seconds_per_evaluation
    seconds += (evaluations - 1) * measured.seconds_per_refresh
    return Cost(
        seconds=seconds,
        seconds_per_step=measured.seconds_per_step,
        peak_memory=measured.peak_memory,
        checkpoint=measured.checkpoint,
        origin="probe",
    )


def _evaluations(spec: RunSpec) -> int:
    """Return how often a run is evaluated: before training, at the cadence, and at the end."""
    every = spec.protocol.rules.evaluate_every
    return 1 + spec.epochs // every + bool(spec.epochs % every)


def _fits(result: Mapping[str, object], device: str) -> bool:
    """Whether a result's times are of this kind of device, and of a device of its own."""
    kind = str(result.get("device", "")).partition(":")[0]
    return (
        kind == device.partition(":")[0] and not result.get("shared") and bool(result.get("steps"))
    )


def _trained_on(run: Standing, hardware: str) -> bool:
    return run.environment().get("hardware", {}).get("device") in (None, hardware)
