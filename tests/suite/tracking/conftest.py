"""Fixtures for the tests of tracking: stores with fake runs, and what MLflow holds about them."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from normbench import Ablation, Metric, Rules, Training
from normbench.specs import ComponentSpec, ProblemSpec, ProtocolSpec, RunSpec
from normbench.store import RunState, RunStore, StoredRun
from normbench.tracking.backend import Backend, open_backend
from normbench.tracking.database import ensure_database

_FROM_OUTSIDE = ("MLFLOW_TRACKING_URI", "DO_NOT_TRACK", "MLFLOW_ENABLE_ASYNC_LOGGING")
_SECONDS = 120.0
_PER_RUN = ("mlflow.parentRunId",)


@pytest.fixture(autouse=True)
def mlflow_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use no server of the user's, send no telemetry, and retry without long pauses."""
    for name in _FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making one takes seconds, copying it none."""
    root = tmp_path_factory.mktemp("template")
    store = RunStore.open(root / "runs", create=True)
    path = root / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        ensure_database(store, f"sqlite:///{path}", path, root / "artifacts")
    return path


@pytest.fixture
def store(tmp_path: Path, template: Path) -> RunStore:
    """An empty store with an empty MLflow database."""
    opened = RunStore.open(tmp_path / "runs", create=True)
    shutil.copyfile(template, opened.root / "mlflow.db")
    return opened


@pytest.fixture
def other_uri(tmp_path: Path, template: Path) -> str:
    """A second empty MLflow database."""
    return f"sqlite:///{shutil.copyfile(template, tmp_path / 'other.db')}"


@pytest.fixture
def make_spec() -> Callable[..., RunSpec]:
    """Makes the spec of a run: a seed of a norm and an optimizer on a small problem."""
    return _spec


@pytest.fixture
def train(store: RunStore) -> Callable[..., StoredRun]:
    """Adds a run to the store, or to another one, and lets it end as told."""
    return functools.partial(_train, store=store)


@pytest.fixture
def many_runs(store: RunStore, train: Callable[..., StoredRun]) -> RunStore:
    """A store with sixteen finished runs in four rows."""
    for number in range(16):
        train(_spec(number % 4, setting={"lr": 1.0 + number // 4}))
    return store


@pytest.fixture
def count_runs() -> Callable[[RunStore], int]:
    """Counts the runs in the database of a store, of rows and seeds together."""

    def count(store: RunStore) -> int:
        # Not by MLflow: who waits for a number asks often.
        database = f"{(store.root / 'mlflow.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(database, uri=True, timeout=_SECONDS)) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM runs").fetchone()[0])

    return count


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition, and fails when it does not come true in time."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS
        looked_at = time.monotonic()
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            # What takes long to look at is looked at seldom.
            time.sleep(max(0.01, 4 * (time.monotonic() - looked_at)))
            looked_at = time.monotonic()

    return wait


@pytest.fixture
def contents() -> Callable[..., dict[str, Any]]:
    """Reads all that MLflow holds, free of what differs between databases."""
    return _contents


def _train(
    spec: RunSpec, *, store: RunStore, epochs: int = 3, outcome: str = "finished"
) -> StoredRun:
    run = store.add(spec)
    attempt = run.claim(ENVIRONMENT)
    assert attempt is not None
    with attempt:
        for epoch in range(epochs + 1):
            attempt.append(point(spec.seed, epoch))
        if outcome in ("finished", "diverged"):
            attempt.publish(result(spec.seed, epochs, outcome))
        else:
            attempt.close(RunState(outcome), "it broke")
    return run


ENVIRONMENT = {
    "versions": {"python": "3.11.7", "torch": "2.15.0"},
    "hardware": {"device": "a small processor", "cores": 2},
    "host": "here",
    "variables": {"NORMBENCH_NORM_KERNELS": "0"},
}


@pytest.fixture(name="point")
def point_fixture() -> Callable[..., dict[str, Any]]:
    """Makes the curve point of a seed at an epoch."""
    return point


@pytest.fixture(name="result", scope="session")
def result_fixture() -> Callable[..., dict[str, Any]]:
    """Makes the result of a seed."""
    return result


def point(seed: int, epoch: int) -> dict[str, Any]:
    """Return a curve point; each value tells its seed and epoch."""
    accuracy = min(1.0, 0.5 + 0.1 * epoch + 0.01 * seed)
    part = {"loss": 1.0 / (1 + epoch) + 0.001 * seed, "accuracy": accuracy}
    content = {"epoch": epoch, "step": 10 * epoch, "time": 1.75e9 + 60 * seed + epoch, "lr": 0.1}
    parts = {"validation": dict(part), "test": dict(part)}
    return content | parts | ({"train": dict(part)} if epoch else {})


def result(seed: int, epochs: int, outcome: str = "finished") -> dict[str, Any]:
    """Return the result that belongs to the points up to *epochs*."""
    last = {name: value for name, value in point(seed, epochs).items() if name in _RESULT_PARTS}
    diverged = outcome == "diverged"
    return {
        "outcome": outcome,
        "diverged_at_step": 10 * epochs if diverged else None,
        "metric": "test_accuracy",
        "score": 0.1 if diverged else last["test"]["accuracy"],
        "final": last,
        "best": last,
        "epochs": epochs,
        "steps": 10 * epochs,
        "gradient_evaluations": 10 * epochs,
        "train_seconds": 1.23456789,
        "evaluation_seconds": 0.5,
        "energy_joules": 4321.25,
        "images_per_second": 12345.6789,
        "peak_memory_mb": 100.0,
        "time_to_target": {"target": 0.6, "reached": True, "epochs": 1, "seconds": 0.4},
        "weights_sha256": "0" * 64,
        "engine": "eager",
        "device": "cpu",
        "shared": False,
        "pack": 1,
        "finished_at": 1.75e9 + 60 * seed + epochs + 1,
    }


_RESULT_PARTS = ("epoch", "train", "validation", "test")


def _spec(
    seed: int = 0,
    *,
    norm: str = "batch_norm",
    optimizer: str = "sgd",
    problem: str = "digits_cnn",
    protocol: str = "quick",
    setting: Mapping[str, Any] | None = None,
    deviations: tuple[str, ...] = (),
) -> RunSpec:
    setting = dict(setting or {})
    identity = {
        "problem": {"name": problem, "version": 1},
        "norm": {"name": norm, "version": 1, "parameters": {}},
        "ablation": {},
        "optimizer": {"name": optimizer, "version": 1, "parameters": setting},
        "protocol": {"name": protocol, "version": 1, "rules": list(deviations)},
    }
    return RunSpec(
        problem=ProblemSpec(
            name=problem,
            dataset=ComponentSpec(name="digits"),
            network=ComponentSpec(name="cnn"),
            training=Training(batch_size=64, epochs=3),
            metric=Metric(
                name="test_accuracy", direction="max", worst=0.1, smallest_difference=0.01
            ),
        ),
        norm=ComponentSpec(name=norm),
        ablation=Ablation(),
        optimizer=ComponentSpec(name=optimizer, parameters={"lr": 0.1, **setting}),
        protocol=ProtocolSpec(name=protocol, rules=Rules()),
        seed=seed,
        identity=identity,
        setting_origin="given" if setting else "default",
        deviations=deviations,
    )


def _contents(store: RunStore, uri: str | None = None) -> dict[str, Any]:
    backend = open_backend(store, uri)
    client = backend.client
    held: dict[str, Any] = {}
    for experiment in client.search_experiments(filter_string="name LIKE 'normbench/%'"):
        tags = {name: value for name, value in experiment.tags.items() if "View" not in name}
        held[experiment.name] = tags
        runs = list(client.search_runs([experiment.experiment_id]))
        names = {run.info.run_id: run.info.run_name for run in runs}
        for run in runs:
            name = f"{experiment.name}/{run.info.run_name}"
            assert name not in held, f"{name} is there twice"
            held[name] = _run_contents(client, run, names)
    return held


def _run_contents(client: Any, run: Any, names: Mapping[str, str]) -> dict[str, Any]:
    tags = {name: value for name, value in run.data.tags.items() if name not in _PER_RUN}
    parent = run.data.tags.get("mlflow.parentRunId")
    history = {
        key: [(point.step, point.value, point.timestamp) for point in _history(client, run, key)]
        for key in run.data.metrics
    }
    return {
        "parent": names.get(parent, parent),
        "tags": tags,
        "parameters": dict(run.data.params),
        "metrics": history,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "artifacts": sorted(file.path for file in client.list_artifacts(run.info.run_id)),
    }


def _history(client: Any, run: Any, key: str) -> list[Any]:
    return sorted(client.get_metric_history(run.info.run_id, key), key=lambda point: point.step)


@pytest.fixture
def wrap_client(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any]], None]:
    """Puts something between our code and MLflow's client."""
    import normbench.tracking.mirror as mirror

    def wrap(make: Callable[[Any], Any]) -> None:
        def opened(store: RunStore, uri: str | None = None) -> Backend:
            backend = open_backend(store, uri)
            return dataclasses.replace(backend, client=make(backend.client))

        monkeypatch.setattr(mirror, "open_backend", opened)

    return wrap
