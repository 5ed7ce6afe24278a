"""What the index holds, what it spares, and what happens to its files."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
import weakref

import pytest

from normbench.errors import StoreError
from normbench.specs import ComponentSpec
from normbench.store import RunState, RunStore, index_files, index_stamps, indexing
from normbench.store.index_files import DIGITS
from normbench.store.index_shard import Shard

RESULT = {"outcome": "finished", "score": 0.5, "train_seconds": 2.0, "epochs": 3}
SECOND = 10**9


@pytest.fixture
def big(monkeypatch, store, make_spec):
    """Return a store that is big enough for index files: ten runs, three of them done."""
    monkeypatch.setattr(indexing, "SMALL", 0)
    monkeypatch.setattr(index_stamps, "_TICK", 0)
    runs = [store.add(make_spec(seed)) for seed in range(10)]
    for run in runs[:3]:
        run.claim({}).publish(RESULT)
    tick(store)
    store.index()
    return store


@pytest.fixture
def reads(monkeypatch):
    """Return the list of runs that were read, as it grows."""
    found = []
    real = indexing.read_seedless
    monkeypatch.setattr(indexing, "read_seedless", lambda path: found.append(path) or real(path))
    return found


def tick(store):
    """Wait until the clock of the file system has moved on."""
    now = store._clock.touched()
    while store._clock.touched() == now:
        pass


def alone(attempt):
    """Return *attempt*, whose worker has the machine to itself: its death is a strike."""
    attempt.note_pack(1, alone=True)
    return attempt


def states(store):
    """Return the state of each run as the index has it, looked up by a new process, so to say."""
    index = RunStore.open(store.root).index()
    return {name: run.state for name, run in index.runs.items()}


def read_states(store):
    """Return the state of each run as its files have it."""
    return {run.fingerprint: run.state() for run in store.runs()}


def written(store):
    """Return how many runs the files of the index hold."""
    return sum(len(Shard.read(store.root / "index", digit).names) for digit in DIGITS)


def written_specs(store):
    """Return the specs that the files of the index hold."""
    folder = store.root / "index"
    return [row for digit in DIGITS for row in index_files.read_rows(folder, digit).values()]


def test_a_run_is_described_as_its_files_do(store, make_spec):
    """Fingerprint, row, seed, state, score and seconds of a run are those of spec and result."""
    run = store.add(make_spec(7))
    run.claim({}).publish(RESULT)

    known = store.index().runs[run.fingerprint]

    assert (run.spec.row, 7, RunState.FINISHED) == (known.row, known.seed, known.state)
    assert (0.5, 2.0, 3, 1) == (known.score, known.seconds, known.epoch, known.attempts)
    assert (True, True, False) == (known.done, known.complete, known.claimable)


def test_a_row_is_described_as_its_spec_does(store, make_spec):
    """What tables show of a row is there without reading a spec, and the spec itself as well."""
    run = store.add(make_spec(7))
    index = store.index()
    row, spec = index.rows[run.spec.row], run.spec

    assert (spec.problem.name, spec.norm_label) == (row.problem, row.norm_label)
    assert (spec.optimizer.name, spec.protocol.name) == (row.optimizer, row.protocol)
    assert (spec.deviations, spec.epochs, spec.cell) == (row.deviations, row.epochs, row.cell)
    assert spec == index.spec(index.runs[run.fingerprint])
    assert spec == index.stored(index.runs[run.fingerprint]).spec


def test_specs_of_one_row_that_differ_stay_apart(store, make_spec):
    """What is no part of the identity may differ from seed to seed; the row shows the lowest's."""
    for seed, origin in ((5, "known"), (2, "given")):
        store.add(make_spec(seed, setting_origin=origin))
    index = store.index()
    row = make_spec().row

    assert "given" == index.rows[row].setting_origin
    assert {5: "known", 2: "given"} == {
        run.seed: index.describe(run).setting_origin for run in index.runs.values()
    }


