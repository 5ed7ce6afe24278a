"""The words of the slurm launcher, and what it makes of SLURM's answers, without a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from normbench import UsageError
from normbench.errors import NormbenchError
from normbench.launchers import slurm_options, slurm_queue, slurm_submit, slurm_watch
from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import LaunchFolder, launches
from normbench.launchers.slurm import SlurmLauncher
from normbench.launchers.slurm_node import cores_given, gpus_given
from normbench.launchers.slurm_options import read_options, seconds_of
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return a function that puts a command of SLURM's name on PATH, in front of the real one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def install(name: str, script: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return install


def request(store: Path, **words: str) -> LaunchRequest:
    """Return a request for one run that need not exist."""
    return LaunchRequest(
        store=store, fingerprints=("0" * 32,), data_folder=store, device="cpu", options=words
    )


def nothing() -> None:
    """Show no progress."""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 7200),
        ("1:30", 90),
        ("2:00:01", 7201),
        ("1-0", 86400),
        ("1-02:30", 95400),
        ("1-02:30:15", 95415),
    ],
)
def test_times_are_read_as_sbatch_reads_them(text, seconds):
    """All six forms that sbatch documents."""
    assert seconds == seconds_of(text)


@pytest.mark.parametrize("text", ["", "0", "2h", "1:2:3:4", "-5", "1-", "90.5"])
def test_other_times_are_refused_with_the_forms(text):
    """The message says what was received and what is expected."""
    with pytest.raises(UsageError, match=f"time={text}: expected MINUTES, MINUTES:SECONDS"):
        seconds_of(text)


def test_options_go_to_sbatch_or_to_the_launcher():
    """Its own are read; those of sbatch are passed on, written with dashes or underscores."""
    options = read_options(
        {"jobs": "8", "time": "1:30:30", "gpus-per-node": "2", "exclusive": "true", "qos": "low"}
    )

    assert (8, 91, False) == (options.jobs, options.minutes, options.detach)
    assert {"gpus_per_node": "2", "exclusive": True, "qos": "low"} == options.sbatch


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"partitoin": "gpu"}, "unknown option of launcher slurm 'partitoin'. Did you mean 'part"),
        ({"array": "0-3"}, "unknown option of launcher slurm 'array'"),
        ({"jobs": "0"}, "jobs=0: expected a whole number from 1"),
        ({"jobs": "many"}, "jobs=many: expected a whole number from 1"),
        ({"detach": "perhaps"}, "detach=perhaps: expected true or false"),
        ({"partition": ""}, "partition=: expected sbatch's value"),
    ],
)
def test_unfit_options_are_refused(words, message):
    """Unknown names come with the nearest one, values with what is expected."""
    with pytest.raises(UsageError, match=message):
        read_options(words)


def test_short_jobs_are_warned_late():
    """A job is warned 90 s before its end, but never more than a fifth of its time."""
    assert 90 == read_options({"time": "60"}).signal_seconds
    assert 24 == read_options({"time": "2"}).signal_seconds


def test_jobs_below_five_minutes_are_warned_of_once(caplog):
    """Options are read several times on the way to a job; the user is told once."""
    slurm_options._warn_of_short_jobs.cache_clear()
    for _ in range(2):
        assert 1 == read_options({"time": "0:30"}).minutes
        assert 4 == read_options({"time": "4"}).minutes
        assert 5 == read_options({"time": "4:01"}).minutes

    assert ["of a job of 1 minute, ", "of a job of 4 minutes, "] == [
        text.partition("time: ")[2].partition("its first")[0] for text in caplog.messages
    ]
    assert "SLURM stops them 12 to 42 s before its end" in caplog.messages[0]


def test_machine_without_sbatch_is_told_apart(tmp_path, monkeypatch):
    """Without SLURM's commands nothing is written, and the message says where to submit."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="there is no sbatch on PATH"):
        SlurmLauncher()(request(tmp_path / "store"), nothing)
    assert not (tmp_path / "store").exists()


