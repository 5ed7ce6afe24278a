"""What MLflow should hold about one run of the store, computed from the store alone."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from normbench.specs import RunSpec
from normbench.store import AttemptInfo, RunState, StoredRun
from normbench.tracking import names

RESULTS = (RunState.FINISHED, RunState.DIVERGED)
_STATUS: Mapping[RunState, str] = {
    RunState.RUNNING: "RUNNING",
    RunState.INTERRUPTED: "KILLED",
    RunState.KILLED: "KILLED",
    RunState.CANCELLED: "KILLED",
    RunState.FINISHED: "FINISHED",
    RunState.DIVERGED: "FINISHED",
    RunState.FAILED: "FAILED",
    RunState.OUT_OF_MEMORY: "FAILED",
    RunState.TIMED_OUT: "FAILED",
}
_FROM_ENVIRONMENT = ("versions", "hardware", "git", "host", "variables")
_FROM_RESULT = ("engine", "device", "shared", "pack", "weights_sha256")
_TIMES = {
    "train_seconds": "train_s",
    "evaluation_seconds": "evaluation_s",
    "engine_seconds": "engine_s",
    "energy_joules": "energy_j",
    "images_per_second": "images_per_s",
    "peak_memory_mb": "peak_mb",
}
_PARTS = ("train", "validation", "test")
_SCORE_DIGITS = 6
_COUNTS = ("epochs", "steps", "gradient_evaluations", "diverged_at_step")


class Point(NamedTuple):
    """One value of a metric; *time* in milliseconds, as MLflow counts it."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True, kw_only=True)
class SeedContent:
    """All that the MLflow run of one seed should hold.

    Attributes:
        run: Where it comes from.
        state: State of the run when it was read.
        digest: Changes whenever anything here does; empty while the run trains.
        start: Start of the first attempt in milliseconds.
        end: End in milliseconds; None while the run trains.
    """

    run: StoredRun
    state: RunState
    digest: str
    start: int
    end: int | None
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    points: Sequence[Point]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the run."""
        return self.run.fingerprint

    @property
    def status(self) -> str:
        """MLflow's word for the state: diverging is a result, not a failure."""
        return _STATUS[self.state]

    @property
    def published(self) -> bool:
        """Whether the run has its result."""
        return self.state in RESULTS


