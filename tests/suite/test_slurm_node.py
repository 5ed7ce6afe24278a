"""The agent of a SLURM job, with a stand-in for what drains: it goes on, stops, requeues."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from normbench.launchers import slurm_node
from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import LaunchFolder
from normbench.launchers.slurm_node import NodeAgent
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore, processes

AGENT = """
import sys
from normbench.launchers.slurm_node import NodeAgent
store, launch, *command = sys.argv[1:]
agent = NodeAgent(store, launch, tuple(command), "auto", None, 24)
agent()
"""
# Writes down how it was called, then ends as the file beside it says.
DRAIN = """
import os, signal, sys, time
from pathlib import Path
here = Path(sys.argv[1])
with (here / "calls").open("a") as calls:
    deaf = signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    print(*sys.argv[2:], "deaf" if deaf else "hears", os.getsid(0) == os.getpid(), file=calls)
def stop(number, frame):
    (here / "stopped").touch()
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
(here / "runs").touch()
while not (here / "code").exists():
    time.sleep(0.02)
sys.exit(int((here / "code").read_text()))
"""


class Job:
    """An agent in a process of its own, as if SLURM had started it."""

    def __init__(self, folder: Path, seeds: int) -> None:
        self.folder = folder
        store = RunStore.open(folder / "store", create=True)
        request = Request(
            problem="digits_cnn", optimizer="sgd", words=[], seeds=list(range(seeds or 1))
        )
        runs = [store.add(spec).fingerprint for spec in resolve(request, load_catalogue())]
        launch = LaunchFolder.create(
            "slurm",
            LaunchRequest(store=store.root, fingerprints=tuple(runs[:seeds]), data_folder=folder),
        )
        (folder / "drain.py").write_text(DRAIN)
        drain = [sys.executable, str(folder / "drain.py"), str(folder)]
        self._command = [sys.executable, "-c", AGENT, str(store.root), str(launch.path), *drain]

    def start(self, *, code: int | None = None) -> subprocess.Popen[bytes]:
        """Start the agent; what it starts to drain ends with *code*, at once if one is given."""
        if code is not None:
            (self.folder / "code").write_text(str(code))
        return subprocess.Popen(self._command, stderr=subprocess.DEVNULL)

    def calls(self) -> list[str]:
        """Return the words of each draining, which ends with its agent."""
        lines = (self.folder / "calls").read_text().splitlines()
        words = [line.split(" ", 2) for line in lines]
        assert {"--parent"} == {first for first, _, _ in words}
        return [rest for _, _, rest in words]


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Put a squeue on PATH that says how long the job may run, and in which state it is."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_CPUS_PER_NODE", "1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def install(state: str = "RUNNING", left: str = "10:00") -> None:
        path = tmp_path / "squeue"
        path.write_text(
            f'#!/bin/sh\ncase "$*" in *%L*) echo {left};; *) echo "7|{state}|None";; esac\n'
        )
        path.chmod(0o755)

    return install


def test_job_without_runs_left_ends(tmp_path, squeue):
    """One draining, until shortly before the job's end, on the cores given; then all is done."""
    squeue()
    job = Job(tmp_path, seeds=0)

    assert 0 == job.start(code=0).wait(30)
    assert ["--device cpu --slots 1 --wall-time 576 deaf True"] == job.calls()


def test_job_with_gpus_pins_the_draining_to_them(tmp_path, squeue, monkeypatch):
    """The GPUs that SLURM gave, one slot on each; no wall time where there is no limit."""
    squeue(left="UNLIMITED")
    monkeypatch.setenv("SLURM_JOB_GPUS", "2,3")
    job = Job(tmp_path, seeds=0)

    assert 0 == job.start(code=0).wait(30)
    assert ["--device cuda deaf True"] == job.calls()


def test_runs_too_long_for_any_job_are_begun_anyway(tmp_path, squeue):
    """Draining that at once finds nothing short enough is begun without a limit, then requeued."""
    squeue()
    job = Job(tmp_path, seeds=2)

    assert -signal.SIGUSR2 == job.start(code=0).wait(30)
    first, second = job.calls()
    assert "--wall-time 576" in first
    assert "--wall-time" not in second


def test_runs_known_to_be_too_long_are_begun_at_once(tmp_path, squeue):
    """Where finished runs tell that none that is left fits, no worker is started to find that."""
    squeue()
    job = Job(tmp_path, seeds=2)
    first, *_ = RunStore.open(tmp_path / "store").runs()
    told = {"train_seconds": 5000.0, "evaluation_seconds": 0.0, "epochs": first.spec.epochs}
    with first.claim({}) as attempt:
        attempt.publish({"outcome": "finished", "score": 0.5, **told})

    assert -signal.SIGUSR2 == job.start(code=0).wait(30)
    assert ["--device cpu --slots 1 deaf True"] == job.calls()


def test_draining_that_cannot_go_on_fails_the_job(tmp_path, squeue):
    """Its exit code is the job's, and the job is not queued again."""
    squeue()
    job = Job(tmp_path, seeds=2)

    assert 3 == job.start(code=3).wait(30)
    assert 1 == len(job.calls())


