"""A sequential study that is killed for real: what it draws and finds is the undisturbed one's."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from normbench.api import Launching
from normbench.descriptions import Launcher
from normbench.launchers.base import LaunchRequest
from normbench.plugins import load_catalogue
from normbench.resolve import Request
from normbench.store import RunStore
from normbench.tuning import Conduct, Tuning, read_study, studies
from normbench.tuning.study import Study
from normbench.worker import Worker

pytest.importorskip("optuna", reason="method tpe needs the extra optuna")

# A forked child has torch already, so a life costs milliseconds instead of seconds.
FORK = multiprocessing.get_context("fork")
CATALOGUE = load_catalogue()
TRIALS = 16
DEADLINE = 60.0


def train_here(request: LaunchRequest, tick: Callable[[], None]) -> None:
    """Train the runs of a request in this process."""
    store = RunStore.open(request.store)
    worker = Worker(store, CATALOGUE, torch.device("cpu"), request.data_folder)
    for fingerprint in request.fingerprints:
        run = store.get(fingerprint)
        assert run is not None
        worker.train(run)


CATALOGUE.add(Launcher(name="here", summary="", factory=lambda: train_here), "test", "test")


def tune(store: Path) -> None:
    """Conduct the study, or go on with it."""
    torch.set_num_threads(1)
    request = Request(
        problem="quadratic_deep",
        optimizer="sgd",
        protocol="quick",
        words=["protocol.epochs=2"],
        seeds=1,
    )
    tuning = Tuning(
        request=request, method="tpe", trials=TRIALS, search=["lr=log:0.001:1"], evaluate=False
    )
    launching = Launching(store=store, launcher="here", track=False, device="cpu")
    Conduct(tuning, CATALOGUE, launching).run()


def study_of(store: Path) -> Study:
    """Return the one study of a store."""
    opened = RunStore.open(store)
    (name,) = studies(opened)
    return read_study(opened, name)


def drawn(store: Path) -> int:
    """Return how many trials are on record."""
    return len(study_of(store).trials) if [*store.glob("tuning/*.json")] else 0


def weights_of(store: Path) -> dict[str, str]:
    """Return the hash of the final weights of every run."""
    runs = RunStore.open(store).runs()
    return {run.fingerprint: (run.result() or {})["weights_sha256"] for run in runs}


def live(store: Path, moments: random.Random) -> bool:
    """Conduct the study, kill it a little after it has drawn more; return whether it ended."""
    before = drawn(store)
    process = FORK.Process(target=tune, args=(store,))
    process.start()
    while process.is_alive() and drawn(store) == before:
        process.join(0.005)
    process.join(moments.uniform(0.0, 0.1))
    ended = not process.is_alive()
    process.kill()
    process.join(DEADLINE)
    return ended


@pytest.mark.slow
def test_a_killed_study_goes_on_as_if_it_had_not_been(tmp_path):
    """SIGKILL within and between its trials: it ends with the same trials, scores and weights."""
    tune(tmp_path / "calm")
    moments, kills = random.Random(0), 0
    while not live(tmp_path / "killed", moments):
        kills += 1
    tune(tmp_path / "killed")

    (kept,) = (tmp_path / "killed" / "settings").glob("*.toml")

    assert 'method = "tpe, sequential"' in kept.read_text()
    assert kills >= 2, "the study ended before it was killed within a trial"
    assert study_of(tmp_path / "calm") == study_of(tmp_path / "killed")
    assert weights_of(tmp_path / "calm") == weights_of(tmp_path / "killed")
