"""A command line to call, and a store filled as workers would fill it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from normbench.cli import cli
from normbench.plugins import Catalogue, load_catalogue
from normbench.resolve import Request, resolve
from normbench.specs import RunSpec
from normbench.store import RunState, RunStore, StoredRun

Invoke = Callable[..., Result]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture
def invoke() -> Invoke:
    """Run a command in this process; its result has exit_code, stdout and stderr."""
    return lambda *words: CliRunner().invoke(cli, [str(word) for word in words])


def curve(epochs: int, seed: int, *, loss: float = 2.0) -> list[dict[str, Any]]:
    """Return the points of a run whose loss falls and whose accuracy rises."""
    return [_point(epoch, loss / (1 + epoch) + 0.01 * (seed % 1000)) for epoch in range(epochs + 1)]


def _point(epoch: int, loss: float) -> dict[str, Any]:
    parts = ("validation", "test") if epoch == 0 else ("train", "validation", "test")
    scores = {"loss": loss, "accuracy": 1 / (1 + loss)}
    times = {"train_seconds": 1.0 * epoch, "evaluation_seconds": 0.1 * epoch}
    base = {"epoch": epoch, "step": 10 * epoch, "time": 1e9, "lr": 0.1, **times}
    return {**base, **dict.fromkeys(parts, scores)}


def result_of(spec: RunSpec, points: list[dict[str, Any]], outcome: str) -> dict[str, Any]:
    """Return what a worker would publish after *points*."""
    last, metric = points[-1], spec.problem.metric
    part, _, quantity = metric.name.partition("_")
    return {
        "schema": 1,
        "fingerprint": spec.fingerprint,
        "outcome": outcome,
        "diverged_at_step": 25 if outcome == "diverged" else None,
        "metric": metric.name,
        "score": metric.worst if outcome == "diverged" else last[part][quantity],
        "final": last,
        "best": last,
        "epochs": last["epoch"],
        "steps": last["step"],
        "gradient_evaluations": last["step"],
        "train_seconds": last["train_seconds"],
        "evaluation_seconds": last["evaluation_seconds"],
        "images_per_second": 1000.0,
        "peak_memory_mb": None,
        "time_to_target": {"target": None, "reached": False, "epochs": None, "seconds": None},
        "weights_sha256": "0" * 64,
        "engine": "eager",
        "device": "cpu",
        "shared": False,
        "attempt": 1,
        "finished_at": 1e9,
    }


@dataclass(frozen=True)
class Filler:
    """Fills a store."""

    store: RunStore
    catalogue: Catalogue

    @property
    def root(self) -> Path:
        """Where the store lies."""
        return self.store.root

    def specs(self, seeds: int, optimizer: str, words: tuple[str, ...], **names: Any) -> Any:
        """Return resolved specs."""
        request = Request(
            problem=names.pop("problem", "digits_cnn_bn"),
            optimizer=optimizer,
            seeds=seeds,
            words=("protocol.epochs=3", *words),
            **names,
        )
        return resolve(request, self.catalogue)

    def pending(self, seeds: int = 1, optimizer: str = "sgd", *words: str, **names: Any) -> Any:
        """Add runs that no worker has begun."""
        return [self.store.add(spec) for spec in self.specs(seeds, optimizer, words, **names)]

    def ended(
        self,
        state: str = "finished",
        seeds: int = 1,
        optimizer: str = "sgd",
        words: tuple[str, ...] = (),
        **names: Any,
    ) -> list[StoredRun]:
        """Add runs that ended: finished, diverged, failed, or interrupted after two points."""
        runs = self.pending(seeds, optimizer, *words, **names)
        for run in runs:
            self.end(run, state)
        return runs

    def end(self, run: StoredRun, state: str) -> None:
        """Bring one run to its end."""
        points = curve(3 if state == "finished" else 1, run.spec.seed)
        attempt = run.claim({})
        assert attempt is not None
        with attempt:
            for point in points:
                attempt.append(point)
            if state in ("finished", "diverged"):
                attempt.publish(result_of(run.spec, points, state))
            else:
                attempt.close(RunState(state), f"made to be {state}")


@pytest.fixture(scope="session")
def make_filler(catalogue: Catalogue) -> Callable[[Path], Filler]:
    """Make a store in a folder, to be filled."""
    return lambda folder: Filler(RunStore.open(folder / "store", create=True), catalogue)


@pytest.fixture
def filler(tmp_path: Path, make_filler: Callable[[Path], Filler]) -> Filler:
    return make_filler(tmp_path)


@pytest.fixture
def running(filler: Filler) -> Iterator[StoredRun]:
    """A run that this very process holds, after two points."""
    run = filler.pending()[0]
    attempt = run.claim({})
    with attempt:
        for point in curve(2, 0):
            attempt.append(point)
        yield run
        attempt.close(RunState.INTERRUPTED)


@pytest.fixture
def plugin_file(tmp_path: Path) -> Callable[[str], Path]:
    """Write a one-off plugin file."""

    def write(text: str) -> Path:
        path = tmp_path / "one_off.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write
