"""The journal: whole lines in order, whatever became of the last one."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.errors import StoreError
from normbench.store.files import open_folder
from normbench.store.journal import Journal, cut_back, decode, encode

values = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text()
point_lists = st.lists(st.dictionaries(st.text(), values | st.lists(values)), max_size=8)


@settings(deadline=None, max_examples=100)
@given(point_lists, st.data())
def test_a_journal_cut_at_any_byte_keeps_its_whole_lines(points, data):
    """However much of the end is missing, every line before it is read, and nothing else."""
    journal = encode(points)
    kept = journal[: data.draw(st.integers(0, len(journal)))]

    assert points[: kept.count(b"\n")] == decode(kept)


@settings(deadline=None, max_examples=50)
@given(point_lists, st.binary())
def test_what_is_damaged_ends_the_journal(points, tail):
    """Lines that are not strict JSON objects are dropped with all after them."""
    assert points == decode(encode(points) + b"\0" + tail + b"\n" + encode(points))


@pytest.mark.parametrize("line", [b"[1]\n", b"3\n", b'{"loss": NaN}\n', b"\xff\n", b"\n"])
def test_a_line_that_is_no_point_ends_the_journal(line):
    """A line must be a strict JSON object."""
    assert [{"epoch": 0}] == decode(b'{"epoch":0}\n' + line + b'{"epoch":1}\n')


def test_a_journal_is_cut_back_to_an_epoch():
    """Points up to and including the epoch are kept, in their order."""
    points = [{"epoch": epoch, "step": step} for epoch in range(4) for step in (1, 2)]

    assert points[:6] == cut_back(points, 2)


def test_a_full_disk_leaves_no_half_line(tmp_path):
    """When there is no room for a line, the system's error is passed on."""
    (tmp_path / "journal.jsonl").symlink_to("/dev/full")
    with open_folder(tmp_path) as folder:
        journal = Journal(folder)

        with pytest.raises(OSError, match="No space left"):
            journal.append({"epoch": 0})

        journal.close()


def test_a_line_after_a_half_written_one_replaces_it(tmp_path, monkeypatch):
    """Of a write that failed half-way nothing is left once the next one succeeds."""
    with open_folder(tmp_path) as folder:
        journal = Journal(folder)
        journal.append({"epoch": 0})
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", _write_half_then_fail(os.pwrite))
            patch.setattr(os, "ftruncate", _fail)
            with pytest.raises(OSError, match="full"):
                journal.append({"epoch": 1, "note": "x" * 100})
        journal.append({"epoch": 2})
        journal.append({"epoch": 3})
        journal.close()

    assert [{"epoch": 0}, {"epoch": 2}, {"epoch": 3}] == decode(
        (tmp_path / "journal.jsonl").read_bytes()
    )


def test_a_point_that_is_not_finite_is_refused(run):
    """Curves hold finite numbers; what is not finite is named."""
    attempt = run.claim({})

    with pytest.raises(StoreError, match="strict JSON"):
        attempt.append({"epoch": 1, "train": {"loss": float("inf")}})

    assert [] == run.points()


def _write_half_then_fail(pwrite):
    calls = []

    def write(descriptor, data, offset):
        if calls:
            _fail()
        calls.append(data)
        return pwrite(descriptor, data[: len(data) // 2], offset)

    return write


def _fail(*values):
    raise OSError(28, "full")