def test_trials_are_rows_of_their_own(store, make_spec):
    """A run at a tuning seed is told from those at evaluation seeds of the same setting."""
    runs = [store.add(make_spec(seed)) for seed in (0, 100_000, 100_001)]
    index = store.index()

    assert [False, True, True] == [
        index.rows[index.runs[run.fingerprint].row].tuning for run in runs
    ]
    assert 2 == len(index.rows)
    assert [run.spec for run in runs] == [index.spec(index.runs[r.fingerprint]) for r in runs]


def test_claimable_runs_come_seed_by_seed_and_dangerous_ones_last(store, make_spec, silence):
    """Of all that may be claimed, lower seeds come first, and what killed workers last."""
    runs = [store.add(make_spec(seed)) for seed in (3, 0, 2, 1, 4, 5, 6)]
    silence(alone(runs[1].claim({})))
    runs[2].claim({}).close(RunState.FAILED)
    runs[4].cancel()
    runs[5].claim({}).publish(RESULT)
    held = runs[6].claim({})

    index = store.index()

    expected = [1, 2, 3, 0]
    assert expected == [index.runs[name].seed for name in index.claimable()]
    assert [2, 0] == [
        index.runs[name].seed for name in index.claimable({r.fingerprint for r in runs[1:3]})
    ]
    held.close(RunState.INTERRUPTED)


def test_runs_are_found_by_the_beginning_of_run_or_row(big, make_spec):
    """As in the store itself: first by the run's fingerprint, else by its row's."""
    index, spec = big.index(), make_spec(4)

    assert [spec.fingerprint] == [run.fingerprint for run in index.find(spec.fingerprint[:8])]
    assert 10 == len(index.find(spec.row[:8].upper()))
    assert 10 == len(big.find(spec.row[:8]))


def test_what_did_not_change_is_not_read_again(big, make_spec, reads):
    """A second look, and the first of another process, read and write only what is new."""
    files = {path: path.stat().st_mtime_ns for path in (big.root / "index").iterdir()}
    big.index()
    RunStore.open(big.root).index()
    assert [] == reads
    assert files == {path: path.stat().st_mtime_ns for path in (big.root / "index").iterdir()}

    run = big.add(make_spec(77))
    big.index()

    assert [run.path] == reads


def test_a_running_run_is_looked_at_each_time(big, make_spec, silence):
    """Silence changes no folder; it is noticed all the same."""
    run = big.get(make_spec(5).fingerprint)
    attempt = run.claim({})
    tick(big)
    assert RunState.RUNNING is big.index().runs[run.fingerprint].state

    silence(attempt)

    assert RunState.INTERRUPTED is big.index().runs[run.fingerprint].state


def wake(attempt):
    """Beat once, as a worker that was away does."""
    os.utime("heartbeat", dir_fd=attempt._folder)


@pytest.mark.parametrize(
    ("touch", "seen"),
    [
        (wake, (RunState.RUNNING, 0)),
        (lambda attempt: attempt._journal.append({"epoch": 4}), (RunState.INTERRUPTED, 4)),
        (lambda attempt: (attempt.path / "heartbeat").unlink(), (RunState.INTERRUPTED, 0)),
    ],
    ids=["beat", "journal", "let go"],
)
def test_a_silent_worker_is_believed_until_it_stirs(big, make_spec, silence, reads, touch, seen):
    """A run that lost its worker is read once, and again when that worker touches a file."""
    run = big.get(make_spec(5).fingerprint)
    attempt = run.claim({})
    silence(attempt)
    tick(big)
    assert RunState.INTERRUPTED is big.index().runs[run.fingerprint].state
    reads.clear()
    assert RunState.INTERRUPTED is states(big)[run.fingerprint]
    assert not reads

    touch(attempt)
    known = RunStore.open(big.root).index().runs[run.fingerprint]

    assert [run.path] == reads
    assert seen == (known.state, known.epoch)
    assert seen == (run.state(), known.epoch)


def test_a_worker_that_was_set_aside_and_lets_go_takes_its_strike_with_it(big, make_spec, silence):
    """What happens in the folder of an attempt that was taken over is noticed."""
    run = big.get(make_spec(5).fingerprint)
    late = alone(run.claim({}))
    silence(late)
    run.claim({}).close(RunState.INTERRUPTED)
    tick(big)
    assert 1 == big.index().runs[run.fingerprint].strikes

    late._end()

    assert 0 == big.index().runs[run.fingerprint].strikes


