"""The slurm launcher on a real one-node SLURM with four fake GPUs: jobs that are really killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from normbench.launchers.launches import launches
from normbench.launchers.slurm_queue import queued
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore, StoredRun

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).parent / "driver.py"
DEADLINE = 120.0
EPOCHS = 60
SEEDS = 2
CPU = ("cpus_per_task=2", "time=10")

# SLURM's GPUs are null devices here. A worker told to use its GPU writes down which one it sees and
# trains on the processor; that it was told so is what is tested.
FAKE_GPU = """
import os, sys
from pathlib import Path

import normbench

if "--report" in sys.argv:
    import torch
    from normbench.worker import loop

    given = sys.argv[sys.argv.index("--device") + 1]
    seen = os.environ["CUDA_VISIBLE_DEVICES"]
    task = os.environ["SLURM_ARRAY_TASK_ID"]
    Path(os.environ["PINS"], f"{task}-{os.getpid()}").write_text(f"{given} {seen}")
    torch.cuda.mem_get_info = lambda device: (2**30, 2**30)
    real = loop.Worker
    loop.Worker = lambda store, catalogue, device, *rest: real(
        store, catalogue, torch.device("cpu"), *rest
    )

@normbench.hookimpl
def normbench_optimizers():
    return []
"""


# In the first of its jobs each step takes a while, without using the processor, so that the run
# cannot end in it: 16 epochs of 36 steps take longer than a minute.
SLOW = """
import os, time

import torch

import normbench
from normbench import Optimizer, Parameter

class Slow(torch.optim.SGD):
    def step(self, closure=None):
        if os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
            time.sleep(0.12)
        return super().step(closure)

def slow(groups, lr):
    return Slow(groups, lr=lr)

@normbench.hookimpl
def normbench_optimizers():
    rate = Parameter(name="lr", kind="float", default=0.1, summary="learning rate")
    return [Optimizer(name="slow", summary="waits", parameters=(rate,), factory=slow)]
"""
SLOW_EPOCHS = 16


def make_store(folder: Path, epochs: int = EPOCHS, seeds: int = SEEDS) -> RunStore:
    """Return a store with runs that wait."""
    words = [f"protocol.epochs={epochs}"]
    request = Request(
        problem="digits_cnn_bn", optimizer="momentum", words=words, seeds=list(range(seeds))
    )
    store = RunStore.open(folder, create=True)
    for spec in resolve(request, load_catalogue()):
        store.add(spec)
    return store


def results(store: RunStore) -> dict[str, tuple]:
    """Return all of each run's result and curve but times and places."""
    timed = ("time", "train_seconds", "evaluation_seconds")
    found = {}
    for run in store.runs():
        result = run.result()
        assert result is not None, f"run {run.fingerprint} is {run.state()}"
        kept = {key: result[key] for key in ("weights_sha256", "score", "final", "best", "steps")}
        curve = [{k: v for k, v in p.items() if k not in timed} for p in run.points()]
        found[run.fingerprint] = (kept, curve)
    return found


def normbench(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "normbench", *words]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **variables}, timeout=DEADLINE
    )


