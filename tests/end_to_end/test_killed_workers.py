"""Workers killed, stopped and raced for real: the run they leave is the undisturbed one."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore
from normbench.worker import Worker

# A forked child has torch already, so a life costs milliseconds instead of seconds.
FORK = multiprocessing.get_context("fork")
CATALOGUE = load_catalogue()
KILLS = 20
DEADLINE = 300.0


def add_run(folder: Path, epochs: int = 30, problem: str = "digits_cnn_bn") -> str:
    """Add one run to a store and return its fingerprint."""
    words = [f"protocol.epochs={epochs}"]
    request = Request(problem=problem, optimizer="momentum", words=words, seeds=[1])
    return RunStore.open(folder, create=True).add(resolve(request, CATALOGUE)[0]).fingerprint


def work(folder: Path, fingerprint: str, lease_seconds: float = 60.0) -> None:
    """Train one run of a store, with a checkpoint at every epoch."""
    torch.set_num_threads(1)
    store = RunStore.open(folder)
    cpu = torch.device("cpu")
    worker = Worker(
        store, CATALOGUE, cpu, Path(), checkpoint_seconds=0.0, lease_seconds=lease_seconds
    )
    run = store.get(fingerprint)
    assert run is not None
    worker.train(run)


def start(*arguments) -> multiprocessing.process.BaseProcess:
    """Start a worker process."""
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process


def wait_for(condition) -> None:
    """Wait until *condition* holds, and fail after a minute."""
    tick = FORK.Event()
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute"
        tick.wait(0.01)


def result_of(folder: Path, fingerprint: str) -> dict:
    """Return the published result."""
    result = RunStore.open(folder).get(fingerprint).result()
    assert result is not None
    return result


@pytest.mark.slow
def test_run_killed_twenty_times_ends_in_the_same_bits(tmp_path):
    """SIGKILL at random moments: weights, scores and curve equal the undisturbed run's."""
    fingerprint = add_run(tmp_path / "calm", epochs=60)
    add_run(tmp_path / "killed", epochs=60)
    work(tmp_path / "calm", fingerprint)
    whole = result_of(tmp_path / "calm", fingerprint)
    moments = random.Random(0)
    run = RunStore.open(tmp_path / "killed").get(fingerprint)
    kills = 0
    while kills < KILLS and run.result() is None:
        process = start(tmp_path / "killed", fingerprint)
        # Somewhere within the next epochs, before the first one too; never so late that it ends.
        aim = len(run.points()) + moments.randrange(3)
        wait_for(lambda aim=aim, process=process: len(run.points()) >= aim or process.exitcode)
        process.join(moments.uniform(0.0, 0.03))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    work(tmp_path / "killed", fingerprint)
    killed = result_of(tmp_path / "killed", fingerprint)

    assert kills >= KILLS
    for key in ("weights_sha256", "score", "final", "best", "epochs", "steps"):
        assert whole[key] == killed[key]
    assert _curve(tmp_path / "calm", fingerprint) == _curve(tmp_path / "killed", fingerprint)


def _curve(folder: Path, fingerprint: str) -> list[dict]:
    timed = ("time", "train_seconds", "evaluation_seconds")
    points = RunStore.open(folder).get(fingerprint).points()
    return [{k: v for k, v in point.items() if k not in timed} for point in points]


def test_stopped_worker_cannot_write_into_a_run_taken_over(tmp_path):
    """A worker stopped, overtaken and woken leaves the published result and its curve alone."""
    fingerprint = add_run(tmp_path, epochs=12)
    run = RunStore.open(tmp_path).get(fingerprint)
    stopped = start(tmp_path, fingerprint, 0.5)
    wait_for(lambda: len(run.points()) >= 3)
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: run.state() is RunState.INTERRUPTED)
        work(tmp_path, fingerprint, 0.5)
        before = (run.path / "result.json").read_bytes(), run.points()
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    stopped.join(DEADLINE)

    assert stopped.exitcode is not None
    assert before == ((run.path / "result.json").read_bytes(), run.points())
    assert 2 == run.result()["attempt"]


def test_two_workers_never_train_the_same_run(tmp_path):
    """Of two workers at one run, one trains it and the other leaves it."""
    fingerprint = add_run(tmp_path, epochs=5)
    racers = [start(tmp_path, fingerprint) for _ in range(2)]
    for racer in racers:
        racer.join(DEADLINE)

    assert [0, 0] == [racer.exitcode for racer in racers]
    assert 1 == len(RunStore.open(tmp_path).get(fingerprint).attempts())


def test_failure_in_a_plugin_is_an_outcome_with_its_traceback(tmp_path):
    """An exception while training is kept with the run, which may be tried again."""
    request = Request(problem="digits_cnn_bn", optimizer="sgd", words=["problem.batch_size=5000"])
    store = RunStore.open(tmp_path, create=True)
    run = store.add(resolve(request, CATALOGUE)[0])
    Worker(store, CATALOGUE, torch.device("cpu"), Path()).train(run)

    assert RunState.FAILED is run.state()
    attempt = run.attempts()[-1]
    assert "problem.batch_size=5000" in attempt.message
    assert "Traceback" in (attempt.folder / "traceback.txt").read_text()
