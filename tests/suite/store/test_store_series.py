"""Series lie beside the result that they belong to, and arrive with it."""

from __future__ import annotations

import json
import os
import tarfile

import pytest

from normbench.errors import LeaseLostError, StoreError, UsageError
from normbench.series import Moments, describe_series
from normbench.specs import ComponentSpec
from normbench.store import RunState, RunStore, merge_store
from normbench.store.folders import list_attempts
from normbench.store.queue import Queue
from normbench.store.strikes import STRIKES

WEIGHTS = "ab" * 32
RESULT = {"outcome": "finished", "score": 0.5, "weights_sha256": WEIGHTS}
ANGLES = ComponentSpec(name="angles", version=2, parameters={"every": 0.5, "sizes": (1, 2)})
RANKS = ComponentSpec(name="ranks", parameters={"every": 1.0})


@pytest.fixture
def run(store, make_spec):
    """Return a run that nobody has begun."""
    return store.add(make_spec())


@pytest.fixture
def node(tmp_path):
    """Return the store of another machine."""
    return RunStore.open(tmp_path / "node", create=True)


def data_of(observer):
    """Return a file of series."""
    moments = Moments()
    moments.add(0, 0.0, {}, ())
    return moments.to_bytes(describe_series(observer.name, observer.parameters, ()))


def publish(attempt, *observers, weights=WEIGHTS):
    """Publish the series of *observers*."""
    for observer in observers:
        attempt.write_series(observer.name, data_of(observer))
        spec = {"name": observer.name, "version": observer.version}
        declared = {"observer": {**spec, "parameters": dict(observer.parameters)}}
        attempt.publish_series(observer.name, {**declared, "weights_sha256": weights})


def finish(run, *observers, weights=WEIGHTS):
    """Train *run* to its result, with series."""
    attempt = run.claim({})
    with attempt:
        publish(attempt, *observers, weights=weights)
        attempt.publish(RESULT)


def header(*observers):
    """Return the first line of a journal of series."""
    named = [
        {"name": o.name, "version": o.version, "parameters": dict(o.parameters)} for o in observers
    ]
    return {"observers": named}


def test_run_that_lacks_series_is_taken_until_it_has_killed_three_workers(store, run):
    """It has its result, which stays, and its first attempt is not taken over for a dead one."""
    finish(run)
    run.ask([ANGLES])
    with Queue(store, [run.fingerprint]).take({})[1] as attempt:
        assert attempt.for_series
    for _ in range(STRIKES):
        attempt = run.claim({}, for_series=True)
        attempt.note_pack(1, alone=True)
        os.utime(attempt.path / "heartbeat", (1, 1))
    queue = Queue(store, [run.fingerprint])

    assert (0, [run.fingerprint]) == (queue.ready(1), queue.struck)
    assert RunState.FINISHED is run.state()
    assert RunState.KILLED is list_attempts(run.path)[-1].ended()
    assert not list_attempts(run.path)[0].superseded


def test_request_is_kept_and_replaced(run):
    """What is asked for last stands, once for each observer, as the worker will need it."""
    run.ask([ANGLES, RANKS])
    run.ask([ANGLES])
    again = ComponentSpec(name="ranks", parameters={"every": 2.0})
    run.ask([again])

    assert [ANGLES, again] == run.asked()
    assert [] == run.lacking()


@pytest.mark.parametrize("name", ["../angles", "a.b", "", "a/b"])
def test_name_that_is_no_file_is_refused(run, name):
    """An observer's name never decides where something is written."""
    with pytest.raises(UsageError, match="cannot be stored"):
        run.ask([ComponentSpec(name=name)])


def test_series_come_with_the_result(run):
    """Once the result is there, its series can be read, and nothing is lacking."""
    run.ask([ANGLES])
    finish(run, ANGLES)

    assert [] == run.lacking()
    assert {"angles": 1} == {name: said["attempt"] for name, said in run.observed().items()}
    assert ["epoch", "step"] == sorted(run.series("angles"))
    assert ("moment",) == run.series("angles").dims["epoch"]


def test_missing_series_is_named_with_those_that_are_there(run):
    """The error says what there is and how to get the rest."""
    finish(run, ANGLES)

    with pytest.raises(UsageError, match=r"has those of angles.*--observe ranks"):
        run.series("ranks")


def test_damaged_series_is_an_error_and_not_a_traceback(run):
    """A file of the right size with the wrong content is named."""
    finish(run, ANGLES)
    path = run.path / "probes" / "angles.npz"
    path.write_bytes(bytes(path.stat().st_size))

    with pytest.raises(StoreError, match=r"angles\.npz is no file of series"):
        run.series("angles")


@pytest.mark.parametrize("change", ["cadence", "version", "weights", "size"])
def test_other_series_do_not_count(run, change):
    """A series at another cadence, of other weights, or half replaced is lacking."""
    finish(run, ANGLES, weights="cd" * 32 if change == "weights" else WEIGHTS)
    asked = {
        "cadence": ComponentSpec(name="angles", version=2, parameters={"every": 0.1}),
        "version": ComponentSpec(name="angles", version=3, parameters=ANGLES.parameters),
    }
    if change == "size":
        (run.path / "probes" / "angles.npz").write_bytes(b"half")
    run.ask([asked.get(change, ANGLES)])

    assert ["angles"] == [observer.name for observer in run.lacking()]


