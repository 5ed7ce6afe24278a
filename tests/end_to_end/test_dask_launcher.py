"""The Dask launcher on real clusters: whatever is killed or stopped, the results are the same."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from normbench import NormbenchError, UsageError
from normbench.launchers import dask_worker
from normbench.launchers.base import LaunchRequest
from normbench.launchers.dask import DaskLauncher
from normbench.launchers.dask_hands import greet
from normbench.launchers.launches import LaunchFolder, launches
from normbench.launchers.local import LocalLauncher
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore, StoredRun, processes

distributed = pytest.importorskip("distributed", reason="needs the extra dask")
pytestmark = pytest.mark.slow
# A minute and more each, where two cores are busy with other tests.
thorough = pytest.mark.skipif(
    not os.environ.get("NORMBENCH_TEST_DASK"), reason="`make test-dask` runs it"
)

SEEDS = (0, 1, 2)
FAILING = 5.0
DEADLINE = 300.0
ALONE = ("--no-nanny", "--nthreads", "1", "--local-directory")
# Plain SGD that waits in its second epoch for as long as a file is there.
PLUGIN = """
import time
from pathlib import Path
import normbench, torch

GATE = Path({gate!r})

class Gated(torch.optim.SGD):
    steps = 0

    def step(self, closure=None):
        self.steps += 1
        while self.steps > 45 and GATE.exists():
            time.sleep(0.01)
        if self.defaults["lr"] > 1:
            raise RuntimeError("a plugin's mistake")
        return super().step(closure)

def gated(groups, *, lr):
    return Gated(groups, lr=lr)

@normbench.hookimpl
def normbench_optimizers():
    lr = normbench.Parameter(name="lr", kind="float", default=0.1, summary="fails above 1", low=0)
    return [normbench.Optimizer(name="gated", summary="g", factory=gated, parameters=(lr,))]
"""


class Bench:
    """A plugin whose runs wait at a gate, and stores with the same runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gate = folder, folder / "gate"
        self.plugin = folder / "gated.py"
        self.plugin.write_text(PLUGIN.format(gate=str(self.gate)))
        catalogue = load_catalogue([self.plugin])
        self.specs = [
            spec
            for lr, seeds in ((0.05, SEEDS), (FAILING, SEEDS[:1]))
            for spec in resolve(
                Request(
                    problem="digits_cnn_bn",
                    optimizer="gated",
                    words=[f"lr={lr}", "protocol.epochs=3"],
                    seeds=list(seeds),
                ),
                catalogue,
            )
        ]

    def request(self, store: Path, *, good: bool = True, **options: str) -> LaunchRequest:
        """Return the request to train runs in a store; without *good*, the failing one as well."""
        opened = RunStore.open(store, create=True)
        runs = [opened.add(spec).fingerprint for spec in self.specs]
        return LaunchRequest(
            store=store,
            fingerprints=tuple(runs[: len(SEEDS)] if good else runs),
            device="cpu",
            data_folder=self.folder,
            plugin_files=(self.plugin,),
            checkpoint_seconds=0.0,
            options=options,
        )


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    """Return what all tests train."""
    return Bench(tmp_path_factory.mktemp("dask"))


@pytest.fixture(scope="module")
def expected(bench) -> dict[str, dict]:
    """Return the results of the local launcher."""
    store = bench.folder / "local"
    LocalLauncher()(replace(bench.request(store, good=False), slots=1), nothing)
    return results(store)


@pytest.fixture
def closed_gate(bench) -> Iterator[Path]:
    """Yield the gate, closed; open it in the end."""
    bench.gate.touch()
    yield bench.gate
    bench.gate.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Yield a cluster of two Dask workers with one thread each."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
        local_directory=str(tmp_path_factory.mktemp("scratch")),
    ) as started:
        yield started


def nothing() -> None:
    """Show nothing."""


def results(store: Path) -> dict[str, dict]:
    """Return what the runs of a store ended in, but for times, and their curves."""
    return {run.fingerprint: result(run) for run in RunStore.open(store).runs()}


def result(run: StoredRun) -> dict:
    """Return all of a run that must not depend on who trained it."""
    published = run.result() or {"state": run.state()}
    timed = ("time", "train_seconds", "evaluation_seconds")
    names = ("state", "outcome", "weights_sha256", "score", "final", "best", "epochs", "steps")
    curve = [{k: v for k, v in point.items() if k not in timed} for point in run.points()]
    return {name: published.get(name) for name in names} | {"curve": curve}


