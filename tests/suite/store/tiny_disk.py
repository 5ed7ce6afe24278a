"""What a run store does on a tiny disk that is mounted for this process alone.

tiny_disk.py full|read_only|index_full|index_read_only FOLDER
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import _make_spec
from normbench.errors import StoreError
from normbench.store import Attempt, RunState, RunStore, StoredRun, indexing

RESULT = {"outcome": "finished", "score": 0.5}


def full(root: Path) -> str:
    """Fill the disk under a running attempt, check all that fails, make room, and go on."""
    store = RunStore.open(root / "store", create=True)
    run = store.add(_make_spec())
    attempt = run.claim({})
    attempt.append({"epoch": 0})
    save(attempt, 0, 1000)
    filler = fill(root)
    with attempt:
        refused("disk is full", lambda: save(attempt, 1, 200_000))
        refused("disk is full", lambda: append_until_full(attempt))
        refused("disk is full", lambda: attempt.publish({**RESULT, "note": "x" * 8000}))
        attempt.check()
        check_readable(run, RunState.RUNNING)
        refused("disk is full", lambda: attempt.close(RunState.FAILED, "x" * 8000))
    check_readable(run, RunState.INTERRUPTED)
    refused("disk is full", lambda: run.claim({"packages": "x" * 8000}))
    refused("disk is full", lambda: store.add(_make_spec(1)))
    assert [run.fingerprint] == [run.fingerprint for run in RunStore.open(store.root).runs()]
    filler.unlink()
    again = run.claim({})
    assert [{"epoch": 0}] == again.points
    assert b"\0" * 1000 == again.checkpoint.read_bytes()
    assert again.publish(RESULT)
    assert not list(run.path.rglob("*.tmp"))
    return "full disk survived"


def read_only(root: Path) -> str:
    """Mount the disk read-only and use the store on it."""
    store = RunStore.open(root / "store", create=True)
    assert store.writable
    done, open_run = store.add(_make_spec()), store.add(_make_spec(1))
    attempt = done.claim({})
    attempt.append({"epoch": 0})
    attempt.publish(RESULT)
    subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
    store = RunStore.open(store.root)
    assert not store.writable
    assert {RunState.FINISHED, RunState.PENDING} == {run.state() for run in store.runs()}
    assert [{"epoch": 0}] == store.get(done.fingerprint).points()
    assert not store.add(_make_spec()).readmit()
    refused("read-only", lambda: store.add(_make_spec(2)))
    refused("read-only", lambda: store.get(open_run.fingerprint).claim({}))
    refused("read-only", lambda: store.lock("sync", wait=0).__enter__())
    return "read-only disk read"


def index_full(root: Path) -> str:
    """Look at a store on a full disk, which is no error, and again once there is room."""
    store = RunStore.open(root / "store", create=True)
    for seed in range(3):
        store.add(_make_spec(seed))
    filler = fill(root)
    indexing.SMALL = 0
    assert [RunState.PENDING] * 3 == [run.state for run in store.index().runs.values()]
    assert not list(store.root.glob("index/*"))
    filler.unlink()
    assert 3 == len(store.index().runs)
    return "full disk looked at"


def index_read_only(root: Path) -> str:
    """Look at a store on a disk that cannot be written, which is no error."""
    store = RunStore.open(root / "store", create=True)
    store.add(_make_spec()).claim({}).publish(RESULT)
    store.add(_make_spec(1))
    subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
    indexing.SMALL = 0
    for _ in range(2):
        states = [run.state for run in store.index().runs.values()]
        assert {RunState.FINISHED, RunState.PENDING} == set(states)
    return "read-only disk looked at"


def fill(root: Path) -> Path:
    """Write a file that takes all the space there is."""
    filler = root / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(4096)):
                pass
        except OSError:
            return filler


def save(attempt: Attempt, epoch: int, size: int) -> None:
    """Save a checkpoint of *size* bytes."""
    attempt.save_checkpoint(lambda path: path.write_bytes(bytes([epoch]) * size), epoch=epoch)


def append_until_full(attempt: Attempt) -> None:
    """Append points; the first ones fit into the journal's last block."""
    for epoch in range(1, 10_000):
        attempt.append({"epoch": epoch, "note": "x" * 100})


def check_readable(run: StoredRun, state: RunState) -> None:
    """Check that state and points can be read and no line is torn."""
    assert state is run.state()
    epochs = [point["epoch"] for point in run.points()]
    assert list(range(len(epochs))) == epochs
    assert epochs


def refused(cause: str, action: Callable[[], object]) -> None:
    """Check that *action* ends in a StoreError that names the *cause*."""
    with pytest.raises(StoreError, match=cause):
        action()


if __name__ == "__main__":
    deeds = {deed.__name__: deed for deed in (full, read_only, index_full, index_read_only)}
    sys.stdout.write(deeds[sys.argv[1]](Path(sys.argv[2])) + "\n")
