"""Who holds a run: one process at a time, and never again once it is done."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from normbench.errors import LeaseLostError, UsageError
from normbench.store import RunState, claims, processes
from normbench.store.folders import superseded_path
from normbench.store.leases import Lease

PROCESSES = 8
ROUNDS = 60
RESULT = {"outcome": "finished", "score": 0.5}


@pytest.fixture
def racers(store, script):
    """Start processes that each try to claim whatever run they are told."""
    command = [sys.executable, str(Path(__file__).parent / "claim_race.py"), store.root]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(PROCESSES)
        ]
        assert ["ready\n"] * PROCESSES == [process.stdout.readline() for process in processes]
        yield processes
        for process in processes:
            process.kill()


def names(run):
    return sorted(path.name for path in (run.path / "attempts").iterdir())


def test_exactly_one_of_racing_processes_wins(store, racers, make_spec, silence):
    """Of eight processes that claim a new, failed or abandoned run at once, exactly one gets it."""
    for seed in range(ROUNDS):
        run = store.add(make_spec(seed))
        earlier = seed % 3
        if earlier:
            attempt = run.claim({})
            attempt.close(RunState.FAILED) if earlier == 1 else silence(attempt)

        for process in racers:
            process.stdin.write(f"{run.fingerprint}\n")
            process.stdin.flush()
        answers = sorted(int(process.stdout.readline()) for process in racers)

        assert [0] * (PROCESSES - 1) + [1 + bool(earlier)] == answers
        assert RunState.RUNNING is run.state()


def test_a_rename_that_is_repeated_and_reported_as_failed_counts(run, monkeypatch):
    """A network file system may do so; the claim's own lease at the place tells."""
    rename = Path.rename

    def repeated(self, target):
        rename(self, target)
        if self.name.startswith(".claim-"):
            raise FileNotFoundError(errno.ENOENT, "gone")

    monkeypatch.setattr(Path, "rename", repeated)
    attempt = run.claim({})

    assert (1, ["0001"]) == (attempt and attempt.number, names(run))


def test_a_run_copied_without_its_empty_folders_is_claimed(run):
    """Some ways of copying drop what is empty, such as the folder of no attempts."""
    (run.path / "attempts").rmdir()

    run.claim({}).publish(RESULT)

    assert ["0001"] == names(run)
    assert RunState.FINISHED is run.state()


def test_a_live_run_is_not_claimed(run, remote):
    """While its worker lives and stirs, a run is running and nobody else gets it."""
    remote(run)

    assert run.claim({}) is None
    assert RunState.RUNNING is run.state()


def test_a_dead_process_on_this_machine_is_taken_over_at_once(run, remote):
    """A worker killed here needs no lease to run out, however long that is."""
    remote(run, "86400").kill()

    assert RunState.INTERRUPTED is run.state()
    assert 2 == run.claim({}).number
    assert ["0001.superseded", "0002"] == names(run)


def test_a_killed_worker_that_nobody_waited_for_is_dead(run, remote, eventually):
    """A zombie holds no run."""
    worker = remote(run, "86400")

    worker.process.kill()

    eventually(lambda: run.state() is RunState.INTERRUPTED)
    assert worker.process.returncode is None
    assert 2 == run.claim({}).number


def test_a_process_number_used_again_is_not_its_worker(run, silence):
    """A process that has the number of a dead worker but started later does not keep its run."""
    attempt = run.claim({}, lease_seconds=86400)
    lease = (
        (attempt.path / "lease.json")
        .read_text()
        .replace('"process_started": "', '"process_started": "9')
    )
    (attempt.path / "lease.json").write_text(lease)

    assert 2 == run.claim({}).number


def test_machines_that_do_not_say_when_they_booted_are_not_taken_for_one(run, monkeypatch):
    """Without a boot id the number of a dead process may be that of another machine."""
    monkeypatch.setattr(processes, "boot", lambda: "")
    attempt = run.claim({})
    path = attempt.path / "lease.json"
    path.write_text(path.read_text().replace(f'"pid": {os.getpid()}', '"pid": 4000000'))

    assert not Lease.read(attempt.path).holder_is_dead()
    assert RunState.RUNNING is run.state()


def test_a_run_that_was_taken_from_its_worker_is_free(run):
    """Whoever set a late worker aside may die before it takes the run; others then do."""
    late = run.claim({})
    late.path.rename(superseded_path(run.path, 1))

    assert 2 == run.claim({}).number


@pytest.mark.parametrize("other", ["host", "boot"])
def test_a_worker_of_another_machine_keeps_its_run_until_its_lease_ends(run, silence, other):
    """Process numbers of other machines, even of the same name, say nothing; only silence does."""
    attempt = run.claim({})
    path = attempt.path / "lease.json"
    path.write_text(
        path.read_text()
        .replace(f'"pid": {os.getpid()}', '"pid": 4000000')
        .replace(f'"{other}": "', f'"{other}": "x')
    )
    assert run.claim({}) is None

    silence(attempt)

    assert 2 == run.claim({}).number


def test_a_heartbeat_from_the_future_does_not_hold_a_run_for_ever(run):
    """After a clock was set back, an old heartbeat counts as stale."""
    attempt = run.claim({})
    os.utime(attempt.path / "heartbeat", (2**32, 2**32))

    assert RunState.INTERRUPTED is run.state()