def start_driver(store: RunStore, *options: str) -> subprocess.Popen[str]:
    """Start a driver of the launcher on all runs of a store."""
    command = [sys.executable, str(DRIVER), str(store.root), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until *condition* holds; fail when *process* ends before, or after a while."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        assert process is None or process.poll() is None, process.communicate()[1]
        time.sleep(0.1)


def job_of(store: RunStore) -> str:
    """Return the number of the job of a store's newest launch by this launcher."""
    numbers = [launch.info()["jobs"] for launch in launches(store.root) if "slurm" in launch.id]
    return numbers[-1][0] if numbers and numbers[-1] else ""


def has_job(store: RunStore) -> bool:
    """Whether the job of a store is in the queue."""
    number = job_of(store)
    return bool(number and queued([number]))


def trains(run: StoredRun, attempt: int = 1) -> bool:
    """Whether a run trains in at least this attempt, with a checkpoint to go back to."""
    attempts = run.attempts()
    if len(attempts) < attempt or run.state() is not RunState.RUNNING:
        return False
    return any(attempts[-1].folder.glob("checkpoint-*"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, tuple]:
    """The results of the local launcher."""
    store = make_store(tmp_path_factory.mktemp("local") / "store")
    done = normbench("resume", "--store", str(store.root), "--slots", "2", "--no-track")
    assert 0 == done.returncode, done.stderr
    return results(store)


def test_array_pins_each_worker_to_one_gpu(tmp_path, monkeypatch):
    """Two jobs with two GPUs each: four workers, each told to use one GPU and seeing only that."""
    plugin, pins = tmp_path / "fake_gpu.py", tmp_path / "pins"
    plugin.write_text(FAKE_GPU)
    pins.mkdir()
    store = make_store(tmp_path / "store", epochs=1, seeds=12)
    options = ("jobs=2", "gpus_per_node=2", "time=10")
    words = [word for option in options for word in ("--launcher-option", option)]
    done = normbench(
        *("resume", "--store", str(store.root), "--plugin", str(plugin), "--no-track"),
        *("--launcher", "slurm", *words),
        PINS=str(pins),
    )

    assert 0 == done.returncode, done.stderr
    assert f"submitted job {job_of(store)}_[0-1]" in done.stderr
    seen = {file.name.partition("-")[0]: set() for file in pins.iterdir()}
    for file in pins.iterdir():
        seen[file.name.partition("-")[0]].add(file.read_text())
    assert [{"cuda 0", "cuda 1"}, {"cuda 2", "cuda 3"}] == sorted(seen.values(), key=sorted)
    assert 12 == len(results(store))


def test_jobs_outlive_their_driver_a_worker_and_two_requeues(tmp_path, undisturbed):
    """SIGKILL of driver and worker, scontrol requeue, warning of the job's end: the same bits."""
    store = make_store(tmp_path / "store")
    run, *_ = store.runs()
    driver = start_driver(store, *CPU)
    wait_for(lambda: trains(run), driver)
    driver.kill()
    driver.communicate()
    os.kill(run.attempts()[-1].pid, signal.SIGKILL)
    wait_for(lambda: trains(run, 2))
    subprocess.run(["scontrol", "requeue", job_of(store)], check=True)
    wait_for(lambda: trains(run, 3))
    subprocess.run(["scancel", "--signal=USR2", job_of(store)], check=True)
    wait_for(lambda: not has_job(store))

    assert undisturbed == results(store)
    outcomes = [attempt.outcome for attempt in run.attempts()]
    assert 4 <= len(outcomes)
    assert RunState.FINISHED is outcomes[-1]


def test_jobs_ended_by_others_are_reported_and_resumed(tmp_path, undisturbed):
    """scancel from outside: the driver says what is left; resumed and detached, the same bits."""
    store = make_store(tmp_path / "store")
    run, *_ = store.runs()
    driver = start_driver(store, *CPU)
    wait_for(lambda: trains(run), driver)
    subprocess.run(["scancel", job_of(store)], check=True)
    said = driver.communicate(timeout=DEADLINE)[1]

    assert re.search(
        rf"job {job_of(store)} is gone and 2 runs are left: .*{run.fingerprint[:8]}", said
    )
    assert "normbench resume --store" in said
    assert RunState.INTERRUPTED is run.state()
    options = [word for option in CPU for word in ("--launcher-option", option)]
    place = ("--store", str(store.root))
    words = ("--launcher", "slurm", *options, "--launcher-option", "detach=true")
    done = normbench("resume", *place, *words)
    assert 0 == done.returncode, done.stderr
    assert "normbench status --watch 5" in done.stderr
    wait_for(lambda: not has_job(store))
    assert undisturbed == results(store)


def test_interrupted_driver_leaves_the_jobs_and_cancel_ends_them(tmp_path):
    """Ctrl-C says how to watch and to cancel; cancelling stops runs at their checkpoints."""
    store = make_store(tmp_path / "store")
    run, *_ = store.runs()
    place = ("--store", str(store.root))
    options = [word for option in CPU for word in ("--launcher-option", option)]
    command = [sys.executable, "-m", "normbench", "resume", *place, "--no-track"]
    driver = subprocess.Popen(
        [*command, "--launcher", "slurm", *options], stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: run.state() is RunState.RUNNING, driver)
    driver.send_signal(signal.SIGINT)
    said = driver.communicate(timeout=DEADLINE)[1]

    assert 130 == driver.returncode
    assert has_job(store)
    assert "interrupted. The jobs go on." in said
    assert "normbench status --watch 5" in said
    launch = re.search(r"normbench cancel --launch (\S+)", said)[1]
    done = normbench("cancel", "--launch", launch, *place)
    assert 0 == done.returncode, done.stderr
    wait_for(lambda: not has_job(store))
    assert not [r for r in store.runs() if r.state() in (RunState.RUNNING, RunState.FINISHED)]
    assert "ended" in next(each for each in launches(store.root) if each.id == launch).info()


def test_run_longer_than_its_jobs_goes_on_in_several(tmp_path):
    """Jobs of a minute are warned of; a run that outlasts one goes on in the next, and ends."""
    plugin, root = tmp_path / "slow.py", str(tmp_path / "store")
    plugin.write_text(SLOW)
    asked = ("run", "digits_cnn_bn", "slow", f"protocol.epochs={SLOW_EPOCHS}", "--seeds", "1")
    options = ("--launcher-option", "time=1", "--launcher-option", "cpus_per_task=1")
    place = ("--store", root, "--plugin", str(plugin), "--no-track")
    command = [sys.executable, "-m", "normbench", *asked, *place, "--launcher", "slurm", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * DEADLINE)
    store = RunStore.open(Path(root))
    (run,) = store.runs()

    assert 0 == done.returncode, done.stderr
    assert "of a job of 1 minute" in done.stderr
    assert RunState.FINISHED is run.state()
    outcomes = [attempt.outcome for attempt in run.attempts()]
    assert 2 <= len(outcomes)
    assert [RunState.INTERRUPTED] * (len(outcomes) - 1) == outcomes[:-1]
    assert not has_job(store)
    assert [*range(SLOW_EPOCHS + 1)] == [point["epoch"] for point in run.points()]


def test_documented_sbatch_file_drains_a_store(tmp_path, undisturbed):
    """The file in docs/clusters.md, submitted as it stands but for size and time of the job."""
    store = make_store(tmp_path / "store")
    text = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    script = tmp_path / "drain.sh"
    script.write_text(re.search(r"^```bash\n(#!.*?)^```$", text, re.M | re.S)[1])
    words = ["--array=0-1", "--time=10", f"--export=ALL,STORE={store.root}", "--parsable"]
    submitted = subprocess.run(
        ["sbatch", *words, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    wait_for(lambda: not queued([submitted.stdout.strip()]))

    logs = "".join(file.read_text() for file in tmp_path.glob("slurm-*.out"))
    assert "2 finished" in logs or 2 == logs.count("1 finished"), logs
    assert undisturbed == results(store)


def test_scheduler_refusal_reaches_the_user(tmp_path):
    """A partition that is not there: exit 2 with sbatch's own words, and nothing is submitted."""
    store = make_store(tmp_path / "store", epochs=1, seeds=1)
    place = ("--store", str(store.root))
    done = normbench(
        *("resume", *place, "--no-track", "--launcher", "slurm"),
        *("--launcher-option", "partition=gpuu"),
    )

    assert 2 == done.returncode
    assert "invalid partition specified: gpuu" in done.stderr
    assert "Traceback" not in done.stderr
    assert not has_job(store)


def test_controller_that_is_down_reaches_the_user(tmp_path, monkeypatch):
    """A configuration that points nowhere: exit 2 with what sinfo says."""
    store = make_store(tmp_path / "store", epochs=1, seeds=1)
    real = Path(os.environ["SLURM_CONF"]).read_text()
    elsewhere = tmp_path / "slurm.conf"
    elsewhere.write_text(real.replace("SlurmctldPort=16817", "SlurmctldPort=16819"))
    shutil.copy(Path(os.environ["SLURM_CONF"]).with_name("gres.conf"), tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(elsewhere))
    done = normbench("resume", "--store", str(store.root), "--no-track", "--launcher", "slurm")

    assert 2 == done.returncode
    assert "the cluster does not answer" in done.stderr
