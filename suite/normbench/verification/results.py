"""The results of a test's runs, as its judgement takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from normbench.errors import StoreError
from normbench.specs import RunSpec
from normbench.store import RunState, RunStore
from normbench.verification.judging import Arm, Pair
from normbench.verification.plan import Group, Plan

Point = Mapping[str, Any]


def metrics_of(spec: RunSpec) -> tuple[str, ...]:
    """Return what must be equivalent: the problem's test metric, and the test loss."""
    return tuple(dict.fromkeys((spec.problem.metric.name, "test_loss")))


def read_pairs(store: RunStore, plan: Plan) -> list[Pair]:
    """Return what has become of the runs of *plan*.

    Raises:
        StoreError: If a result lacks a metric.
    """
    return [_pair(store, plan, group) for group in plan.groups]


def _pair(store: RunStore, plan: Plan, group: Group) -> Pair:
    return Pair(
        optimizer=group.optimizer,
        rate=group.rate,
        new=_arm(store, group.arms[plan.precision]),
        base=_arm(store, group.arms[plan.against]),
    )


def _arm(store: RunStore, specs: Sequence[RunSpec]) -> Arm:
    runs = {spec.seed: store.get(spec.fingerprint) for spec in specs}
    results = {seed: run.result() if run is not None else None for seed, run in runs.items()}
    ended = {seed: result for seed, result in results.items() if result is not None}
    lost = [seed for seed, result in ended.items() if result["outcome"] == RunState.DIVERGED]
    points = {seed: _point(specs[0], result) for seed, result in ended.items() if seed not in lost}
    metric = specs[0].problem.metric.name
    return Arm(
        values={
            name: {seed: _value(point, name) for seed, point in points.items()}
            for name in metrics_of(specs[0])
        },
        chosen={seed: _chosen(point, metric) for seed, point in points.items()},
        diverged=lost,
        missing=[seed for seed in results if seed not in ended],
    )


def _point(spec: RunSpec, result: Mapping[str, Any]) -> Point:
    """Return the curve point whose test score is the run's."""
    point: Point = result["best" if spec.protocol.rules.select == "best" else "final"]
    return point


def _chosen(point: Point, metric: str) -> float:
    """Return the value that a rate is chosen by: on validation, where there is such a part."""
    part, _, name = metric.partition("_")
    return float(point.get("validation", {}).get(name, _value(point, f"{part}_{name}")))


def _value(point: Point, metric: str) -> float:
    part, _, name = metric.partition("_")
    if name not in point.get(part, {}):
        raise StoreError(f"a result has no {metric}. Delete the store's runs and test again.")
    return float(point[part][name])