def test_a_stopped_worker_that_wakes_writes_nothing_into_the_run(run, remote, eventually):
    """Stopped beyond its lease and taken over, a worker finds everything closed when it wakes."""
    sleeper = remote(run, "0.6")
    assert "done: None" == sleeper.ask("append", 0)
    assert "done: None" == sleeper.ask("checkpoint", 0, 3)
    sleeper.stop()
    attempt = eventually(lambda: run.claim({}))
    inside = [path for path in run.path.rglob("*") if "0001.superseded" not in str(path)]
    before = [path.stat().st_ctime_ns for path in inside]

    sleeper.wake()
    words = [("append", 1), ("checkpoint", 1, 3), ("publish",), ("check",), ("close", "failed")]
    assert ["lost"] * 5 == [sleeper.ask(*word) for word in words]

    assert before == [path.stat().st_ctime_ns for path in inside]
    assert (2, b"\0\0\0") == (attempt.number, attempt.checkpoint.read_bytes())
    assert attempt.publish(RESULT)
    assert 2 == run.result()["attempt"]


def test_a_worker_keeps_its_run_far_beyond_one_lease(run, remote, eventually):
    """The heartbeat renews a short lease again and again."""
    worker = remote(run, "0.6")
    beats = set()

    eventually(lambda: beats.add(worker_beat(run).stat().st_mtime_ns) or len(beats) > 20)

    assert run.claim({}) is None
    assert "done: None" == worker.ask("check")


def worker_beat(run):
    return run.path / "attempts" / "0001" / "heartbeat"


@pytest.mark.parametrize("outcome", ["finished", "diverged"])
def test_a_published_run_is_never_claimed_again(run, outcome):
    """Finished and diverged are final."""
    run.claim({}).publish({"outcome": outcome})

    assert RunState(outcome) is run.state()
    assert run.claim({}) is None


@pytest.mark.parametrize(
    "outcome", ["failed", "out_of_memory", "timed_out", "killed", "interrupted"]
)
def test_a_run_that_was_closed_may_be_claimed_again(run, outcome):
    """Every outcome but a result can be tried again, at once."""
    run.claim({}).close(RunState(outcome), "why", "Traceback ...")
    assert RunState(outcome) is run.state()

    assert 2 == run.claim({}).number
    assert ["0001", "0002"] == names(run)


def test_a_claimer_that_was_overtaken_withdraws(run, silence, monkeypatch):
    """A claimer with an outdated view of the run gets nothing and leaves no trace."""
    outdated = claims.list_attempts(run.path)
    silence(run.claim({}))
    holder = run.claim({})
    looks = iter([outdated, outdated])
    real = claims.list_attempts
    monkeypatch.setattr(claims, "list_attempts", lambda path: next(looks, real(path)))

    assert claims.claim(run.path, {}, 60.0) is None
    holder.check()
    assert ["0001.superseded", "0002"] == names(run)
    assert not list(run.path.glob(".claim-*"))


def test_a_claimer_that_missed_the_result_withdraws(run, monkeypatch):
    """A run published while it is being claimed is not begun again."""
    attempt = run.claim({})
    carry_over = claims.checkpoints.carry_over

    def publish_first(folders, target):
        attempt.publish(RESULT)
        return carry_over(folders, target)

    monkeypatch.setattr(claims, "is_held", lambda attempts, now: False)
    monkeypatch.setattr(claims, "_set_aside", lambda newest, run: None)
    monkeypatch.setattr(claims.checkpoints, "carry_over", publish_first)

    assert claims.claim(run.path, {}, 60.0) is None
    assert ["0001"] == names(run)


@pytest.mark.parametrize("backwards", [True, False])
def test_a_late_claim_that_died_does_not_block_the_run(run, silence, monkeypatch, backwards):
    """A number that is both set aside and claimed belongs to nobody, in whichever order listed."""
    monkeypatch.setattr(
        os, "listdir", lambda path, r=os.listdir: sorted(r(path), reverse=backwards)
    )
    attempt = run.claim({})
    silence(attempt)
    attempt.path.rename(attempt.path.with_name("0001.superseded"))
    late = run.path / "attempts" / "0001"
    late.mkdir()
    (late / "heartbeat").touch()

    assert RunState.INTERRUPTED is run.state()
    assert 2 == run.claim({}).number


def test_half_made_files_are_ignored_and_swept_by_the_next_claim(run, silence):
    """What a crash left half-written is not read, and the next claim removes it."""
    silence(run.claim({}))
    (run.path / ".claim-0").mkdir()
    (run.path / ".claim-0" / "checkpoint-1.pt").write_text("half removed")
    (run.path / "attempts" / "0001" / ".checkpoint-1.pt.0.tmp").write_text("half written")
    (run.path / ".result.json.0.tmp").write_text("half written")
    os.utime(run.path / ".result.json.0.tmp", (1, 1))
    assert RunState.INTERRUPTED is run.state()

    run.claim({})

    assert not list(run.path.rglob(".*"))


def test_a_lease_of_no_length_is_refused(run):
    """A lease must last some time."""
    with pytest.raises(UsageError, match="more than 0"):
        run.claim({}, lease_seconds=0)


def test_a_lost_lease_ends_the_heartbeat(run, silence, eventually, caplog):
    """The thread that keeps a lease alive learns of the takeover, and nothing is written then."""
    attempt = run.claim({}, lease_seconds=0.6)
    late = attempt.path.rename(attempt.path.with_name("0001.superseded"))

    with attempt:
        eventually(lambda: "lost its lease" in caplog.text)
        with pytest.raises(LeaseLostError):
            attempt.append({"epoch": 1})

    assert not {"outcome.json", "heartbeat"} & {path.name for path in late.iterdir()}
