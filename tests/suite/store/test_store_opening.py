"""Opening stores, and finding and reading the runs in them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from normbench.errors import StoreError, UsageError
from normbench.store import RunState, RunStore, store_path
from normbench.store import run as run_module

RESULT = {"outcome": "finished", "score": 0.5}


def snapshot(folder):
    return {path: path.lstat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_importing_the_store_loads_nothing_heavy():
    """Whoever only looks at a store does not wait for torch, numpy, mlflow or click."""
    heavy = "{'torch', 'numpy', 'mlflow', 'click', 'rich'}"
    code = f"import sys, normbench.store; sys.exit(repr({heavy} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "set()" == done.stderr.strip()


def test_the_store_is_where_one_says(monkeypatch):
    """The folder is the one given, else the variable's, else normbench-runs here."""
    monkeypatch.delenv("NORMBENCH_STORE", raising=False)
    assert Path("normbench-runs") == store_path()

    monkeypatch.setenv("NORMBENCH_STORE", "/elsewhere")

    assert Path("/elsewhere") == store_path(None)
    assert Path("given") == store_path(Path("given"))


def test_a_spec_comes_back_as_it_was(store, make_spec):
    """A run's spec is equal to the one added, in another process as well."""
    spec = make_spec(3)
    store.add(spec)

    run = RunStore.open(store.root).get(spec.fingerprint)

    assert spec == run.spec
    assert (spec.row, spec.cell) == (run.spec.row, run.spec.cell)


def test_the_first_of_equal_runs_stands(store, make_spec):
    """Adding a run again changes nothing, whatever its provenance says now."""
    first = store.add(make_spec(setting_origin="known"))
    before = snapshot(store.root)

    again = store.add(make_spec(setting_origin="given"))

    assert before == snapshot(store.root)
    assert (first.fingerprint, "known") == (again.fingerprint, again.spec.setting_origin)


def test_runs_are_listed_without_reading_them(store, make_spec):
    """Listing takes names only, even of damaged runs, and skips what a crash left half-made."""
    specs = [make_spec(seed) for seed in range(30)]
    runs = [store.add(spec) for spec in specs]
    (runs[0].path.parent / ".add-0").mkdir()
    (store.root / "runs" / "zz").touch()
    for run in runs:
        (run.path / "spec.json").write_text("damaged")

    assert {spec.fingerprint for spec in specs} == {run.fingerprint for run in store.runs()}


def test_half_made_runs_are_swept_when_they_are_old(store, make_spec):
    """What a crash left of adding a run disappears with a later run beside it."""
    first = store.add(make_spec())
    left = first.path.parent / ".add-0"
    left.mkdir()
    os.utime(left, (1, 1))
    young = first.path.parent / ".add-1"
    young.mkdir()
    first.path.rename(store.root / "away")

    store.add(make_spec())

    assert (False, True) == (left.exists(), young.exists())


def test_runs_are_found_by_the_beginning_of_their_fingerprint(store, make_spec):
    """A prefix of a run's fingerprint finds the run, one of its row's all runs of the row."""
    specs = [make_spec(seed) for seed in range(4)]
    other = make_spec(identity={**specs[0].identity, "norm": {"name": "none", "version": 1}})
    for spec in [*specs, other]:
        store.add(spec)

    found = store.find(specs[2].fingerprint[:12].upper())
    row = store.find(specs[0].row[:12])

    assert [specs[2].fingerprint] == [run.fingerprint for run in found]
    assert {spec.fingerprint for spec in specs} == {run.fingerprint for run in row}
    assert [] == store.find("0123456789abcdef")


@pytest.mark.parametrize("prefix", ["", "abc", "wxyz", "../..", "a" * 33])
def test_what_is_no_fingerprint_is_not_looked_for(store, prefix):
    """A prefix must be four to 32 hexadecimal digits; get simply has no such run."""
    with pytest.raises(UsageError, match="4 to 32 hex digits"):
        store.find(prefix)
    assert store.get(prefix) is None


