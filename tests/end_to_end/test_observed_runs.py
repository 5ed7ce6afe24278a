"""Series of real workers: killed, asked for later, brought home, and never of another training."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from normbench.cadence import asked_observers
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore, merge_store
from normbench.worker import Worker

# A forked child has torch already, so a life costs milliseconds instead of seconds.
FORK = multiprocessing.get_context("fork")
CATALOGUE = load_catalogue()
OBSERVERS = ("activations:every=0.7:batch_size=16", "norm_parameters:every_steps=9", "spheres")
KILLS = 4
DEADLINE = 300.0


def add_run(folder: Path, *observers: str, epochs: int = 6):
    """Add one run to a store, or ask for more of it, and return it."""
    words = [f"protocol.epochs={epochs}"]
    request = Request(problem="digits_cnn_bn", optimizer="adam", words=words, seeds=[1])
    run = RunStore.open(folder, create=True).add(resolve(request, CATALOGUE)[0])
    run.ask(asked_observers(observers, CATALOGUE))
    return run


def work(run):
    """Train a run in this process, with a checkpoint at every epoch."""
    torch.set_num_threads(1)
    store = RunStore.open(run.path.parents[2])
    worker = Worker(store, CATALOGUE, torch.device("cpu"), Path(), checkpoint_seconds=0.0)
    return worker.train(run)


def series_of(run):
    """Return the files of series by name."""
    return {path.name: path.read_bytes() for path in (run.path / "probes").glob("*.npz")}


def kill_at(run, moments, epochs):
    """Kill a worker for real, once at each of so many epochs of its attempt."""
    tick, kills = FORK.Event(), 0
    for epoch in epochs:
        process = FORK.Process(target=work, args=(run,))
        process.start()
        deadline = time.monotonic() + DEADLINE
        while _epoch(run) < epoch and process.exitcode is None:
            assert time.monotonic() < deadline, "waited for a minute"
            tick.wait(0.005)
        process.join(moments.uniform(0.0, 0.05))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    return kills


def _epoch(run):
    """Return the last epoch in the journal of the newest attempt; -1 without any."""
    attempts = run.attempts()
    journal = attempts[-1].folder / "journal.jsonl" if attempts else run.path
    if not journal.is_file():
        return -1
    lines = journal.read_text().splitlines()
    return max((json.loads(line)["epoch"] for line in lines if line.endswith("}")), default=-1)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """Return a run that was observed from the start and left in peace."""
    run = add_run(tmp_path_factory.mktemp("calm"), *OBSERVERS)
    assert RunState.FINISHED is work(run)
    return run


def test_killed_run_leaves_the_same_series(calm, tmp_path):
    """SIGKILL at random moments: every file of series equals the undisturbed run's to the byte."""
    run = add_run(tmp_path, *OBSERVERS)
    kills = kill_at(run, random.Random(0), (0, 1, 3, 4))
    work(run)

    assert kills == KILLS
    assert len(run.attempts()) > KILLS
    assert calm.result()["weights_sha256"] == run.result()["weights_sha256"]
    assert series_of(calm) == series_of(run)
    assert 3 == len(series_of(run))


def test_series_asked_for_later_leave_the_result_alone(calm, tmp_path):
    """A finished run is trained again, killed meanwhile, and ends in the same series."""
    run = add_run(tmp_path)
    assert RunState.FINISHED is work(run)
    assert {} == run.observed()
    before = (run.path / "result.json").read_bytes(), run.points()
    add_run(tmp_path, *OBSERVERS)
    kill_at(run, random.Random(1), (2, 4))
    work(run)

    assert [] == run.lacking()
    assert series_of(calm) == series_of(run)
    assert before == ((run.path / "result.json").read_bytes(), run.points())
    assert work(run) is None


def test_observer_asked_for_in_the_middle_is_seen_in_full(calm, tmp_path):
    """What a resumed run was not asked for at its start comes from a second training."""
    run = add_run(tmp_path, OBSERVERS[0])
    kill_at(run, random.Random(2), (3,))
    add_run(tmp_path, *OBSERVERS)
    work(run)

    assert series_of(calm) == series_of(run)
    attempts = {name: said["attempt"] for name, said in run.observed().items()}
    assert attempts["activations"] < attempts["spheres"] == attempts["norm_parameters"]


def test_series_of_another_training_are_refused(calm, tmp_path):
    """Other weights than the result's: the error says so, the result stands, both are kept."""
    merge_store(calm.path.parents[2], RunStore.open(tmp_path, create=True))
    run = add_run(tmp_path)
    result = {**run.result(), "weights_sha256": "0" * 64}
    (run.path / "result.json").write_text(json.dumps(result))
    published = (run.path / "result.json").read_bytes()
    outcome = work(run)

    attempt = run.attempts()[-1]
    assert RunState.FAILED is outcome is attempt.outcome
    assert "ended in other weights" in attempt.message
    assert RunState.FINISHED is run.state()
    assert published == (run.path / "result.json").read_bytes()
    assert 3 == len(list(attempt.folder.glob("probes-*.npz")))
    assert {} == run.observed()


def test_series_tell_how_dear_they_were(calm):
    """Each says how long observing took; training time is counted without it."""
    result = calm.result()
    seconds = {name: said["seconds"] for name, said in calm.observed().items()}

    assert all(second > 0 for second in seconds.values())
    assert result["observing_seconds"] == pytest.approx(sum(seconds.values()), abs=1e-4)
    for said in calm.observed().values():
        assert said["share"] == pytest.approx(said["seconds"] / result["train_seconds"], abs=1e-5)


def test_series_are_read_with_dimensions_and_units(calm):
    """What the run store returns fits together and says what it is."""
    series = calm.series("activations")
    lengths = {}

    assert [0.0, *np.arange(1, 9) * 0.7] == pytest.approx(series["epoch"][:9], abs=0.02)
    assert 6.0 == series["epoch"][-1]
    assert 0.7 == series.parameters["every"]
    for name, array in series.items():
        for dim, length in zip(series.dims[name], array.shape, strict=True):
            assert lengths.setdefault(dim, length) == length
    assert {"moment", "activation", "layer", "channel"} == lengths.keys()
    assert "rad" == calm.series("spheres").units["angle"]


def test_bare_worker_observes(tmp_path):
    """A worker that has torch, numpy and pluggy alone makes the series."""
    run = add_run(tmp_path, *OBSERVERS, epochs=1)
    script = (
        "import sys; from normbench.worker import main; code = main(['--store', sys.argv[1], "
        "'--device', 'cpu']); print(sorted({'click', 'omegaconf', 'mlflow', 'coloredlogs', "
        "'matplotlib'} & set(sys.modules))); sys.exit(code)"
    )
    worked = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False
    )

    assert 0 == worked.returncode, worked.stderr
    assert "[]" == worked.stdout.strip()
    assert 3 == len(series_of(run))