def good(table: dict[str, dict], bench: Bench) -> dict[str, dict]:
    """Return the part of a table that is about the runs that can finish."""
    names = [spec.fingerprint for spec in bench.specs[: len(SEEDS)]]
    return {name: table[name] for name in names}


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds; fail after a while."""
    deadline = time.monotonic() + DEADLINE
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        tick.wait(0.05)


def at_gate(store: Path) -> list[StoredRun]:
    """Return the runs that train and have a checkpoint."""
    runs = RunStore.open(store).runs()
    return [run for run in runs if run.state() is RunState.RUNNING and len(run.points()) > 1]


def holder(run: StoredRun) -> int:
    """Return the process that trains a run."""
    return run.attempts()[-1].pid


def is_alive(pid: int) -> bool:
    """Whether a process is there."""
    return not processes.is_dead(pid, "")


def parent(pid: int) -> int:
    """Return the parent of a process."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return int(stat.rpartition(")")[2].split()[1])


def command(bench: Bench, store: Path, cluster) -> subprocess.Popen[str]:
    """Start the runs that can finish from the command line."""
    words = ["run", "digits_cnn_bn", "gated", "lr=0.05", "protocol.epochs=3", "--seeds", "0,1,2"]
    words += ["--plugin", str(bench.plugin), "--store", str(store), "--no-track", "--device", "cpu"]
    words += ["--launcher", "dask", "--launcher-option", f"address={cluster.scheduler_address}"]
    return subprocess.Popen(
        [sys.executable, "-m", "normbench", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def driver_of(request: LaunchRequest) -> subprocess.Popen[bytes]:
    """Start a driver that is nothing else."""
    code = f"""
from pathlib import PosixPath
from normbench.launchers.base import LaunchRequest
from normbench.launchers.dask import DaskLauncher
DaskLauncher()({request!r}, lambda: None)
"""
    return subprocess.Popen([sys.executable, "-c", code])


@contextmanager
def launched(request: LaunchRequest) -> Iterator[threading.Thread]:
    """Launch in a thread, and wait for its end."""
    errors: list[BaseException] = []

    def launch() -> None:
        try:
            DaskLauncher()(request, nothing)
        except NormbenchError as error:
            errors.append(error)

    thread = threading.Thread(target=launch)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(DEADLINE)
    assert not thread.is_alive()
    assert [] == errors


@contextmanager
def killing(process: subprocess.Popen[bytes], when: Callable[[], bool]) -> Iterator[None]:
    """Kill a process once a condition holds."""

    def kill() -> None:
        wait_for(when)
        process.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        thread.join(DEADLINE)


def test_runs_are_trained_once_and_as_by_the_local_launcher(bench, cluster, expected):
    """Two Dask workers leave the local launcher's table; what fails is not tried again."""
    store = bench.folder / "calm"
    DaskLauncher()(bench.request(store, good=False, address=cluster.scheduler_address), nothing)

    assert expected == results(store)
    runs = list(RunStore.open(store).runs())
    assert [1] * len(runs) == [len(run.attempts()) for run in runs]
    failed = [run.attempts()[-1] for run in runs if run.state() is RunState.FAILED]
    assert ["RuntimeError: a plugin's mistake"] == [attempt.message for attempt in failed]
    assert "gated.py" in (failed[0].folder / "traceback.txt").read_text()


@thorough
def test_killed_workers_are_replaced_and_late_ones_join(bench, cluster, expected, closed_gate):
    """After a SIGKILL to a training process, then to a Dask worker, the table is the same."""
    store = bench.folder / "killed"
    with launched(bench.request(store, address=cluster.scheduler_address)):
        wait_for(lambda: len(at_gate(store)) == 2)
        first, second = at_gate(store)
        killed = holder(first)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: holder(first) != killed and len(at_gate(store)) == 2)
        # Neither the draining process nor what it started outlives its Dask worker.
        trained, drained = holder(second), parent(holder(second))
        os.kill(parent(drained), signal.SIGKILL)
        wait_for(lambda: not is_alive(trained) and not is_alive(drained))
        wait_for(lambda: len(at_gate(store)) == 2)
        closed_gate.unlink()

    assert good(expected, bench) == good(results(store), bench)
    attempts = [len(run.attempts()) for run in RunStore.open(store).runs()]
    assert [2, 2, 1] == sorted(attempts, reverse=True)[: len(SEEDS)]


@thorough
def test_draining_outlives_its_driver(bench, cluster, expected, closed_gate):
    """Runs go on where they were when the driver is killed, and the next driver waits for them."""
    store = bench.folder / "driverless"
    request = bench.request(store, address=cluster.scheduler_address)
    driver = driver_of(request)
    wait_for(lambda: len(at_gate(store)) == 2)
    driver.kill()
    driver.wait()
    held = {holder(run) for run in at_gate(store)}
    with launched(request):
        wait_for(lambda: len(launches(store)) > 3)
        assert held == {holder(run) for run in at_gate(store)}
        closed_gate.unlink()

    assert good(expected, bench) == good(results(store), bench)
    attempts = [len(run.attempts()) for run in RunStore.open(store).runs()]
    assert [1] * len(SEEDS) == sorted(attempts)[-len(SEEDS) :]


@thorough
def test_interrupted_driver_stops_the_cluster(bench, cluster, expected, closed_gate):
    """Ctrl-C leaves no process behind, says how to go on, and what goes on ends the same."""
    store = bench.folder / "interrupted"
    request = bench.request(store, address=cluster.scheduler_address)
    driver = command(bench, store, cluster)
    wait_for(lambda: len(at_gate(store)) == 2)
    held = [holder(run) for run in at_gate(store)]
    driver.send_signal(signal.SIGINT)
    said = driver.communicate(timeout=DEADLINE)[0]

    assert 130 == driver.returncode, said
    assert "Go on with: normbench run digits_cnn_bn gated lr=0.05" in said
    assert [False, False] == [is_alive(pid) for pid in held]
    states = [run.state() for run in RunStore.open(store).runs()]
    assert [RunState.INTERRUPTED] * 2 == [state for state in states if state != RunState.PENDING]
    closed_gate.unlink()
    DaskLauncher()(request, nothing)
    assert good(expected, bench) == good(results(store), bench)


@contextmanager
def dask(*words: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start `dask scheduler` or `dask worker`, and kill it in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *words, "--no-dashboard"],
        env={**os.environ, **variables},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_cluster_that_cannot_train_is_refused(bench, tmp_path, caplog):
    """No worker, one with another version, one that does not see the store: each is named."""
    other = tmp_path / "normbench-9.9.9.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: normbench\nVersion: 9.9.9\n")
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        address = empty.scheduler_address
        request = bench.request(tmp_path / "store", address=address, worker_timeout="0.2")
        with pytest.raises(NormbenchError, match=r"no workers for 0\.2 s.*Start some"):
            DaskLauncher()(request, nothing)
        assert "has no workers; waiting up to 0.2 s" in caplog.text
        worker = dask("worker", address, *ALONE, str(tmp_path), PYTHONPATH=path)
        with worker, distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=DEADLINE)
            ours = dask_worker.version()
            with pytest.raises(UsageError, match=f"has normbench 9.9.9. This is normbench {ours}"):
                DaskLauncher()(request, nothing)


