"""Two hundred runs on two slots: none lost, none doubled, whoever dies meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from normbench.launchers.launches import launches
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore
from normbench.worker.trees import Processes

RUNS = 200
WORDS = ("lr=0.001", "protocol.epochs=2")
WORKER_KILLS, DRIVER_KILLS = 4, 2
DEADLINE = 300.0
pytestmark = pytest.mark.slow


def fill(folder: Path, runs: int = RUNS) -> RunStore:
    """Return a store of short runs."""
    store = RunStore.open(folder, create=True)
    request = Request(problem="quadratic_deep", optimizer="sgd", words=WORDS, seeds=runs)
    for spec in resolve(request, load_catalogue()):
        store.add(spec)
    return store


def start(store: RunStore, *words: str) -> subprocess.Popen[bytes]:
    """Start a driver that drains the store."""
    command = [sys.executable, "-m", "normbench.worker", "--drain", "--store", str(store.root)]
    return subprocess.Popen([*command, "--device", "cpu", *words], stderr=subprocess.DEVNULL)


def table(store: RunStore) -> dict[str, Any]:
    """Return what must not depend on who died: scores and weights, by run."""
    kept = ("outcome", "score", "final", "best", "epochs", "steps", "weights_sha256")
    results = {run.fingerprint: run.result() or {} for run in store.runs()}
    return {name: [result.get(key) for key in kept] for name, result in results.items()}


def resident(pid: int) -> int:
    """Return the bytes of its own memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def events(store: RunStore, kind: str) -> list[str]:
    """Return the runs that workers reported so, in all launches of the store."""
    files = [file for launch in launches(store.root) for file in launch.logs.glob("*.jsonl")]
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [line["run"] for line in lines if line["event"] == kind]


def ended(store: RunStore) -> int:
    """Return how many runs have ended."""
    return len(events(store, "ended"))


def wait_until(condition, driver: subprocess.Popen[bytes]) -> bool:
    """Wait until *condition* holds or the driver has ended; whether the condition holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        if driver.poll() is not None:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """An undisturbed sweep, and the driver's memory after a quarter of it and at the end."""
    store = fill(tmp_path_factory.mktemp("calm"))
    driver = start(store, "--slots", "2")
    memory = []
    for share in (RUNS // 4, RUNS - 5):
        assert wait_until(lambda share=share: ended(store) >= share, driver)
        memory.append(resident(driver.pid))
    assert 0 == driver.wait(DEADLINE)
    return store, memory


def test_undisturbed_sweep_loses_and_doubles_nothing(calm):
    """Each run is taken once and ends once, by two workers, and the driver's memory stays flat."""
    store, memory = calm

    assert sorted(run.fingerprint for run in store.runs()) == sorted(events(store, "took"))
    assert sorted(events(store, "took")) == sorted(events(store, "ended"))
    assert {RunState.FINISHED} == {run.state() for run in store.runs()}
    assert {1} == {len(run.attempts()) for run in store.runs()}
    assert 2 == len(list(launches(store.root)[0].logs.glob("*.jsonl")))
    assert memory[1] - memory[0] < 2 * 2**20


def busy(store: RunStore) -> list[int]:
    """Return the workers that train a run now."""
    running = [run for run in store.runs() if run.state() is RunState.RUNNING]
    return [attempts[-1].pid for run in running if (attempts := run.attempts())]


def test_sweep_of_killed_workers_and_drivers_ends_in_the_same_bits(calm, tmp_path):
    """Workers die by SIGKILL, the driver twice; scores and weights are the undisturbed sweep's."""
    store, moments = fill(tmp_path), random.Random(0)
    kills = {"worker": 0, "driver": 0}
    driver = start(store, "--slots", "2")
    for number in range(WORKER_KILLS + DRIVER_KILLS):
        goal = (number + 1) * RUNS // (WORKER_KILLS + DRIVER_KILLS + 2) + moments.randrange(5)
        wait_until(lambda goal=goal: ended(store) >= goal, driver)
        if number % 3 == 2:
            workers = Processes().tree(driver.pid) - {driver.pid}
            driver.kill()
            kills["driver"] += driver.wait() == -signal.SIGKILL
            driver = start(store, "--slots", "2")
            wait_until(lambda gone=workers: not gone & _living(), driver)
        else:
            pids: list[int] = []
            wait_until(lambda pids=pids: pids.extend(busy(store)) or pids, driver)
            os.kill(moments.choice(pids), signal.SIGKILL)
            kills["worker"] += 1
    assert 0 == driver.wait(DEADLINE)

    assert {"worker": WORKER_KILLS, "driver": DRIVER_KILLS} == kills
    assert table(calm[0]) == table(store)
    attempts = [attempt for run in store.runs() for attempt in run.attempts()]
    dead = [attempt for attempt in attempts if attempt.superseded]
    assert 0 < len(dead) <= WORKER_KILLS
    assert RUNS == sum(attempt.outcome is RunState.FINISHED for attempt in attempts)


def _living() -> set[int]:
    return {int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()}


def test_two_machines_drain_one_store(tmp_path):
    """Two launchers that know nothing of each other share the runs; a third finds none."""
    store = fill(tmp_path, runs=20)
    both = [start(store, "--slots", "1") for _ in range(2)]
    codes = [driver.wait(DEADLINE) for driver in both]

    assert [0, 0] == codes
    assert sorted(run.fingerprint for run in store.runs()) == sorted(events(store, "took"))
    assert {1} == {len(run.attempts()) for run in store.runs()}
    assert 0 == start(store).wait(DEADLINE)
    assert 0 == len(list(launches(store.root)[-1].logs.iterdir()))


def test_terminated_drain_leaves_everything_resumable(tmp_path):
    """On SIGTERM workers let go of their runs, and what is left is taken by the next one."""
    store = fill(tmp_path, runs=16)
    driver = start(store, "--slots", "2")
    assert wait_until(lambda: ended(store) >= 2, driver)
    driver.terminate()
    code = driver.wait(DEADLINE)
    states = {run.state() for run in store.runs()}

    assert 130 == code
    assert states <= {RunState.PENDING, RunState.INTERRUPTED, RunState.FINISHED}
    assert set() == Processes().tree(driver.pid)
    assert launches(store.root)[0].is_over()
    assert 0 == start(store, "--slots", "1").wait(DEADLINE)
    assert {RunState.FINISHED} == {run.state() for run in store.runs()}


def test_runs_that_would_not_end_before_the_wall_time_are_not_begun(calm, tmp_path):
    """What is known of the row decides; the drain ends at once and leaves them pending."""
    store = fill(tmp_path, runs=4)
    first = next(store.runs())
    result = calm[0].get(first.fingerprint).result()
    (first.path / "result.json").write_text(json.dumps({**result, "train_seconds": 7200.0}))
    driver = start(store, "--slots", "1", "--wall-time", "1h")

    assert 0 == driver.wait(DEADLINE)
    assert [3, 1] == [
        sum(run.state() is state for run in store.runs())
        for state in (RunState.PENDING, RunState.FINISHED)
    ]