def test_asking_a_finished_run_for_more_series_is_noticed(big, make_spec):
    """Requests lie in a folder of their own, whose changes leave the run's folder as it is."""
    run = big.get(make_spec(0).fingerprint)
    run.ask([ComponentSpec(name="angles")])
    (run.path / "probes" / "angles.request.json").unlink()
    tick(big)
    assert not big.index().runs[run.fingerprint].lacking

    run.ask([ComponentSpec(name="ranks")])

    assert big.index().runs[run.fingerprint].lacking


def test_a_change_within_the_same_tick_is_noticed(store, make_spec, monkeypatch):
    """On a file system whose clock ticks once in a second, quick changes leave the same stamps."""
    monkeypatch.setattr(indexing, "SMALL", 0)
    real = index_stamps.changed

    def coarse(path, folder=None):
        return real(path, folder) // SECOND * SECOND

    monkeypatch.setattr(index_stamps, "changed", coarse)
    monkeypatch.setattr(
        index_stamps, "all_changed", lambda paths, folder: [coarse(path, folder) for path in paths]
    )
    run = store.add(make_spec())
    for _ in range(3):
        store.index()
        run.cancel()
        assert RunState.CANCELLED is store.index().runs[run.fingerprint].state
        run.readmit()
        assert RunState.PENDING is store.index().runs[run.fingerprint].state


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_was_set_hides_nothing(big, make_spec, monkeypatch, reads, hours):
    """With a clock that went back or ahead since, changes are noticed and the rest is not read."""
    now = big._clock.touched() + hours * 3600 * SECOND
    monkeypatch.setattr("normbench.store.leases.FileClock.touched", lambda clock: now)
    monkeypatch.setattr(index_stamps, "_TICK", 2 * SECOND)
    run = big.get(make_spec(5).fingerprint)
    run.cancel()

    assert read_states(big) == states(big)
    assert read_states(big) == states(big)
    assert [run.path] == reads


def test_a_change_whose_time_was_set_back_is_noticed(big, make_spec):
    """Programs that copy folders set the time of their last change back; that is not believed."""
    run = big.get(make_spec(5).fingerprint)
    before = run.path.stat()
    run.cancel()
    os.utime(run.path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert read_states(big) == states(big)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"\0" * len(data),
        lambda data: b"[]",
        lambda data: b'{"version": 3}\n',
        lambda data: data.replace(b'"version":3', b'"version":999'),
        lambda data: data.replace(b'"order":"', b'"order":"no '),
        lambda data: data.replace(b"finished", b"diverged"),
        lambda data: data.replace(b'"sizes":[', b'"sizes":[1,'),
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: "é".encode("latin-1") + data,
    ],
    ids=[
        *("empty", "cut", "zeros", "list", "bare", "newer", "order", "state", "sizes", "bit"),
        "bytes",
    ],
)
@pytest.mark.parametrize("which", ["specs-?.jsonl", "runs-?.bin"])
def test_a_damaged_index_is_made_anew(big, make_spec, damage, which):
    """Whatever is in its files, the index says what the runs say, and is whole afterwards."""
    for path in (big.root / "index").glob(which):
        path.write_bytes(damage(path.read_bytes()))

    index = RunStore.open(big.root).index()

    assert read_states(big) == {name: run.state for name, run in index.runs.items()}
    assert [make_spec().setting_origin] == [row.setting_origin for row in index.rows.values()]
    assert 10 == written(big)
    assert 1 == len(written_specs(big))


def test_labels_that_this_version_derives_otherwise_are_made_anew(big, make_spec):
    """Rows written by a version with other labels are not believed."""
    folder = big.root / "index"
    for digit in DIGITS:
        rows = index_files.read_rows(folder, digit)
        old = {name: dataclasses.replace(row, norm_label="old") for name, row in rows.items()}
        index_files.write_rows(folder, digit, old)

    index = RunStore.open(big.root).index()

    assert make_spec().norm_label == next(iter(index.rows.values())).norm_label
    assert [make_spec().norm_label] == [row.norm_label for row in written_specs(big)]