def digest_of(run: StoredRun, state: RunState) -> str:
    """Return a digest of what MLflow should hold about *run*; empty while it trains."""
    if state is RunState.RUNNING:
        return ""
    if state in RESULTS:
        series = run.observed()
        seen: object = [run.result(), series] if series else run.result()
    else:
        points = run.points()
        attempts = [[attempt.number, attempt.message] for attempt in run.attempts()]
        seen = [state, attempts, len(points), points[-1:]]
    text = json.dumps([names.SCHEMA, seen], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def seed_content(run: StoredRun, state: RunState) -> SeedContent:
    """Read what MLflow should hold about *run*, which is in *state* and not pending."""
    digest = digest_of(run, state)
    result = (run.result() if state in RESULTS else None) or {}
    points = run.points()
    attempts = run.attempts()
    shown = _shown_attempt(attempts, result)
    last = _last_time(points, result, shown)
    start = min((attempt.started for attempt in attempts), default=last)
    return SeedContent(
        run=run,
        state=state,
        digest=digest,
        start=_milliseconds(start),
        end=None if state is RunState.RUNNING else _milliseconds(max(start, last)),
        tags={
            **identity_tags(run.spec),
            names.ROW_NAME: names.row_name(run.spec),
            **_seed_tags(run, state, shown),
            **_environment_tags(run.environment() or {}),
            **_result_tags(result),
        },
        parameters=_parameters(run.spec),
        points=[*_curves(points), *_result_points(result)],
    )


def identity_tags(spec: RunSpec) -> dict[str, str]:
    """Return the tags that a row and its seeds share."""
    return {
        names.ROW: spec.row,
        names.CELL: spec.cell,
        names.NORM: spec.norm_label,
        names.OPTIMIZER: spec.optimizer_label,
        names.SETTING: spec.setting_origin,
        names.DEVIATIONS: " ".join(spec.deviations) or "none",
    }


def _seed_tags(run: StoredRun, state: RunState, shown: AttemptInfo | None) -> dict[str, str]:
    tags = {
        names.KIND: names.KIND_SEED,
        names.FINGERPRINT: run.fingerprint,
        names.SEED: str(run.spec.seed),
        names.STATE: state.value,
    }
    if state not in (RunState.RUNNING, RunState.INTERRUPTED):
        tags[names.OUTCOME] = state.value
    if shown is not None:
        tags["normbench.attempt"] = str(shown.number)
        tags[names.STARTED] = repr(float(shown.started))
        if shown.message and state not in RESULTS:
            tags[names.MESSAGE] = names.shown(shown.message)
    return tags


def _environment_tags(environment: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"normbench.{name}": names.shown(environment[name])
        for name in _FROM_ENVIRONMENT
        if environment.get(name)
    }


def _result_tags(result: Mapping[str, Any]) -> dict[str, str]:
    if not result:
        return {}
    tags = {f"normbench.{name}": names.shown(result[name]) for name in _FROM_RESULT & result.keys()}
    return {**tags, names.FINISHED_AT: repr(float(result["finished_at"]))}


def _parameters(spec: RunSpec) -> dict[str, str]:
    rules, training = spec.protocol.rules, spec.problem.training
    values = {
        **spec.optimizer.parameters,
        "batch_size": training.batch_size,
        "epochs": spec.epochs,
        "schedule": rules.schedule,
        "precision": rules.precision,
        "norm": spec.norm_label,
        "optimizer": spec.optimizer_label,
        "seed": spec.seed,
    }
    values |= {f"norm.{name}": value for name, value in spec.norm.parameters.items()}
    changed = spec.identity.get("ablation", {})
    values |= {f"ablation.{name}": value for name, value in changed.items()}
    return {names.metric_key(name): names.shown(value) for name, value in values.items()}


def _curves(points: Sequence[Mapping[str, Any]]) -> Iterator[Point]:
    for point in points:
        step, time = int(point["epoch"]), _milliseconds(point["time"])
        if "lr" in point:
            yield from _finite("lr", point["lr"], time, step)
        for part, values in point.items():
            if isinstance(values, Mapping):
                for name, value in values.items():
                    yield from _finite(names.metric_key(part, name), value, time, step)


def _result_points(result: Mapping[str, Any]) -> Iterator[Point]:
    if not result:
        return
    time, step = _milliseconds(result["finished_at"]), int(result["epochs"])
    for key, value in _result_values(result):
        yield from _finite(key, value, time, step)


def _result_values(result: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the metrics of a result; the score exactly, the others fit to be read."""
    yield names.FINAL_SCORE, result["score"]
    yield "final/diverged", int(result["outcome"] == "diverged")
    for when in ("final", "best"):
        for part, values in result[when].items():
            if isinstance(values, Mapping):
                for name, value in values.items():
                    yield names.metric_key(when, f"{part}_{name}"), rounded(value, _SCORE_DIGITS)
    yield "best/epoch", result["best"].get("epoch")
    for name in _COUNTS:
        yield f"final/{name}", result.get(name)
    target = result.get("time_to_target") or {}
    yield "final/epochs_to_target", target.get("epochs")
    if not result.get("shared"):
        yield "final/seconds_to_target", rounded(target.get("seconds"))
        for name, key in _TIMES.items():
            yield f"final/{key}", rounded(result.get(name))


def result_keys(*metrics: str) -> list[str]:
    """Return the metrics of results that are no curves, given a task's *metrics* beside loss."""
    plain = [*_COUNTS, *_TIMES.values(), "diverged", "epochs_to_target", "seconds_to_target"]
    parts = [f"{part}_{name}" for part in _PARTS for name in dict.fromkeys(("loss", *metrics))]
    keys = [names.metric_key(when, part) for when in ("final", "best") for part in parts]
    return [names.FINAL_SCORE, "best/epoch", "lr", *(f"final/{name}" for name in plain), *keys]


def rounded(value: float | None, digits: int = 5) -> float | None:
    """Return *value* to so many significant digits: the page shows all that it is given."""
    return None if value is None else float(f"{value:.{digits}g}")


def _finite(key: str, value: Any, time: int, step: int) -> Iterator[Point]:
    """Yield the point unless it is missing or not finite: either hides the whole metric."""
    if isinstance(value, int | float) and math.isfinite(value):
        yield Point(key, float(value), time, step)


def _shown_attempt(
    attempts: Sequence[AttemptInfo], result: Mapping[str, Any]
) -> AttemptInfo | None:
    """Return the attempt that published *result*, else the newest."""
    key = (result.get("attempt"), result.get("outcome"))
    published = [attempt for attempt in attempts if (attempt.number, attempt.outcome) == key]
    candidates = published or attempts
    return candidates[-1] if candidates else None


def _last_time(
    points: Sequence[Mapping[str, Any]], result: Mapping[str, Any], shown: AttemptInfo | None
) -> float:
    """Return when the run was last heard of, in seconds."""
    if result:
        return float(result["finished_at"])
    started = shown.started if shown else 0.0
    return max(started, *(float(point["time"]) for point in points[-1:]), 0.0)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