def test_cancelled_launch_ends_its_driver(bench, tmp_path):
    """`normbench cancel --launch` from another process ends a driver that waits for workers."""
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        request = bench.request(tmp_path, address=empty.scheduler_address)

        def cancel() -> None:
            wait_for(lambda: bool(launches(tmp_path)) and bool(launches(tmp_path)[0].info()))
            DaskLauncher().cancel(launches(tmp_path)[0])

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(KeyboardInterrupt, match="was cancelled"):
            DaskLauncher()(request, nothing)
        thread.join(DEADLINE)

    assert launches(tmp_path)[0].is_over()


def test_hand_that_does_not_see_the_store_is_named(bench, cluster, tmp_path):
    """A Dask worker on whose machine the store is missing is refused with host and folder."""
    request = bench.request(tmp_path / "store")
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        hands = greet(client, client.nthreads(), request, LaunchFolder(tmp_path / "not there"))

    assert 2 == len(hands)
    for hand in hands:
        assert f"on {socket.gethostname()} does not see the store {request.store}" in hand.refused


@thorough
def test_end_of_the_scheduler_ends_the_draining(bench, tmp_path, closed_gate):
    """When the scheduler dies the launcher says so, and no process of the cluster trains on."""
    file = tmp_path / "scheduler.json"
    store = bench.folder / "abandoned"
    with dask("scheduler", "--port", "0", "--scheduler-file", str(file)) as scheduler:
        wait_for(file.exists)
        request = bench.request(store, scheduler_file=str(file), timeout="1")
        with (
            dask("worker", "--scheduler-file", str(file), *ALONE, str(tmp_path)),
            pytest.raises(NormbenchError, match=r"scheduler at .* is gone.*normbench resume"),
            killing(scheduler, lambda: len(at_gate(store)) == 1),
        ):
            DaskLauncher()(request, nothing)
        wait_for(lambda: not at_gate(store))

    runs = RunStore.open(store).runs()
    assert RunState.INTERRUPTED in [run.state() for run in runs]