def test_jobs_that_get_nowhere_do_not_follow_each_other_for_ever(tmp_path):
    """After ten jobs in a row without progress there is no next one; progress counts anew."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    Job(tmp_path, seeds=1)
    launch = next((tmp_path / "store" / "launches").iterdir())
    agent = NodeAgent(str(tmp_path / "store"), str(launch), (), "cpu", None, 24)
    following = [agent]
    while (submission := following[-1].checkpoint()) is not None:
        following.append(submission.function)
    eleventh = replace(following[-1], furthest=-1).checkpoint().function

    assert 11 == len(following)
    assert (0, 9) == (following[-1].furthest, following[-1].fruitless)
    assert 0 == eleventh.fruitless


def test_what_earlier_jobs_reached_is_not_forgotten(tmp_path):
    """A store that cannot be read, or lost a checkpoint, makes no later job count as progress."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    Job(tmp_path, seeds=1)
    launch = next((tmp_path / "store" / "launches").iterdir())
    agent = NodeAgent(str(tmp_path / "store"), str(launch), (), "cpu", None, 24, furthest=7)
    following = agent.checkpoint().function

    assert (7, 1) == (following.furthest, following.fruitless)
    second = following.checkpoint().function
    assert (7, 2) == (second.furthest, second.fruitless)


# Ends a moment after it was told to, as workers do that write a checkpoint first.
SLOW = """
import signal, sys, threading, time
told = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: told.set())
print("ready", flush=True)
told.wait()
time.sleep(1)
"""


def test_the_next_job_is_asked_for_only_when_the_workers_have_stopped(tmp_path):
    """What they write last counts, and they never meet the workers of the job that follows."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    Job(tmp_path, seeds=1)
    launch = next((tmp_path / "store" / "launches").iterdir())
    agent = NodeAgent(str(tmp_path / "store"), str(launch), (), "cpu", None, 24)
    with subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE) as draining:
        draining.stdout.readline()
        started = processes.started(draining.pid)
        agent._draining = draining.pid, started
        agent.checkpoint()

        assert processes.is_dead(draining.pid, started)
    assert 0 == draining.returncode


def test_what_ended_in_this_launch_asks_for_no_other_job(tmp_path, squeue):
    """A run that ended badly is left to a later launch, so a job that has only such runs ends."""
    squeue()
    job = Job(tmp_path, seeds=1)
    (run,) = RunStore.open(tmp_path / "store").runs()
    with run.claim({}) as attempt:
        attempt.close(RunState.FAILED)

    assert 0 == job.start(code=1).wait(30)


def test_runs_that_ended_count_as_progress(tmp_path):
    """A job in which a run got its result was not in vain, though no checkpoint is left."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    Job(tmp_path, seeds=1)
    launch = next((tmp_path / "store" / "launches").iterdir())
    agent = NodeAgent(str(tmp_path / "store"), str(launch), (), "cpu", None, 24, 0, 3)
    before = agent.checkpoint().function
    (run,) = RunStore.open(tmp_path / "store").runs()
    with run.claim({}) as attempt:
        attempt.publish({"outcome": "finished", "score": 0.5, "epochs": 4})
    after = agent.checkpoint().function

    assert [(0, 4), (5, 0)] == [(each.furthest, each.fruitless) for each in (before, after)]


def test_newest_checkpoint_of_a_run_is_how_far_it_is(tmp_path):
    """What later jobs need not train again counts, whichever attempt left it."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    Job(tmp_path, seeds=1)
    launch = next((tmp_path / "store" / "launches").iterdir())
    (run,) = RunStore.open(tmp_path / "store").runs()
    for epoch in (2, 5, None):
        with run.claim({}) as attempt:
            if epoch is not None:
                attempt.save_checkpoint(lambda path: path.write_bytes(b"weights"), epoch=epoch)
    agent = NodeAgent(str(tmp_path / "store"), str(launch), (), "cpu", None, 24, 4)

    assert 5 == agent.checkpoint().function.furthest


def test_job_that_was_told_to_stop_early_stops_what_it_then_starts(tmp_path, squeue):
    """SIGTERM that comes before the draining has begun is not lost."""
    squeue()
    late = f"import pathlib, time; time.sleep(5); pathlib.Path({str(tmp_path)!r}, 'late').touch()"
    agent = NodeAgent("", "", (sys.executable, "-c", late), "cpu", None, 24)
    agent._stop()
    agent._drain(None)

    assert not (tmp_path / "late").exists()


def test_draining_that_does_not_stop_is_killed(monkeypatch):
    """The next job must not wait for ever, nor meet what is left of this one."""
    monkeypatch.setattr(slurm_node, "_STOP_SECONDS", 0.0)
    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", deaf]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as draining:
        draining.stdout.readline()
        slurm_node._await_end(draining.pid, processes.started(draining.pid))
        code = draining.wait(30)

    assert -signal.SIGKILL == code


@pytest.mark.parametrize(("state", "code"), [("COMPLETING", 0), ("RUNNING", -signal.SIGUSR2)])
def test_sigterm_stops_the_draining(tmp_path, squeue, state, code):
    """A job that SLURM has ended ends; one that loses its node is queued again."""
    squeue(state)
    job = Job(tmp_path, seeds=2)
    agent = job.start()
    deadline = time.monotonic() + 30
    while not (tmp_path / "runs").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    agent.terminate()

    assert code == agent.wait(30)
    assert (tmp_path / "stopped").exists()
