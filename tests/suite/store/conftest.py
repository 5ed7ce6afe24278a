"""Stores, specs and worker processes for the tests of the run store."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from normbench.descriptions import Metric, Training
from normbench.rules import Ablation, Rules
from normbench.specs import ComponentSpec, ProblemSpec, ProtocolSpec, RunSpec
from normbench.store import Attempt, RunStore, StoredRun

SCRIPTS = Path(__file__).parent
SECONDS = 60.0

MakeSpec = Callable[..., RunSpec]


def _make_spec(seed: int = 0, **changes: Any) -> RunSpec:
    """Return the spec of a run by hand; *changes* replace fields of it."""
    spec = RunSpec(
        problem=ProblemSpec(
            name="digits_cnn",
            dataset=ComponentSpec(name="digits"),
            network=ComponentSpec(name="plain_cnn", parameters={"widths": (16, 32)}),
            training=Training(batch_size=64, epochs=3, augmentation=("pad_crop:2", "flip")),
            metric=Metric(
                name="test_accuracy",
                direction="max",
                worst=0.1,
                smallest_difference=0.005,
                target=0.9,
            ),
        ),
        norm=ComponentSpec(name="group_norm", parameters={"num_groups": 8}),
        ablation=Ablation(sites=(1, 0), scale_init=0.1),
        optimizer=ComponentSpec(name="sgd", parameters={"lr": 0.1, "note": None}),
        protocol=ProtocolSpec(name="standard", rules=Rules(milestones=(0.5, 0.75))),
        seed=seed,
        identity={
            "problem": {"name": "digits_cnn", "version": 1},
            "norm": {"name": "group_norm", "version": 1},
            "ablation": {"sites": [1, 0], "scale_init": 0.1},
            "optimizer": {"name": "sgd", "version": 1, "parameters": {"lr": 0.1}},
            "protocol": {"name": "standard", "version": 1},
        },
        deviations=("protocol.epochs=3",),
    )
    return dataclasses.replace(spec, **changes)


@pytest.fixture
def make_spec() -> MakeSpec:
    return _make_spec


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.open(tmp_path / "store", create=True)


@pytest.fixture
def run(store: RunStore) -> StoredRun:
    return store.add(_make_spec())


@pytest.fixture
def silence() -> Callable[[Attempt], None]:
    """Return what makes the heartbeat of an attempt that does not beat look ages old."""
    return lambda attempt: os.utime(attempt.path / "heartbeat", (1, 1))


class RemoteWorker:
    """A worker process that holds a run and does what it is told, one word at a time."""

    def __init__(self, run: StoredRun, *options: str) -> None:
        root = run.path.parents[2]
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPTS / "remote_worker.py"), root, run.fingerprint, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.number = json.loads(self.answer())

    def tell(self, *words: Any) -> None:
        """Tell it what to do."""
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Wait for its answer."""
        return self.process.stdout.readline().strip()

    def ask(self, *words: Any) -> str:
        """Tell it what to do and wait for its answer."""
        self.tell(*words)
        return self.answer()

    def stop(self) -> None:
        """Stop it, as a suspended machine would, and wait until it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def wake(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it for real."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def remote() -> Iterator[Callable[..., RemoteWorker]]:
    """Start workers in processes of their own; they are gone at the end of the test."""
    workers: list[RemoteWorker] = []

    def start(run: StoredRun, *options: str) -> RemoteWorker:
        workers.append(RemoteWorker(run, *options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()
        worker.process.stdin.close()
        worker.process.stdout.close()


@pytest.fixture
def script() -> Callable[..., str]:
    """Run one of the scripts here to its end and return what it printed."""

    def run(name: str, *words: Any, before: tuple[str, ...] = ()) -> str:
        command = [*before, sys.executable, str(SCRIPTS / name), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Return what polls until something is true, up to a deadline."""

    def poll(question: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS
        while not (answer := question()):
            assert time.monotonic() < deadline, "did not come true in time"
            os.sched_yield()
        return answer

    return poll
