"""Disks that are full or read-only: a clear error, and a store that stays readable."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from normbench.errors import StoreError
from normbench.store import RunState, RunStore

PRIVATE_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")


@pytest.fixture
def own_disk(tmp_path):
    """Return the words before a command that give it a tiny disk of its own, and its folder."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=512k tmpfs {disk} && exec "$@"'
    words = (*PRIVATE_MOUNTS, "sh", "-c", mount, "sh")
    try:
        subprocess.run([*words, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a disk cannot be mounted here: {error}")
    return words, disk


def test_a_full_disk_is_told_and_the_run_goes_on_once_there_is_room(script, own_disk):
    """On a real full disk every write says so, nothing stored is lost, and the run resumes."""
    words, disk = own_disk

    assert "full disk survived" == script("tiny_disk.py", "full", disk, before=words)


def test_a_disk_mounted_read_only_can_be_read(script, own_disk):
    """On a real read-only disk a store opens and reads, and says why it cannot be written."""
    words, disk = own_disk

    assert "read-only disk read" == script("tiny_disk.py", "read_only", disk, before=words)


@pytest.mark.parametrize("disk_is", ["full", "read_only"])
def test_an_index_that_cannot_be_written_is_no_error(script, own_disk, disk_is):
    """On a full or read-only disk the runs are read each time, and nothing is left half-written."""
    words, disk = own_disk

    done = script("tiny_disk.py", f"index_{disk_is}", disk, before=words)

    assert f"{disk_is.replace('_', '-')} disk looked at" == done


def test_a_checkpoint_beyond_the_file_size_limit_leaves_the_old_one(run, remote):
    """A worker that may not write so much says so, keeps its checkpoint, and can go on."""
    worker = remote(run)
    worker.ask("append", 0)
    worker.ask("checkpoint", 0, 10)
    worker.ask("limit", 5000)

    answer = worker.ask("checkpoint", 1, 100_000)

    assert "the file-size limit of this process is reached. Raise it (ulimit -f)" in answer
    assert "done: None" == worker.ask("append", 1)
    worker.kill()
    attempt = run.claim({})
    assert (b"\0" * 10, [{"epoch": 0}]) == (attempt.checkpoint.read_bytes(), attempt.points)
    assert not list(run.path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ENOSPC, "the disk is full. Free some space"),
        (errno.EDQUOT, "your disk quota is used up. Free some space"),
        (errno.EROFS, "the file system is read-only. Get access"),
        (errno.EACCES, "permission is denied. Get access"),
        (errno.EIO, "Input/output error. Check the file system"),
    ],
)
def test_errors_name_path_cause_and_fix(store, make_spec, monkeypatch, number, cause):
    """Whatever the system refuses, the error says which path, why, and what to do."""
    run = store.add(make_spec())
    monkeypatch.setattr(os, "open", _reading_only(os.open, number))

    with pytest.raises(StoreError, match=f"cannot write {run.path}: {cause}"):
        run.claim({})
    with pytest.raises(StoreError, match=f"cannot add a run at .*: {cause}"):
        store.add(make_spec(1))
    with pytest.raises(StoreError, match=f"cannot create the run store .*: {cause}"):
        RunStore.open(store.root / "new", create=True)


def test_closing_lets_go_even_if_the_reason_cannot_be_written(run, monkeypatch):
    """On a full disk a worker's outcome is lost, its lease is not kept."""
    attempt = run.claim({})
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *_, **__: _fail(errno.ENOSPC))
        with pytest.raises(StoreError, match="disk is full"):
            attempt.close(RunState.FAILED, "why")

    assert RunState.INTERRUPTED is run.state()
    assert 2 == run.claim({}).number


def _reading_only(real, number):
    """Return an ``os.open`` that opens files to read, and fails at all else."""
    reading = os.O_RDONLY | os.O_CLOEXEC

    def open_file(path, flags, *rest, **named):
        return real(path, flags, *rest, **named) if flags == reading else _fail(number)

    return open_file


def _fail(number):
    raise OSError(number, os.strerror(number))