def test_controller_that_does_not_answer_is_an_error(tmp_path, command, monkeypatch):
    """sinfo fails or hangs: the message says what it said, within the time limit."""
    command("sbatch", "exit 1")
    command("srun", "exit 1")
    command("sinfo", "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(UsageError, match=r"does not answer .slurm_load_partitions: Unable to"):
        slurm_queue.check_slurm()
    monkeypatch.setattr(slurm_queue, "COMMAND_SECONDS", 0.2)
    command("sinfo", "exec sleep 60")
    with pytest.raises(UsageError, match=r"sinfo gave no answer in 0\.2 s"):
        slurm_queue.check_slurm()


def test_jobs_that_leave_no_trace_are_reported(tmp_path, command, monkeypatch, caplog):
    """Jobs that are gone without a log: the driver returns, says what is left, and asks why."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    monkeypatch.setattr(slurm_watch, "LOOK_SECONDS", 0.0)
    for name, said in {"srun": "", "sinfo": "ci", "sbatch": "Submitted batch job 7"}.items():
        command(name, f"echo {said}")
    command("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    spec = resolve(Request(problem="digits_cnn", optimizer="sgd", words=[]), load_catalogue())[0]
    run = RunStore.open(tmp_path / "store", create=True).add(spec).fingerprint
    SlurmLauncher()(replace(request(tmp_path / "store"), fingerprints=(run,)), nothing)

    assert f"job 7 is gone and 1 run is left: {run[:8]}. Go on with: normb" in caplog.text
    assert "do the nodes see this folder" in caplog.text


@pytest.fixture
def watched(tmp_path, command, monkeypatch):
    """Return a run, its launch, and a function that watches what squeue says look by look."""
    monkeypatch.setattr(slurm_watch, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(slurm_watch, "POLL_SECONDS", 0.0)
    command("scancel", f'echo "$*" >> {tmp_path}/cancelled')
    command("sacct", "exit 0")
    said = tmp_path / "said"
    command("squeue", f"head -n 1 {said}; sed -i 1d {said}")
    spec = resolve(Request(problem="digits_cnn", optimizer="sgd", words=[]), load_catalogue())[0]
    run = RunStore.open(tmp_path / "store", create=True).add(spec)
    asked = replace(request(tmp_path / "store"), fingerprints=(run.fingerprint,))
    launch = LaunchFolder.create("slurm", asked)

    def watch(states: list[str], tick=nothing) -> list[str]:
        lines = [f"7|{state}|None" if state else "" for state in states]
        said.write_text("\n".join(lines) + "\n")
        slurm_watch.watch_jobs(asked, launch, "7", tick)
        return said.read_text().splitlines()

    return run, launch, watch


def test_job_that_is_nowhere_for_a_moment_is_not_gone(watched, caplog):
    """One that is queued again leaves the queue meanwhile; only two looks in a row tell."""
    _, launch, watch = watched

    assert ["7|SPARE|None"] == watch(["RUNNING", "", "PENDING", "", "", "SPARE"])
    assert launch.info()["ended"]
    assert "is gone and 1 run is left" in caplog.text


def test_jobs_that_wait_are_taken_back_once_all_runs_are_over(watched, tmp_path, caplog):
    """With nothing left to train the rest of the array need not begin."""
    run, _, watch = watched
    with run.claim({}) as attempt:
        attempt.publish({"outcome": "finished", "score": 0.5})
    watch(["RUNNING"] * 3)

    assert "--state=PENDING 7\n" == (tmp_path / "cancelled").read_text()
    assert "left" not in caplog.text


def test_run_that_trains_is_waited_for(watched, tmp_path):
    """A run that a job holds cannot be taken and is not over."""
    run, _, watch = watched
    attempt, ticks = run.claim({}), []

    def tick() -> None:
        ticks.append(run.state())
        if len(ticks) == 3:
            attempt.publish({"outcome": "finished", "score": 0.5})

    with attempt:
        watch(["RUNNING"] * 20, tick)

    assert 3 <= ticks.count(RunState.RUNNING)


def test_driver_inside_a_job_submits_as_if_outside(monkeypatch):
    """The job's own variables bind no new one, the site's and the user's stay; all come back."""
    given = {
        "SLURM_JOB_ID": "7",
        "SRUN_X": "1",
        "SUBMITIT_X": "1",
        "SLURM_CONF": "c",
        "SBATCH_X": "1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with slurm_submit._of_no_job():
        inside = {name for name in given if name in os.environ}

    assert {"SLURM_CONF", "SBATCH_X"} == inside
    assert given == {name: os.environ.get(name) for name in given}


def test_sbatch_is_given_what_was_asked_for(tmp_path, command, capsys):
    """The array, its time and warning, and the options of sbatch, each of them once."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    script = tmp_path / "submitted"
    command("srun", "exit 1")
    command("sinfo", "echo ci")
    command("sbatch", f'cp "$1" {script}; echo Submitted batch job 7')
    RunStore.open(tmp_path / "store", create=True)
    asked = {"jobs": "2", "time": "90:30", "job-name": "mine", "exclusive": "", "detach": "yes"}
    runs = replace(request(tmp_path / "store", **asked), fingerprints=("0" * 32, "1" * 32))
    said = SlurmLauncher()(runs, nothing)

    lines = script.read_text().splitlines()
    for line in ("array=0-1%2", "time=91", "signal=USR2@90", "job-name=mine", "exclusive"):
        assert 1 == lines.count(f"#SBATCH --{line}"), line
    assert 1 == sum("job-name" in line for line in lines)
    assert "submitted job 7_[0-1] of launch" in capsys.readouterr().err
    assert "normbench cancel --launch" in said


def test_refusal_of_sbatch_is_shown_once(tmp_path, command, capsys):
    """What sbatch says is in the error; no job is noted, and the launch is over."""
    command("srun", "exit 1")
    command("sinfo", "echo ci")
    command("sbatch", "echo 'sbatch: error: invalid partition specified: gpuu' >&2; exit 1")
    RunStore.open(tmp_path / "store", create=True)
    with pytest.raises(UsageError, match="refused the jobs: invalid partition"):
        SlurmLauncher()(request(tmp_path / "store", partition="gpuu"), nothing)
    (launch,) = launches(tmp_path / "store")

    assert "gpuu" not in capsys.readouterr().err
    assert ([], True) == (launch.info()["jobs"], launch.is_over())


def test_no_more_jobs_are_asked_for_than_there_are_runs(tmp_path, command, capsys):
    """A single run takes one job however many were offered; its number is noted and told."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    script = tmp_path / "submitted"
    command("srun", "exit 1")
    command("sinfo", "echo ci")
    command("sbatch", f'cp "$1" {script}; echo Submitted batch job 7')
    RunStore.open(tmp_path / "store", create=True)
    SlurmLauncher()(request(tmp_path / "store", jobs="4", detach="true"), nothing)
    (launch,) = launches(tmp_path / "store")

    assert ["7"] == launch.info()["jobs"]
    assert f"submitted job 7 of launch {launch.id}" in capsys.readouterr().err
    assert "--array=0-3" not in script.read_text()


def test_missing_submitit_names_the_extra(tmp_path, command, monkeypatch):
    """The error says what to install."""
    for name in ("srun", "sinfo", "sbatch"):
        command(name, "exit 0")
    RunStore.open(tmp_path / "store", create=True)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match=r"needs submitit. Install it: pip install .*\.\[slurm\]"):
        SlurmLauncher()(request(tmp_path / "store"), nothing)


def test_jobs_that_squeue_forgot_are_gone(command):
    """An unknown job id is no job; any other failure is no answer."""
    command("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert [] == slurm_queue.queued(["7"])
    command("squeue", "echo 'slurm_load_jobs error: Socket timed out' >&2; exit 1")
    assert slurm_queue.queued(["7"]) is None


def test_queue_is_read_with_reasons(command):
    """Each job of an array comes with its state and why it waits."""
    command("squeue", "echo '7_0|RUNNING|None'; echo '7_1|PENDING|Resources|x'")
    jobs = [slurm_queue.Job("7_0", "RUNNING", "None")]
    jobs += [slurm_queue.Job("7_1", "PENDING", "Resources|x")]
    assert jobs == slurm_queue.queued(["7"])


@pytest.mark.parametrize(
    ("left", "seconds"),
    [("2:59", 179.0), ("1:00:00", 3600.0), ("2-00:00:01", 172801.0), ("UNLIMITED", None)],
)
def test_time_left_is_read_from_squeue(command, left, seconds):
    """As squeue writes it; no limit is None."""
    command("squeue", f"echo {left}")
    assert seconds == slurm_queue.seconds_left("7")


def test_sacct_is_asked_only_for_what_it_knows(command):
    """Its words on jobs that began; nothing where the cluster keeps no accounts."""
    command("sacct", "echo '7_0|COMPLETED'; echo '7_1|CANCELLED by 0'; echo '7_[2-9]|PENDING'")
    assert {"7_0": "COMPLETED", "7_1": "CANCELLED by 0"} == slurm_queue.ended_as(["7"])
    command("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert {} == slurm_queue.ended_as(["7"])


def test_refused_cancel_says_what_to_do(command):
    """Jobs that ended are passed over; a refusal is an error with the command to try."""
    command(
        "scancel", "echo 'scancel: error: Kill job error on job id 7: Invalid job id' >&2; exit 1"
    )
    slurm_queue.cancel_jobs(["7"])
    command("scancel", "echo 'scancel: error: Access denied' >&2; exit 1")
    with pytest.raises(NormbenchError, match=r"could not be cancelled: .* Try: scancel 7"):
        slurm_queue.cancel_jobs(["7"])


def test_job_uses_the_gpus_and_cores_it_was_given(monkeypatch):
    """GPUs by CUDA_VISIBLE_DEVICES, else by SLURM's own variables; cores never more than given."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        monkeypatch.delenv(name, raising=False)
    assert "" == gpus_given()
    monkeypatch.setenv("SLURM_JOB_GPUS", "2,3")
    assert "2,3" == gpus_given()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert "0,1" == gpus_given()
    monkeypatch.setenv("SLURM_JOB_CPUS_PER_NODE", "1(x2)")
    assert 1 == cores_given()


def test_launcher_is_listed_and_described_without_submitit():
    """Neither listing nor reading its options imports submitit or torch."""
    code = (
        "import sys, normbench.launchers.slurm, normbench.launchers.slurm_node as n; "
        "print([m for m in ('submitit', 'torch', 'mlflow', 'click') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()