def test_the_index_of_another_store_is_not_believed(big, tmp_path, make_spec):
    """Runs that are here by name are read all the same: their folders bear other times."""
    other = RunStore.open(tmp_path / "other", create=True)
    for seed in range(10):
        other.add(make_spec(seed))
    shutil.copytree(big.root / "index", other.root / "index")

    assert {RunState.PENDING} == set(states(other).values())


@pytest.mark.parametrize("copy", [shutil.copy, shutil.copy2])
def test_a_store_is_copied_with_its_index(big, tmp_path, copy, make_spec):
    """With or without the times of files, the copy is read for what it is."""
    shutil.copytree(big.root, tmp_path / "copy", copy_function=copy)
    copied = RunStore.open(tmp_path / "copy")
    copied.get(make_spec(5).fingerprint).cancel()

    assert read_states(copied) == states(copied)
    assert read_states(big) == states(big)


def test_a_store_is_moved_with_its_index(big, tmp_path, reads):
    """Its place is no part of the index."""
    big.root.rename(tmp_path / "moved")
    moved = RunStore.open(tmp_path / "moved")

    assert 10 == len(moved.index().runs)
    assert [] == reads


def test_runs_deleted_by_hand_are_gone(big, make_spec):
    """Single runs, whole buckets, and all of them."""
    run = big.get(make_spec(4).fingerprint)
    shutil.rmtree(run.path)
    assert run.fingerprint not in big.index().runs
    assert read_states(big) == states(big)
    assert 9 == written(big)

    shutil.rmtree(big.root / "runs")

    assert ({}, {}) == (dict(big.index().runs), states(big))


def test_small_stores_have_no_index_files(store, make_spec):
    """So few runs are read in no time, and looking once touches nothing."""
    store.add(make_spec())
    before = sorted((path, path.stat().st_mtime_ns) for path in store.root.rglob("*"))

    RunStore.open(store.root).index()

    assert before == sorted((path, path.stat().st_mtime_ns) for path in store.root.rglob("*"))


def test_half_written_index_files_are_swept(big, make_spec):
    """What a crash left beside the index goes once it is old; what is being written stays."""
    old, new = (big.root / "index" / f".runs-0.bin.{name}.tmp" for name in "ab")
    for path in (old, new):
        path.write_bytes(b"{")
    os.utime(old, (1, 1))

    big.add(make_spec(3, setting_origin="known"))
    big.add(make_spec(100_003))
    big.index()
    tick(big)
    big.index()

    assert (False, True) == (old.exists(), new.exists())