def test_run_with_a_result_is_claimed_for_its_series_alone(run):
    """The published result and its attempt stay as they are, to the byte."""
    finish(run)
    before = (run.path / "result.json").read_bytes()
    assert run.claim({}, for_series=True) is None
    run.ask([ANGLES])
    assert run.claim({}) is None

    with run.claim({}, for_series=True) as attempt:
        assert (2, None, True) == (attempt.number, attempt.checkpoint, attempt.for_series)
        assert run.claim({}, for_series=True) is None
        publish(attempt, ANGLES)
        attempt.close(RunState.FINISHED, "done")
    assert before == (run.path / "result.json").read_bytes()
    assert [] == run.lacking()
    shown = [(each.number, each.outcome, each.superseded) for each in run.attempts()]
    assert [(1, RunState.FINISHED, False), (2, RunState.FINISHED, False)] == shown
    assert run.result()["attempt"] == 1


def test_only_attempts_at_series_end_without_a_result(run):
    """Any other attempt publishes, or says why not."""
    with run.claim({}) as attempt, pytest.raises(StoreError, match="Results are published"):
        attempt.close(RunState.FINISHED)


def test_moments_are_cut_back_to_the_checkpoint(run):
    """The attempt that goes on has the moments up to its checkpoint, and what was observed."""
    first = run.claim({})
    first.append_moments(header(ANGLES))
    for epoch in range(4):
        first.append_moments({"epoch": epoch, "observer": "angles"})
        if epoch == 2:
            first.save_checkpoint(lambda path: path.write_text("weights"), epoch=2)
    with (first.path / "probes.jsonl").open("ab") as stream:
        stream.write(b'{"epoch": 4, "obs')
    first.close(RunState.INTERRUPTED)

    with run.claim({}) as second:
        assert [None, 0, 1, 2] == [line.get("epoch") for line in second.moments]
        second.append_moments({"epoch": 3, "observer": "angles"})
    lines = (second.path / "probes.jsonl").read_bytes().splitlines()
    assert [None, 0, 1, 2, 3] == [json.loads(line).get("epoch") for line in lines]


@pytest.mark.parametrize("observed", [(ANGLES,), (ANGLES, RANKS), ()])
def test_attempt_at_series_goes_on_from_one_that_saw_them_all(run, observed):
    """A checkpoint of an attempt that did not look is of no use, however late it is."""
    finish(run)
    run.ask([ANGLES])
    killed = run.claim({}, for_series=True)
    if observed:
        killed.append_moments(header(*observed))
    killed.save_checkpoint(lambda path: path.write_text("weights"), epoch=2)
    killed.close(RunState.INTERRUPTED)

    with run.claim({}, for_series=True) as again:
        assert bool(observed) == (again.checkpoint is not None)
        assert bool(observed) == bool(again.moments)


def test_attempt_that_was_set_aside_publishes_no_series(run):
    """A worker that lost its lease reaches nothing but its own folder."""
    attempt = run.claim({})
    attempt.write_series("angles", data_of(ANGLES))
    attempt.path.rename(attempt.path.with_name("0001.superseded"))

    with pytest.raises(LeaseLostError):
        attempt.publish_series("angles", {"observer": {}, "weights_sha256": WEIGHTS})
    assert [] == [path for path in run.path.glob("probes/*") if path.is_file()]


@pytest.mark.parametrize("form", ["folder", "archive"])
@pytest.mark.parametrize("there", ["nothing", "run", "result"])
def test_series_come_home(store, node, make_spec, tmp_path, form, there):
    """With its result, or later to the one that is there; a second time changes nothing."""
    theirs = node.add(make_spec())
    theirs.ask([ANGLES, RANKS])
    finish(theirs, ANGLES)
    if there != "nothing":
        store.add(make_spec())
    if there == "result":
        finish(store.get(theirs.fingerprint))
    source = node.root
    if form == "archive":
        source = tmp_path / "node.tar"
        with tarfile.open(source, "w") as tar:
            tar.add(node.root, arcname="store")

    merge_store(source, store)
    ours = store.get(theirs.fingerprint)
    assert theirs.observed() == ours.observed() != {}
    assert [RANKS] == ours.lacking()
    assert 1 == merge_store(source, store).kept


def test_series_of_other_weights_stay_away(store, node, make_spec):
    """A result keeps only the series that end in its weights."""
    finish(node.add(make_spec()), ANGLES)
    ours = store.add(make_spec())
    with ours.claim({}) as attempt:
        attempt.publish({**RESULT, "weights_sha256": "cd" * 32})

    assert 1 == merge_store(node.root, store).kept
    assert {} == ours.observed()


def test_declaration_names_no_file_but_its_own(store, node, make_spec):
    """A stranger's declaration of another name is ignored, wherever it points."""
    theirs = node.add(make_spec())
    finish(theirs, ANGLES)
    path = theirs.path / "probes" / "angles.json"
    content = json.loads(path.read_text())
    content["observer"]["name"] = "../../angles"
    path.write_text(json.dumps(content))

    merge_store(node.root, store)
    assert {} == store.get(theirs.fingerprint).observed()
    assert [] == [path for path in store.root.rglob("*.npz") if "attempts" not in path.parts]
    path.write_text(json.dumps({"bytes": 1}))
    with pytest.raises(StoreError, match=r"angles\.json is damaged"):
        theirs.observed()
