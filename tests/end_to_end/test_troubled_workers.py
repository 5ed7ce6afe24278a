"""Runs that hang, fill the memory, kill workers or leave processes behind hurt no other run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from normbench.api import Launching, Report, resume
from normbench.launchers import local
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore, StoredRun
from normbench.worker.trees import Processes

PLUGIN = Path(__file__).parent / "troubles.py"
GIB = 2**30
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue([PLUGIN])


@pytest.fixture
def store(tmp_path):
    return RunStore.open(tmp_path / "store", create=True)


@pytest.fixture
def add(store, catalogue):
    """Return what adds a run whose optimizer has the fault named."""

    def add(mode: str, epochs: int = 2, seed: int = 0) -> StoredRun:
        words = [f"mode={mode}", f"protocol.epochs={epochs}"]
        request = Request(problem="quadratic_deep", optimizer="trouble", words=words, seeds=[seed])
        return store.add(resolve(request, catalogue)[0])

    return add


def train(store: RunStore, runs, catalogue, **launching) -> Report:
    """Train runs by the local launcher, in the order given."""
    options = Launching(**{"track": False, "slots": 1, "device": "cpu", **launching})
    names = [run.fingerprint for run in runs]
    return resume(store.root, names, catalogue=catalogue, launching=options)


def test_run_that_kills_workers_is_set_aside_whoever_starts_them(store, add, catalogue, caplog):
    """Deaths are counted in the store: the first makes it a suspect, three more set it aside."""
    deadly, good, bad = add("exit"), add("none"), add("raise")
    command = [sys.executable, "-m", "normbench.worker", "--store", str(store.root)]
    command += ["--plugin", str(PLUGIN), deadly.fingerprint]
    lone = [subprocess.run(command, capture_output=True, check=False) for _ in range(2)]
    report = train(store, [deadly, bad, good], catalogue)

    assert [7, 7] == [done.returncode for done in lone]
    states = [run.state() for run in (deadly, bad, good)]
    assert [RunState.KILLED, RunState.FAILED, RunState.FINISHED] == states
    assert "exit code 7, 3 times over" in deadly.attempts()[-1].message
    assert [5, 1, 1] == [len(run.attempts()) for run in (deadly, bad, good)]
    assert "ValueError: trouble in the plugin" == bad.attempts()[-1].message
    assert "second line" in (bad.attempts()[-1].folder / "traceback.txt").read_text()
    assert 1 == report.trained
    assert not [record for record in caplog.records if bad.fingerprint[:8] in record.getMessage()]


def test_worker_that_sets_a_run_aside_says_so(store, add):
    """A lone worker that meets three strikes closes the run as killed and exits with 1."""
    run = add("none")
    for _ in range(3):
        attempt = run.claim({})
        attempt.note_pack(1, alone=True)
        os.utime(attempt.path / "heartbeat", (1, 1))
    command = [sys.executable, "-m", "normbench.worker", "--store", str(store.root)]
    done = subprocess.run(
        [*command, "--plugin", str(PLUGIN), run.fingerprint], capture_output=True, check=False
    )

    assert (1, RunState.KILLED) == (done.returncode, run.state())
    assert b"is set aside: its worker died, 3 times over" in done.stderr


def test_memory_beyond_the_limit_hurts_no_neighbour(store, add, catalogue):
    """A worker that allocates too much, or whose child does, ends; the others train on."""
    greedy, parent, neighbours = (
        add("allocate"),
        add("child"),
        [add("none", seed=s) for s in (1, 2)],
    )
    train(store, [greedy, *neighbours, parent], catalogue, slots=2, memory_limit=GIB)

    assert RunState.OUT_OF_MEMORY is greedy.state() is parent.state()
    assert "memory limit: 1 GiB" in greedy.attempts()[-1].message
    assert "traceback.txt" in {path.name for path in greedy.attempts()[-1].folder.iterdir()}
    assert "killed: it held" in parent.attempts()[-1].message
    assert {RunState.FINISHED} == {run.state() for run in neighbours}
    assert {1} == {len(run.attempts()) for run in (greedy, parent, *neighbours)}


def test_time_limit_ends_runs_whatever_they_do(store, add, catalogue, monkeypatch, tmp_path):
    """One that reacts keeps its checkpoint and goes on from it later; one that hangs is killed.

    With it goes what it started, though that left its session and is nobody's child.
    """
    monkeypatch.setattr(local, "TIME_GRACE_SECONDS", 1.0)
    monkeypatch.setenv("TROUBLE_FILE", str(tmp_path / "pid"))
    slow, stuck = add("slow", epochs=40), add("spawn")
    train(store, [slow, stuck], catalogue, slots=2, time_limit=6.0, checkpoint_seconds=0.0)

    assert RunState.TIMED_OUT is slow.state() is stuck.state()
    assert "longer than its limit of 6.0 s" in slow.attempts()[-1].message
    assert "killed: it did not end after 6.0 s" in stuck.attempts()[-1].message
    assert set() == Processes().tree(int((tmp_path / "pid").read_text()))
    before = slow.points()[-1]["epoch"]
    assert 0 < before < 40
    train(store, [slow], catalogue, time_limit=3.0, checkpoint_seconds=0.0)
    assert RunState.TIMED_OUT is slow.state()
    assert 2 == len(slow.attempts())
    assert before <= slow.points()[-1]["epoch"] <= before + 1


def test_second_interrupt_kills_at_once(store, add, tmp_path):
    """A run that ignores Ctrl-C counts as interrupted, without a strike; SIGTERM is the second."""
    run = add("hang")
    words = ["resume", "--store", str(store.root), "--plugin", str(PLUGIN), "--no-track"]
    command = [sys.executable, "-m", "normbench", *words, "--slots", "1", "--device", "cpu"]
    deaf = tmp_path / "deaf"
    variables = {**os.environ, "DEAF_FILE": str(deaf)}
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables)
    wait_for(deaf.exists)
    driver.send_signal(signal.SIGINT)
    lines = [driver.stderr.readline()]
    driver.send_signal(signal.SIGTERM)
    lines += driver.stderr.readlines()
    driver.stderr.close()

    assert 130 == driver.wait(60)
    assert "interrupt again to kill" in lines[0]
    assert f"interrupted. Go on with: normbench resume --store {store.root}" in lines[-1]
    assert (RunState.INTERRUPTED, "killed on request") == (
        run.state(),
        run.attempts()[-1].message,
    )


def wait_for(condition) -> None:
    """Wait until *condition* holds, and fail after two minutes."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "waited for two minutes"
        time.sleep(0.05)
