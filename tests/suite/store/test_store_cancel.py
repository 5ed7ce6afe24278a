"""A cancelled run is trained by nobody until it is readmitted, and a result beats the mark."""

from __future__ import annotations

import tarfile

import pytest

from normbench.errors import LeaseLostError, RunCancelledError
from normbench.specs import ComponentSpec
from normbench.store import RunState, RunStore, merge_store

RESULT = {"outcome": "finished", "score": 0.5, "weights_sha256": "ab" * 32}


@pytest.fixture
def node(tmp_path):
    """Return the store of another machine."""
    return RunStore.open(tmp_path / "node", create=True)


def interrupt(run):
    """Train a run up to a checkpoint."""
    attempt = run.claim({})
    attempt.append({"epoch": 1})
    attempt.save_checkpoint(lambda path: path.write_text("weights"), epoch=1)
    attempt.close(RunState.INTERRUPTED)


@pytest.mark.parametrize("begun", [False, True])
def test_a_cancelled_run_is_claimed_by_nobody(run, begun):
    """Whether it was begun or not; readmitted, it goes on where it was."""
    if begun:
        interrupt(run)
    before = run.state()

    assert run.cancel()
    assert (RunState.CANCELLED, None) == (run.state(), run.claim({}))
    assert run.cancel(), "it may be cancelled again"

    assert (True, False) == (run.readmit(), run.readmit())
    assert before is run.state()
    assert begun + 1 == run.claim({}).number


def test_a_run_with_a_result_cannot_be_cancelled(run):
    """What is done stays done, and bears no mark."""
    run.claim({}).publish(RESULT)

    assert not run.cancel()
    assert (RunState.FINISHED, False) == (run.state(), run.readmit())


def test_a_running_worker_notices_and_keeps_what_it_trained(run, remote):
    """Its next check says so; until it lets go, it may save, and the run counts as running."""
    worker = remote(run)
    run.cancel()

    assert "was cancelled. Readmit it with: normbench resume RUN" in worker.ask("check")
    assert ["done: None"] * 2 == [worker.ask("append", 0), worker.ask("checkpoint", 0, 3)]
    assert RunState.RUNNING is run.state()
    assert "done: None" == worker.ask("close", "interrupted")

    assert (RunState.CANCELLED, "as told") == (run.state(), run.attempts()[-1].message)
    run.readmit()
    assert b"\0\0\0" == run.claim({}).checkpoint.read_bytes()


def test_a_worker_killed_after_its_run_was_cancelled_leaves_it_cancelled(run, remote):
    """Nobody takes over a dead worker's run that was cancelled."""
    worker = remote(run)
    run.cancel()

    worker.kill()

    assert (RunState.CANCELLED, None) == (run.state(), run.claim({}))


def test_a_result_beats_the_mark(run):
    """A worker that comes to its end before it checks has not trained in vain."""
    attempt = run.claim({})
    run.cancel()

    assert attempt.publish(RESULT)

    assert (RunState.FINISHED, 0.5) == (run.state(), run.result()["score"])


def test_a_worker_that_lost_a_cancelled_run_learns_that_first(run, silence):
    """Of two reasons to stop, the one that forbids writing is told."""
    attempt = run.claim({})
    silence(attempt)
    run.claim({})
    run.cancel()

    with pytest.raises(LeaseLostError):
        attempt.check()


def test_training_again_for_series_can_be_cancelled(run):
    """The run keeps its result; its series are made by nobody until it is readmitted."""
    run.claim({}).publish(RESULT)
    run.ask([ComponentSpec(name="angles")])
    attempt = run.claim({}, for_series=True)

    assert run.cancel()

    with pytest.raises(RunCancelledError):
        attempt.check()
    attempt.close(RunState.INTERRUPTED)
    assert (RunState.FINISHED, None) == (run.state(), run.claim({}, for_series=True))
    run.readmit()
    assert 3 == run.claim({}, for_series=True).number


@pytest.mark.parametrize("packed", [False, True])
def test_a_mark_comes_only_with_a_run_that_is_new(store, node, make_spec, tmp_path, packed):
    """What was decided here stands; a result from there is taken all the same."""
    for seed in range(4):
        node.add(make_spec(seed)).cancel()
    for seed in (1, 2):
        store.add(make_spec(seed))
    ended = node.get(make_spec(2).fingerprint)
    ended.readmit()
    ended.claim({}).publish(RESULT)
    store.get(ended.fingerprint).cancel()
    source = node.root
    if packed:
        source = tmp_path / "node.tar"
        with tarfile.open(source, "w") as tar:
            tar.add(node.root, arcname="node")

    merge_store(source, store)

    expected = {0: "cancelled", 1: "pending", 2: "finished", 3: "cancelled"}
    assert expected == {run.spec.seed: run.state() for run in store.runs()}