def test_an_index_that_cannot_be_written_is_told_once(big, make_spec, monkeypatch, caplog):
    """Each process says it once, and knows all runs all the same."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(index_files, "write_file", refuse)
    for seed in (20, 21):
        big.add(make_spec(seed))
        tick(big)
        assert seed - 9 == len(big.index().runs)

    assert 1 == caplog.text.count("the disk is full")
    assert ["WARNING"] == [record.levelname for record in caplog.records]


def test_specs_of_runs_that_are_gone_are_dropped(big, make_spec):
    """The file of rows holds no more than the runs need."""
    big.add(make_spec(20, setting_origin="known"))
    for path in (big.root / "runs").glob("*/*"):
        if '"known"' not in (path / "spec.json").read_text():
            shutil.rmtree(path)
    big.add(make_spec(21, setting_origin="published"))
    big.index()

    # Of a run that changed a moment ago nothing need be written.
    written = {row.setting_origin for row in written_specs(big)}
    assert {"known"} <= written <= {"known", "published"}


def test_a_run_that_is_kept_does_not_keep_the_index(store, make_spec):
    """Whoever remembers single runs for long holds their specs alone."""
    store.add(make_spec())
    index = store.index()
    run = index.stored(next(iter(index.runs.values())))
    gone = weakref.ref(index)

    del index

    assert (None, make_spec()) == (gone(), run.spec)


def test_a_damaged_run_stands_apart(big, make_spec):
    """It is named with its problem, the others are there, and asking for it is an error."""
    run = big.get(make_spec(4).fingerprint)
    before = big.index().digest
    (run.path / "spec.json").write_text('{"seed": 4}')
    os.utime(run.path)

    index = big.index()

    assert before != index.digest
    known = index.lost[run.fingerprint]
    assert (make_spec().row, 4) == (known.row, known.seed), "the fingerprint tells"
    assert [] == index.unplaced

    assert [run.fingerprint] == list(index.damaged)
    assert "not a run spec" in index.damaged[run.fingerprint]
    assert 9 == len(index.runs)
    with pytest.raises(StoreError, match="not a run spec"):
        big.indexed([run.fingerprint])


def test_odd_values_in_a_result_stop_nothing(big, make_spec):
    """A result that holds words for seconds has none; a wrong outcome is damage."""
    odd, wrong = (big.get(make_spec(seed).fingerprint) for seed in (0, 1))
    odder = {**RESULT, "train_seconds": "long"}
    for run, result in ((odd, odder), (wrong, {"outcome": "great"})):
        (run.path / "result.json").unlink()
        (run.path / "result.json").write_text(json.dumps(result))

    index = big.index()

    assert index.runs[odd.fingerprint].seconds is None
    assert [wrong.fingerprint] == list(index.damaged) == list(index.described)
    (wrong.path / "result.json").write_text(json.dumps(RESULT))
    assert index.digest != big.index().digest


def test_a_simulated_store_is_what_it_seems(tmp_path, script, monkeypatch):
    """The store that is measured with has runs in every state, and the index knows them."""
    monkeypatch.setattr(indexing, "SMALL", 0)
    script("simulated_store.py", tmp_path, 40, 20)
    store = RunStore.open(tmp_path)

    assert read_states(store) == states(store)
    expected = {"finished", "diverged", "failed", "interrupted", "pending"}
    assert expected <= set(states(store).values())
    assert 40 == len(store.index().rows)


def test_processes_that_look_at_once_agree(big, make_spec):
    """While runs change, several processes look and write; each sees whole files throughout."""
    looker = (
        "import sys; from pathlib import Path; from normbench.store import RunStore, indexing\n"
        "indexing.SMALL = 0\n"
        "while not Path(sys.argv[1], 'stop').exists():\n"
        "    index = RunStore.open(Path(sys.argv[1])).index()\n"
        "    assert len(index.runs) >= 10 and not index.damaged, index\n"
    )
    command = [sys.executable, "-c", looker, str(big.root)]
    lookers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    for seed in range(20, 40):
        run = big.add(make_spec(seed))
        run.claim({}).publish(RESULT) if seed % 2 else run.cancel()
        big.index()
    (big.root / "stop").touch()

    assert [(0, b"")] * 3 == [(looker.wait(), looker.stderr.read()) for looker in lookers]
    assert read_states(big) == states(big) == {n: r.state for n, r in big.index().runs.items()}
    for looker in lookers:
        looker.stderr.close()


def test_few_runs_are_looked_at_without_the_others(big, make_spec, reads, monkeypatch):
    """Asking for some runs reads what changed of them alone."""
    names = [make_spec(seed).fingerprint for seed in (0, 5)]
    big.get(names[1]).cancel()
    big.get(make_spec(6).fingerprint).cancel()
    monkeypatch.setattr(indexing, "SMALL", len(names))

    found = big.indexed(names)

    assert [RunState.FINISHED, RunState.CANCELLED] == [found[name].state for name in names]
    assert [big.get(names[1]).path] == reads
    with pytest.raises(StoreError, match="is missing"):
        big.indexed(["0" * 32])


def test_very_many_damaged_runs_are_counted(store):
    """The first are named, and the command that names all: nobody reads thousands of warnings."""
    index = store.index()
    damaged = {f"{number:032x}": "it is damaged." for number in range(23)}

    told = {size: _left_out(index, dict(list(damaged.items())[:size])) for size in (1, 20, 21, 23)}

    assert {1: 1, 20: 20, 21: 21, 23: 21} == {size: len(found) for size, found in told.items()}
    assert told[21][-1].startswith("1 run more with damaged files left out.")
    assert told[23][-1].endswith(f"normbench check --store {store.root}")


def _left_out(index, damaged):
    return dataclasses.replace(index, damaged=damaged).left_out()