def test_opening_a_missing_store_says_how_to_make_one(tmp_path):
    """Neither a missing folder nor an ordinary one is a store, and neither is changed."""
    with pytest.raises(StoreError, match=r"does not exist.*normbench run PROBLEM"):
        RunStore.open(tmp_path / "missing")
    with pytest.raises(StoreError, match="is not a run store"):
        RunStore.open(tmp_path)

    assert [] == list(tmp_path.iterdir())


def test_a_folder_with_other_things_does_not_become_a_store(tmp_path):
    """A store is made only in a folder of its own."""
    (tmp_path / "thesis.tex").touch()
    before = snapshot(tmp_path)

    with pytest.raises(StoreError, match=r"neither empty nor a run store: it holds 'thesis.tex'"):
        RunStore.open(tmp_path, create=True)

    assert before == snapshot(tmp_path)


def test_a_store_is_opened_if_it_is_there(store, tmp_path):
    """A missing, an empty and a half-made folder hold none; another one is refused."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "half" / "runs").mkdir(parents=True)
    (tmp_path / "half" / ".store.json.0.tmp").touch()

    assert store.root == RunStore.open_if_there(store.root).root
    assert [None] * 3 == [
        RunStore.open_if_there(tmp_path / name) for name in ("none", "empty", "half")
    ]
    with pytest.raises(StoreError, match="neither empty nor a run store"):
        RunStore.open_if_there(tmp_path)
    with pytest.raises(StoreError, match="is not a run store"):
        RunStore.open_if_there(tmp_path / "half" / ".store.json.0.tmp")


def test_making_a_store_again_keeps_it(store, make_spec):
    """Creating where there is a store opens it; one cut short is completed."""
    store.add(make_spec())
    (store.root / "launches").mkdir()
    (store.root / "mlflow.db").touch()
    (store.root / "store.json").unlink()
    with pytest.raises(StoreError, match=r"store.json is missing.*normbench run PROBLEM"):
        RunStore.open_if_there(store.root)

    again = RunStore.open(store.root, create=True)

    assert 1 == len(list(RunStore.open(store.root, create=True).runs()))
    assert again.writable


@pytest.mark.parametrize("create", [True, False])
def test_a_newer_store_is_refused_and_untouched(store, create):
    """A store of a later schema is left as it is, with the advice to upgrade."""
    content = {"schema": 2, "written_by": "9.9"}
    (store.root / "store.json").write_text(json.dumps(content))
    before = snapshot(store.root)

    message = "written by normbench 9.9 with store schema 2; this version reads up to 1. Upgrade"
    with pytest.raises(StoreError, match=message):
        RunStore.open(store.root, create=create)

    assert before == snapshot(store.root)


@pytest.mark.parametrize("content", ["", "[]", '{"schema": "x"}', "{}", '{"schema": NaN}'])
def test_a_damaged_store_file_is_told(store, content):
    """What is no store file is not guessed at."""
    (store.root / "store.json").write_text(content)

    with pytest.raises(StoreError, match="is damaged"):
        RunStore.open(store.root)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"problem": 3}', None])
def test_a_damaged_spec_is_told(run, content):
    """A spec that cannot be read names its file and the way out."""
    path = run.path / "spec.json"
    path.unlink() if content is None else path.write_text(content)

    with pytest.raises(StoreError, match=r"spec.json is .*run again"):
        _ = run.spec


@pytest.mark.parametrize("content", ["", '{"outcome": "sideways"}', "{}"])
def test_a_damaged_result_is_told(run, content):
    """A result that cannot be read is not taken for a missing one."""
    (run.path / "result.json").write_text(content)

    with pytest.raises(StoreError, match=r"result.json is damaged"):
        run.state()


def test_a_new_run_has_nothing_yet(run):
    """Before the first attempt a run is pending, without curve, result and environment."""
    assert RunState.PENDING is run.state()
    assert (None, [], [], None) == (run.result(), run.points(), run.attempts(), run.environment())


def test_the_published_attempt_is_shown(run, silence):
    """Curve and environment are those of the attempt that made the result, even if set aside."""
    attempt = run.claim({"host": "first"})
    attempt.append({"epoch": 0})
    attempt.publish(RESULT)
    attempt.path.rename(attempt.path.with_name("0001.superseded"))
    (run.path / "attempts" / "0002").mkdir()

    assert ([{"epoch": 0}], {"host": "first"}) == (run.points(), run.environment())
    outcomes = [info.outcome for info in run.attempts()]
    assert [RunState.FINISHED, RunState.INTERRUPTED] == outcomes


def test_attempts_tell_who_and_when(run, silence):
    """Each attempt is listed, oldest first, with its worker, its heartbeat and its fate."""
    silence(run.claim({}))
    run.claim({}).close(RunState.OUT_OF_MEMORY, "8 GiB")
    run.claim({})

    first, second, third = run.attempts()

    assert [1, 2, 3] == [first.number, second.number, third.number]
    assert [True, False, False] == [first.superseded, second.superseded, third.superseded]
    assert ["interrupted", "out_of_memory", "running"] == [
        first.outcome,
        second.outcome,
        third.outcome,
    ]
    assert {os.getpid()} == {first.pid, second.pid, third.pid}
    assert first.heartbeat_age > 1e9
    assert third.heartbeat_age < 60


def test_a_reader_looks_again_when_a_folder_moves(run, silence, monkeypatch):
    """An attempt renamed between listing and reading is found under its new name."""
    attempt = run.claim({"host": "first"})
    outdated = run_module.list_attempts(run.path)
    silence(attempt)
    run.claim({"host": "second"}).append({"epoch": 0})
    for question, expected in [
        (run.points, [{"epoch": 0}]),
        (run.environment, {"host": "second"}),
        (run.state, RunState.RUNNING),
    ]:
        looks = iter([outdated])
        real = run_module.list_attempts
        with monkeypatch.context() as patch:
            patch.setattr(
                run_module, "list_attempts", lambda p, r=real, o=looks: next(o, None) or r(p)
            )
            assert expected == question()


def test_a_deleted_run_reads_as_empty(run):
    """A run that disappears under its reader raises nothing."""
    run.claim({})
    run.path.rename(run.path.parents[3] / "gone")

    assert (RunState.PENDING, []) == (run.state(), run.attempts())


def test_a_lock_is_held_by_one_process_and_ends_with_it(store, eventually):
    """While another process holds a lock it is not obtained; when that process dies it is."""
    code = (
        "import pathlib, sys; from normbench.store import RunStore; "
        "lock = RunStore.open(pathlib.Path(sys.argv[1])).lock('sync', wait=None); "
        "print(lock.__enter__(), flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, store.root], **pipes) as holder:
        assert "True\n" == holder.stdout.readline()
        with store.lock("sync", wait=0) as held, store.lock("other", wait=0) as free:
            assert (False, True) == (held, free)

        holder.kill()

        with store.lock("sync", wait=60) as held:
            assert held


@pytest.mark.parametrize("name", ["", "../x", "a b", ".hidden"])
def test_a_lock_has_a_plain_name(store, name):
    """A lock's name is no path."""
    with pytest.raises(UsageError, match="lock name"):
        store.lock(name, wait=0)


def test_specs_with_all_kinds_of_values_survive(store, make_spec):
    """None, numbers, text and tuples come back with their types."""
    spec = make_spec()
    changed = dataclasses.replace(
        spec.optimizer, parameters={"a": None, "b": 1, "c": 1.5, "d": "x", "e": (1, 2), "f": True}
    )
    run = store.add(dataclasses.replace(spec, optimizer=changed))

    assert changed == RunStore.open(store.root).get(run.fingerprint).spec.optimizer
