"""What an attempt writes, and that it writes nothing once its lease is lost."""

from __future__ import annotations

import json
import logging
import os

import pytest

from normbench.errors import LeaseLostError, StoreError
from normbench.store import RunState, checkpoints

RESULT = {"outcome": "finished", "score": 0.5}


def save(attempt, epoch):
    attempt.save_checkpoint(lambda path: path.write_text(f"weights {epoch}"), epoch=epoch)


WRITES = {
    "append": lambda attempt: attempt.append({"epoch": 9}),
    "save_checkpoint": lambda attempt: save(attempt, 9),
    "publish": lambda attempt: attempt.publish(RESULT),
    "close": lambda attempt: attempt.close(RunState.FAILED),
    "check": lambda attempt: attempt.check(),
}


def test_the_result_is_published_with_what_the_store_knows(run):
    """A result is stored as given, with schema, fingerprint and attempt number."""
    assert run.result() is None

    assert run.claim({}).publish(RESULT)

    expected = {**RESULT, "schema": 1, "fingerprint": run.fingerprint, "attempt": 1}
    assert expected == run.result()
    assert expected == json.loads((run.path / "attempts" / "0001" / "result.json").read_text())


def test_a_second_result_does_not_replace_the_first(run):
    """Who publishes into a run that has a result is told so, and the first one stands."""
    attempt = run.claim({})
    first = {"outcome": "diverged", "score": 0.1}
    (run.path / "result.json").write_text(json.dumps(first))

    assert not attempt.publish(RESULT)
    assert first == run.result()
    assert [RunState.INTERRUPTED] == [info.outcome for info in run.attempts()]


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ({"outcome": "failed"}, "expected diverged or finished"),
        ({}, "expected diverged or finished"),
        ({"outcome": "finished", "score": float("nan")}, "strict JSON"),
        ({"outcome": "finished", "score": {1, 2}}, "strict JSON"),
    ],
)
def test_a_result_that_is_none_is_refused(run, result, complaint):
    """A result without a final outcome or strict JSON is refused, and the attempt goes on."""
    attempt = run.claim({})

    with pytest.raises(StoreError, match=complaint):
        attempt.publish(result)

    assert attempt.publish(RESULT)


def test_an_attempt_continues_from_the_newest_checkpoint(run):
    """The next attempt has the checkpoint and the curve up to its epoch, and nothing later."""
    first = run.claim({})
    for epoch in range(5):
        first.append({"epoch": epoch})
        if epoch in {1, 3}:
            save(first, epoch)
    first.close(RunState.KILLED)

    second = run.claim({})

    assert [0, 1, 2, 3] == [point["epoch"] for point in second.points]
    assert "weights 3" == second.checkpoint.read_text()
    assert second.path == second.checkpoint.parent
    assert second.points == run.points()


def test_an_attempt_without_a_checkpoint_starts_afresh(run):
    """Points that no checkpoint covers are not carried over."""
    first = run.claim({})
    first.append({"epoch": 0})
    first.close(RunState.FAILED)

    second = run.claim({})

    assert ([], None, []) == (second.points, second.checkpoint, run.points())


def test_a_checkpoint_survives_attempts_that_save_none(run):
    """Attempts that die early hand the checkpoint on."""
    first = run.claim({})
    first.append({"epoch": 0})
    save(first, 0)
    first.close(RunState.KILLED)
    for _ in range(3):
        run.claim({}).close(RunState.KILLED)

    assert "weights 0" == run.claim({}).checkpoint.read_text()


def test_only_the_newest_checkpoint_stays(run):
    """Saving replaces the checkpoint, even at the same epoch."""
    attempt = run.claim({})
    for epoch in (1, 2, 2):
        save(attempt, epoch)

    files = [path for path in attempt.path.iterdir() if path.suffix == ".pt"]
    assert [attempt.checkpoint] == files


def test_a_checkpoint_that_fails_leaves_the_old_one(run):
    """When writing a checkpoint fails half-way, the one before still counts."""
    attempt = run.claim({})
    save(attempt, 1)

    def fail(path):
        path.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attempt.save_checkpoint(fail, epoch=2)

    attempt.close(RunState.FAILED)
    assert "weights 1" == run.claim({}).checkpoint.read_text()
    assert not list(attempt.path.glob(".*"))


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("x")])
def test_a_damaged_checkpoint_is_not_continued_from(run, damage):
    """A checkpoint that is missing or of the wrong size gives way to an earlier attempt's."""
    first = run.claim({})
    save(first, 1)
    first.close(RunState.KILLED)
    second = run.claim({})
    save(second, 2)
    second.close(RunState.KILLED)

    damage(second.checkpoint)

    assert "weights 1" == run.claim({}).checkpoint.read_text()


def test_a_checkpoint_replaced_while_it_is_taken_over_is_looked_for_again(run, monkeypatch):
    """When the old worker's last save comes in between, its newer checkpoint is taken."""
    first = run.claim({})
    save(first, 1)
    outdated = checkpoints.find_checkpoint(first.path)
    save(first, 2)
    first.close(RunState.KILLED)
    real, looks = checkpoints.newest_checkpoint, iter([outdated])
    monkeypatch.setattr(checkpoints, "newest_checkpoint", lambda path: next(looks, real(path)))

    assert "weights 2" == run.claim({}).checkpoint.read_text()


