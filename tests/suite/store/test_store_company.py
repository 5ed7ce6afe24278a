"""Who trains on a machine: suspects alone, others together, and neither kept waiting for ever."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from normbench.store import company as companies
from normbench.store.company import Company

# A fork outlives what holds the lock; its parent tries to be alone then.
FORK = """
import os, pathlib, signal, sys
from normbench.store.company import Company
first, second = (Company(pathlib.Path(sys.argv[1])) for _ in range(2))
assert first.join("run 1")
child = os.fork()
if not child:
    signal.pause()
first.leave()
print(second.join("run 2", wait=10))
os.kill(child, signal.SIGKILL)
"""


@pytest.fixture
def lock(tmp_path):
    """Where the lock of a machine is."""
    return tmp_path / "locks" / "training-here.lock"


@pytest.fixture
def workers(lock):
    """Three workers of one machine."""
    return [Company(lock) for _ in range(3)]


def refuse(code: int):
    """Return what stands for a system call that ends with an error."""

    def refused(*words, **more):
        raise OSError(code, os.strerror(code))

    return refused


def test_no_run_begins_while_a_suspect_has_waited(workers, monkeypatch, caplog):
    """What trains ends, then the suspect comes, then the others; it is said once."""
    monkeypatch.setattr(companies, "_PATIENCE_SECONDS", 0.0)
    healthy, driver, suspect = workers
    seen = [healthy.join(), driver.join("deadbeef 1"), driver.join("deadbeef 1")]
    healthy.leave()
    # A look by the driver leaves the machine to the worker that it starts.
    seen += [healthy.join(), driver.join("deadbeef 1")]
    driver.leave()
    seen += [healthy.join(), suspect.join("deadbeef 1"), healthy.join()]
    suspect.begin()
    suspect.admit_others()
    seen += [healthy.join(), suspect.alone]

    assert [True, False, False, False, True, False, True, False, True, False] == seen
    said = [record.getMessage().split()[:3] for record in caplog.records]
    assert [["run", "deadbeef,", "whose"], ["no", "run", "begins"]] == said


def test_others_have_their_turn_after_a_suspect(workers):
    """A second suspect that finds the machine free waits for them, unless none waits any more."""
    first, second, healthy = workers
    seen = [first.join("deadbeef 1"), healthy.join()]
    first.leave()
    seen += [second.join("decafbad 1"), healthy.join()]
    healthy.begin()
    healthy.leave()
    seen += [second.join("decafbad 1")]

    assert [True, False, False, True, True] == seen


def test_a_suspect_that_waits_is_let_in_after_some_seconds(workers, monkeypatch):
    """Those while another suspect is alone do not count; its mark is good for a minute."""
    first, second, healthy = workers
    now, begun = [0.0], []
    clock = SimpleNamespace(monotonic=lambda: now[0], time=lambda: now[0], sleep=time.sleep)
    monkeypatch.setattr(companies, "time", clock)
    assert first.join("deadbeef 1")
    for now[0] in (0.0, 900.0, 905.0, 914.0, 915.0, 970.0):
        assert not second.join("decafbad 1")
        if now[0] == 900.0:
            first.admit_others()
        begun.append(healthy.join())
        healthy.leave()
    now[0] = 1030.0
    begun.append(healthy.join())
    assert not second.join("decafbad 1")
    # A run that comes before it in its own list, or the next attempt, begins the waiting anew.
    begun += [second.join(), second.join("decafbad 2"), healthy.join()]

    assert [False, True, True, True, False, False, True, True, False, True] == begun


def test_a_fork_keeps_no_lock(lock):
    """What a killed worker leaves running does not keep its run from being alone."""
    command = [sys.executable, "-c", FORK, lock]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert "True\n" == told.stdout


def test_suspects_train_beside_others_where_nothing_can_be_locked(workers, monkeypatch, caplog):
    """That is said of the run, once, and stops nobody; others need not look out for it."""
    monkeypatch.setattr(companies.fcntl, "flock", refuse(errno.ENOLCK))
    suspect, healthy, _ = workers
    joined = [healthy.join(), *(suspect.join("deadbeef 1") for _ in range(2))]

    assert [True, True, True] == joined
    assert not suspect.alone
    assert ["run deadbeef, whose worker died, is trained beside others"] == [
        record.getMessage().partition(":")[0] for record in caplog.records
    ]


def test_a_lock_of_another_user_is_respected(workers, lock, monkeypatch):
    """It and the marks may be read only; a mark is made anew."""
    suspect, healthy, third = workers
    assert suspect.join("deadbeef 1")
    real = os.open

    def read_only(path, flags, *mode):
        if flags & (os.O_RDWR | os.O_WRONLY) and path.exists():
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *mode)

    monkeypatch.setattr(companies.os, "open", read_only)
    lock.with_suffix(".others").write_text("0")

    assert not healthy.join()
    suspect.leave()
    assert not third.join("decafbad 1")
    assert healthy.join()
    assert not third.join("decafbad 1")


def test_to_admit_others_waits_for_nobody(workers, monkeypatch):
    """Where another suspect slips in, the run goes on without a lock."""
    modes = []

    def slipped_in(descriptor, mode) -> None:
        modes.append(mode)
        raise BlockingIOError

    first = workers[0]
    assert first.join("deadbeef 1")
    with monkeypatch.context() as patch:
        patch.setattr(companies.fcntl, "flock", slipped_in)
        first.admit_others()

    assert ([fcntl.LOCK_SH | fcntl.LOCK_NB], False) == (modes, first.alone)
