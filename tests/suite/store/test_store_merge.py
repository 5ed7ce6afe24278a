"""Merging stores: everything comes home once, and nothing that is there is touched."""

from __future__ import annotations

import io
import tarfile

import pytest

from normbench.errors import StoreError, UsageError
from normbench.store import MergeReport, RunState, RunStore, merge_store

RESULT = {"outcome": "finished", "score": 0.5}


@pytest.fixture
def node(tmp_path):
    """Return the store of another machine."""
    return RunStore.open(tmp_path / "node", create=True)


def train(run, *, epochs=3, result=None):
    """Train one attempt with a checkpoint at its end."""
    attempt = run.claim({"host": str(run.path)})
    for epoch in range(len(attempt.points), epochs):
        attempt.append({"epoch": epoch})
    attempt.save_checkpoint(lambda path: path.write_text(f"weights {epochs}"), epoch=epochs - 1)
    attempt.publish(result) if result else attempt.close(RunState.INTERRUPTED)


def pack(store, path, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        tar.add(store.root, arcname="some/where")
    return path


def content(store):
    files = (path for path in (store.root / "runs").rglob("*") if path.is_file())
    return {str(path.relative_to(store.root)): path.read_bytes() for path in files}


def epochs(run):
    return [point["epoch"] for point in run.points()]


@pytest.mark.parametrize("form", ["folder", "w", "w:gz", "w:xz"])
def test_runs_arrive_with_results_and_curves(store, node, make_spec, tmp_path, form):
    """From a folder or an archive, runs come with spec, result, curve and environment."""
    train(node.add(make_spec(0)), result=RESULT)
    train(node.add(make_spec(1)))
    node.add(make_spec(2))
    source = node.root if form == "folder" else pack(node, tmp_path / "node.tar", form)

    assert MergeReport(added=3) == merge_store(source, store)

    for theirs in node.runs():
        ours = store.get(theirs.fingerprint)
        assert (theirs.spec, theirs.state()) == (ours.spec, ours.state())
        assert (theirs.result(), theirs.points()) == (ours.result(), ours.points())
        assert theirs.environment() == ours.environment()


@pytest.mark.parametrize("form", ["folder", "w:gz"])
def test_studies_and_settings_arrive_where_there_are_none(store, node, make_spec, tmp_path, form):
    """What was tuned elsewhere comes with its runs; what was tuned here stands."""
    node.add(make_spec(0))
    for root, words in ((node.root, "theirs"), (store.root, "ours")):
        for name in ("tuning/both.json", "settings/both.toml"):
            (root / name).parent.mkdir()
            (root / name).write_text(words)
    (node.root / "tuning/new.json").write_text("theirs")
    (node.root / "settings/new.toml").write_text("theirs")
    merge_store(node.root if form == "folder" else pack(node, tmp_path / "node.tar", form), store)

    for folder, ending in (("tuning", "json"), ("settings", "toml")):
        texts = [(store.root / folder / f"{n}.{ending}").read_text() for n in ("both", "new")]
        assert ["ours", "theirs"] == texts


def test_merging_again_changes_nothing(store, node, make_spec, tmp_path):
    """The second merge, from the folder or from an archive, keeps every file as it is."""
    train(node.add(make_spec(0)), result=RESULT)
    train(node.add(make_spec(1)))
    merge_store(node.root, store)
    before = content(store)

    assert MergeReport(kept=2) == merge_store(node.root, store)
    assert MergeReport(kept=2) == merge_store(pack(node, tmp_path / "node.tgz"), store)
    assert before == content(store)


def test_a_published_result_is_never_overwritten(store, node, make_spec):
    """Where both have a result, the target's stands."""
    train(store.add(make_spec()), result=RESULT)
    train(node.add(make_spec()), result={"outcome": "diverged", "score": 0.1})
    before = content(store)

    assert MergeReport(kept=1) == merge_store(node.root, store)
    assert before == content(store)


def test_a_result_completes_a_run_that_lacked_one(store, node, make_spec):
    """A run that the target tried in vain gets the other store's result and curve."""
    run = store.add(make_spec())
    run.claim({}).close(RunState.FAILED)
    train(node.add(make_spec()), result=RESULT)

    assert MergeReport(updated=1) == merge_store(node.root, store)

    assert (RunState.FINISHED, [0, 1, 2]) == (run.state(), epochs(run))
    assert [(1, True), (1, False)] == [(info.number, info.merged) for info in run.attempts()]
    assert run.claim({}) is None


def test_progress_made_elsewhere_is_continued(store, node, make_spec):
    """A run interrupted on another machine goes on from its checkpoint there."""
    train(store.add(make_spec()), epochs=2)
    train(node.add(make_spec()), epochs=5)
    merge_store(node.root, store)
    run = store.get(make_spec().fingerprint)

    attempt = run.claim({})

    assert (2, "weights 5") == (attempt.number, attempt.checkpoint.read_text())
    assert list(range(5)) == [point["epoch"] for point in attempt.points]


def test_later_merges_bring_what_happened_since(store, node, make_spec, tmp_path):
    """An attempt merged while it ran is completed, and never set back by an older archive."""
    theirs = node.add(make_spec())
    train(theirs, epochs=2)
    old = pack(node, tmp_path / "old.tgz")
    merge_store(node.root, store)
    train(theirs, epochs=4)

    assert MergeReport(updated=1) == merge_store(node.root, store)
    assert MergeReport(kept=1) == merge_store(old, store)
    train(theirs, epochs=6, result=RESULT)
    assert MergeReport(updated=1) == merge_store(node.root, store)

    assert list(range(6)) == epochs(store.get(theirs.fingerprint))


def test_an_attempt_merged_while_it_ran_is_replaced_by_its_end(store, node, make_spec):
    """The copy of a living attempt gives way to a later copy of the same attempt."""
    attempt = node.add(make_spec()).claim({})
    attempt.append({"epoch": 0})
    merge_store(node.root, store)
    run = store.get(make_spec().fingerprint)
    assert (RunState.INTERRUPTED, [0]) == (run.state(), epochs(run))
    attempt.append({"epoch": 1})

    attempt.publish(RESULT)
    merge_store(node.root, store)

    assert (RunState.FINISHED, [0, 1]) == (run.state(), epochs(run))
    assert 1 == len(run.attempts())


def test_a_store_that_comes_back_brings_only_what_is_new(store, make_spec, tmp_path):
    """Attempts that a copy of the store took along are not doubled when it returns."""
    run = store.add(make_spec())
    train(run, epochs=2)
    pack(store, tmp_path / "there.tar", "w")
    away = RunStore.open(tmp_path / "away", create=True)
    merge_store(tmp_path / "there.tar", away)
    train(away.get(run.fingerprint), epochs=4, result=RESULT)

    assert MergeReport(updated=1) == merge_store(away.root, store)

    assert (RunState.FINISHED, list(range(4))) == (run.state(), epochs(run))
    assert [True, False] == [info.merged for info in run.attempts()]


def test_a_merge_while_a_worker_runs_makes_its_result_the_second(store, node, make_spec):
    """A result that arrives during a run stands; the worker is told so and keeps its lease."""
    run = store.add(make_spec())
    attempt = run.claim({})
    train(node.add(make_spec()), result={**RESULT, "score": 0.7})

    merge_store(node.root, store)

    attempt.append({"epoch": 0})
    assert not attempt.publish(RESULT)
    assert 0.7 == run.result()["score"]


def test_what_a_crashed_merge_left_is_swept(store, node):
    """Preparations of a merge that died are removed by the next one."""
    (store.root / ".merge-0").mkdir()

    merge_store(node.root, store)

    assert not list(store.root.glob(".merge-*"))


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = 3 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (member("../escaped"), "outside of the store"),
        (member("s/runs/../../../escaped"), "outside of the store"),
        (member("/tmp/normbench-escaped"), "outside of the store"),  # noqa: S108
        (member("s/runs/ab", tarfile.SYMTYPE, "/etc"), "neither a file nor a folder"),
        (member("s/runs/ab", tarfile.FIFOTYPE), "neither a file nor a folder"),
        (member("s/runs/ab", tarfile.CHRTYPE), "neither a file nor a folder"),
        (member("t/store.json"), "holds 2 run stores"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_archive_that_reaches_outside_is_refused(store, tmp_path, bad, complaint):
    """Members that leave the store, or are no plain files, end the merge before it begins."""
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        for info in (member("s/store.json"), bad):
            tar.addfile(info, io.BytesIO(b"{}\n"))
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(StoreError, match=complaint):
        merge_store(tmp_path / "bad.tar", store)

    after = [path for path in tmp_path.rglob("*") if path.name != "merge.lock"]
    assert before == sorted(after)


def test_a_link_out_of_the_archive_brings_nothing(store, node, make_spec, tmp_path):
    """A hard link to a file that the archive does not hold is no way to read that file."""
    run = node.add(make_spec())
    path = pack(node, tmp_path / "node.tar", "w")
    with tarfile.open(path, "a") as tar:
        name = f"some/where/runs/{run.fingerprint[:2]}/{run.fingerprint}/result.json"
        tar.addfile(member(name, tarfile.LNKTYPE, "/etc/passwd"))

    with pytest.raises(StoreError, match="no readable tar archive"):
        merge_store(path, store)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_a_damaged_archive_is_told(store, node, make_spec, tmp_path, mode):
    """Cut short or overwritten anywhere, an archive ends in a clear error or a whole merge."""
    train(node.add(make_spec()), result=RESULT)
    data = pack(node, tmp_path / "node.tar", mode).read_bytes()
    damaged = [data[: len(data) * part // 8] for part in range(8)]
    damaged += [data[:at] + b"\xff" * 40 + data[at + 40 :] for at in range(20, len(data), 400)]
    told = 0
    for number, content in enumerate(damaged):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(content)
        try:
            merge_store(path, RunStore.open(tmp_path / f"target{number}", create=True))
        except StoreError:
            told += 1

    assert told >= 8


def test_damaged_runs_are_named_and_the_others_come(store, node, make_spec):
    """Left out are a folder that holds another run's spec, a cut result and a cut spec."""
    whole, result, spec = (node.add(make_spec(seed)) for seed in (2, 3, 4))
    train(result, result=RESULT)
    for path in (result.path / "result.json", spec.path / "spec.json"):
        path.write_text("{")
    run = node.add(make_spec())
    other = make_spec(1).fingerprint
    (node.root / "runs" / other[:2]).mkdir(exist_ok=True)
    run.path.rename(node.root / "runs" / other[:2] / other)

    done = merge_store(node.root, store)

    assert (1, 3) == (done.added, done.failed)
    assert "1 run added, 0 updated, 0 kept, 3 failed" == str(done)
    assert [whole.fingerprint] == [each.fingerprint for each in store.runs()]
    told = " ".join(done.problems)
    assert all(words in told for words in ("holds the spec of run", "result.json", "spec.json"))


def test_runs_whose_declared_stages_are_damaged_stay(store, node, make_spec):
    """Without them they would look as if the number of seeds had been fixed."""
    run = node.add(make_spec())
    (node.root / "stages").mkdir(exist_ok=True)
    (node.root / "stages" / f"{run.spec.row}.json").write_text("{")

    assert (0, 1) == (merge_store(node.root, store).added, merge_store(node.root, store).failed)


def test_only_another_store_can_be_merged(store, tmp_path):
    """Neither the store itself nor something else is merged."""
    with pytest.raises(UsageError, match="into itself"):
        merge_store(store.root, store)
    (tmp_path / "notes.txt").write_text("no archive")
    for source in (tmp_path / "notes.txt", tmp_path / "missing"):
        with pytest.raises(StoreError, match=r"no readable tar archive|does not exist"):
            merge_store(source, store)