@pytest.mark.parametrize("keep", [True, False])
def test_publishing_deletes_checkpoints_unless_told_to_keep(run, keep):
    """With the result published, only a checkpoint asked for stays."""
    first = run.claim({})
    save(first, 1)
    first.close(RunState.KILLED)
    second = run.claim({})

    second.publish(RESULT, keep=keep)

    assert keep == second.checkpoint.exists()
    assert not first.checkpoint.exists()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_nothing_is_written_after_a_takeover(run, silence, write):
    """Once another worker has the run, every write says that the lease is lost."""
    late = run.claim({})
    save(late, 1)
    silence(late)
    holder = run.claim({})
    (run.path / "attempts" / "0001.superseded" / "heartbeat").unlink()
    before = sorted(run.path.rglob("*"))

    with pytest.raises(LeaseLostError, match="another worker took the run over"):
        write(late)

    assert before == sorted(run.path.rglob("*"))
    assert run.result() is None
    holder.check()


@pytest.mark.parametrize("write", ["append", "save_checkpoint", "publish", "close"])
def test_a_takeover_in_the_middle_of_a_write_is_noticed(run, silence, write, monkeypatch):
    """A worker taken over after it last checked does not reach the run either."""
    late = run.claim({})
    silence(late)
    real = late._check_lease
    holders = []

    def check_then_lose():
        real()
        monkeypatch.setattr(late, "_check_lease", real)
        holders.append(run.claim({}))

    monkeypatch.setattr(late, "_check_lease", check_then_lose)

    with pytest.raises(LeaseLostError):
        WRITES[write](late)

    assert run.result() is None
    assert RunState.RUNNING is run.state()
    assert ([], None) == (holders[0].points, holders[0].checkpoint)


def test_a_takeover_just_before_the_link_stops_publishing(run, silence, monkeypatch):
    """Between writing its result and linking it, a worker may still lose the run."""
    late = run.claim({})
    silence(late)
    link = late._link_result
    monkeypatch.setattr(late, "_link_result", lambda: run.claim({}) and link())

    with pytest.raises(LeaseLostError):
        late.publish(RESULT)

    assert (late.path.parent / "0001.superseded" / "result.json").exists()
    assert run.result() is None


def test_a_foreign_folder_in_its_place_does_not_fool_a_worker(run, silence):
    """A worker whose folder was replaced by another of the same name has lost its lease."""
    late = run.claim({})
    late.path.rename(late.path.with_name("0001.superseded"))
    late.path.mkdir()

    with pytest.raises(LeaseLostError):
        late.publish(RESULT)

    assert not list(late.path.iterdir())


def test_leaving_the_block_lets_go_of_the_run(run):
    """A worker that leaves by an exception leaves the run interrupted, with the reason."""
    with pytest.raises(ZeroDivisionError), run.claim({}):
        raise ZeroDivisionError("halt")

    assert RunState.INTERRUPTED is run.state()
    assert "ZeroDivisionError: halt" == run.attempts()[0].message
    assert run.claim({}) is not None


def test_closing_records_outcome_message_and_traceback(run):
    """An attempt that failed says why."""
    attempt = run.claim({"torch": "2"})
    attempt.close(RunState.FAILED, "no luck", "Traceback ...")

    info = run.attempts()[0]
    assert (RunState.FAILED, "no luck", None) == (info.outcome, info.message, info.heartbeat_age)
    assert (1, os.getpid(), attempt.path) == (info.number, info.pid, info.folder)
    assert "Traceback ..." == (attempt.path / "traceback.txt").read_text()
    assert {"torch": "2"} == run.environment()


@pytest.mark.parametrize("outcome", [RunState.FINISHED, RunState.RUNNING, RunState.PENDING])
def test_an_attempt_cannot_be_closed_as_what_closing_does_not_make_it(run, outcome):
    """Results are published, never closed with."""
    with pytest.raises(StoreError, match="cannot be closed as"):
        run.claim({}).close(outcome)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_an_attempt_that_ended_is_over(run, write):
    """After closing, nothing more can be written."""
    attempt = run.claim({})
    attempt.close(RunState.KILLED)

    with pytest.raises(StoreError, match="has ended"):
        write(attempt)


def test_a_heartbeat_that_cannot_be_written_does_not_end_the_run(
    run, eventually, monkeypatch, caplog
):
    """A failing heartbeat is logged once and tried again; the run goes on."""
    attempt = run.claim({}, lease_seconds=0.6)
    beats = []

    def full(*values, **options):
        beats.append(values)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, attempt, caplog.at_level(logging.WARNING):
        patch.setattr(os, "utime", full)
        eventually(lambda: len(beats) > 3)
        attempt.append({"epoch": 0})
        patch.undo()
        eventually(lambda: RunState.RUNNING is run.state())
        assert attempt.publish(RESULT)

    assert 1 == caplog.text.count("the heartbeat cannot be written")
