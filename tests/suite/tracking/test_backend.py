"""Which MLflow is used, how its database is made, and what is said when it cannot be used."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from normbench.errors import StoreError
from normbench.specs import RunSpec
from normbench.store import RunStore, StoredRun
from normbench.tracking import SyncReport, faults, sync
from normbench.tracking.backend import open_backend, prepare_environment, tracking_uri
from normbench.tracking.database import ensure_database, on_local_disk

Spec = Callable[..., RunSpec]
Train = Callable[..., StoredRun]
Contents = Callable[..., dict[str, Any]]


def test_the_database_lies_in_the_store_unless_told_otherwise(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An argument comes first, then the environment, then the store's own database."""
    own = tracking_uri(store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")

    assert f"sqlite:///{store.root}/mlflow.db" == own
    assert "http://server" == tracking_uri(store)
    assert "sqlite:////elsewhere.db" == tracking_uri(store, "sqlite:////elsewhere.db")


def test_telemetry_is_off_unless_the_user_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our processes send none by default; a choice of the user's stands."""
    import os

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    prepare_environment()
    chosen = os.environ["MLFLOW_DISABLE_TELEMETRY"]
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    prepare_environment()

    assert ("false", "true") == (chosen, os.environ["MLFLOW_DISABLE_TELEMETRY"])


def test_many_who_come_at_once_find_one_whole_database(tmp_path: Path) -> None:
    """Four threads ask for the database together; it is made once, in write-ahead mode."""
    store = RunStore.open(tmp_path / "runs", create=True)
    path = store.root / "mlflow.db"
    found: list[int] = []

    def ask() -> None:
        ensure_database(store, f"sqlite:///{path}", path, store.root / "artifacts")
        found.append(path.stat().st_ino)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [path.stat().st_ino] * 4 == found
    assert ["mlflow.db"] == [file.name for file in store.root.glob("mlflow*")]
    mode = sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone()[0]
    assert ("wal" if on_local_disk(tmp_path) else "delete") == mode


def test_a_half_made_database_is_made_anew(store: RunStore, train: Train, make_spec: Spec) -> None:
    """What a killed process or a deleted database left, and an empty file, do no harm."""
    (store.root / "mlflow.db").write_bytes(b"")
    (store.root / "mlflow.db-wal").write_bytes(b"of another database")
    (store.root / "mlflow.db.part").write_bytes(b"SQLite format 3\0half")
    train(make_spec())

    assert SyncReport(created=1) == sync(store)


@pytest.mark.parametrize("name", ["with space", "per%41cent", "grün"])
def test_stores_may_have_any_name(
    name: str, tmp_path: Path, template: Path, train: Train, make_spec: Spec, contents: Contents
) -> None:
    """Spaces, percent signs and letters of all alphabets in a path lead to the right files."""
    store = RunStore.open(tmp_path / name, create=True)
    shutil.copyfile(template, store.root / "mlflow.db")
    train(make_spec(), store=store)

    report = sync(store)

    assert SyncReport(created=1) == report
    seed = contents(store)["normbench/digits_cnn/quick/batch_norm+sgd/s0"]
    assert "result.json" in seed["artifacts"]
    files = (store.root / "mlflow-artifacts").rglob("result.json")
    assert 1 == len(list(files))


def test_an_old_schema_is_named_with_backup_and_command(store: RunStore) -> None:
    """A database of another MLflow version is not touched; the message says what to run."""
    with sqlite3.connect(store.root / "mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '90e64c465722'")

    with pytest.raises(StoreError, match=r"backup.*mlflow db upgrade sqlite:///.*mlflow\.db"):
        sync(store)


def test_a_file_that_is_no_database_is_named(store: RunStore) -> None:
    """Something else under the database's name is left alone and named."""
    (store.root / "mlflow.db").write_bytes(b"no database at all, but long enough" * 100)

    with pytest.raises(StoreError, match="is no SQLite database"):
        sync(store)


def test_mlflows_old_folders_are_refused_with_the_alternative(
    store: RunStore, tmp_path: Path, train: Train, make_spec: Spec
) -> None:
    """A folder as tracking URI ends in what to set instead."""
    train(make_spec())

    with pytest.raises(StoreError, match="no longer writes to folders"):
        sync(store, uri=f"file://{tmp_path}/mlruns")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("(sqlite3.OperationalError) database is locked", "for more than 20 seconds"),
        ("(sqlite3.OperationalError) database or disk is full", "Free some space"),
        ("[Errno 28] No space left on device: '/x'", "Free some space"),
        ("attempt to write a readonly database", "Copy the run store"),
        ("(sqlite3.OperationalError) unable to open database file", "its folder exists"),
        ("API request failed: Max retries exceeded with url: /api", "does not answer"),
        ("something new\nand its long story", "refused: something new"),
    ],
)
def test_what_mlflow_says_becomes_what_to_do(said: str, expected: str) -> None:
    """Known failures are explained with the fix, unknown ones shown by their first line."""
    sentence = faults.explain(OSError(said), "sqlite:////x.db")

    assert expected in sentence
    assert "sqlite:////x.db" in sentence
    assert "long story" not in sentence


def test_a_store_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    """Without a database and without the right to make one, the message says what to set."""
    store = RunStore.open(tmp_path / "runs", create=True)
    store.writable = False

    with pytest.raises(StoreError, match=r"may not be written.*MLFLOW_TRACKING_URI"):
        open_backend(store)


def test_a_locked_database_is_a_counted_failure(
    store: RunStore, train: Train, make_spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who holds the database makes the run fail with the reason, and it follows later."""
    import sqlalchemy

    train(make_spec())
    holder = sqlite3.connect(store.root / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    plain = sqlalchemy.text
    monkeypatch.setattr(
        sqlalchemy.sql, "text", lambda words: plain(words.replace("timeout = 20000", "timeout = 1"))
    )
    try:
        problem = _sync_or_problem(store)
    finally:
        holder.execute("ROLLBACK")
        holder.close()

    assert "for more than 20 seconds" in problem
    assert SyncReport(created=1) == sync(store)


def test_the_database_of_a_copied_store_follows_it(
    store: RunStore, tmp_path: Path, train: Train, make_spec: Spec
) -> None:
    """A copy goes on in its own folder, and nothing of the first store is touched."""
    train(make_spec(0))
    sync(store)
    before = sorted(store.root.rglob("*"))
    copy = RunStore.open(Path(shutil.copytree(store.root, tmp_path / "a copy")))
    train(make_spec(1), store=copy)

    assert SyncReport(created=1, unchanged=1) == sync(copy)
    client = open_backend(copy).client
    experiments = [each for each in client.search_experiments() if each.name != "Default"]
    runs = client.search_runs([each.experiment_id for each in experiments])
    places = [each.artifact_location for each in experiments] + [r.info.artifact_uri for r in runs]
    assert all(place.startswith((copy.root / "mlflow-artifacts").as_uri()) for place in places)
    assert before == sorted(store.root.rglob("*"))


def test_artifacts_left_behind_are_named_with_the_fix(
    store: RunStore, tmp_path: Path, template: Path, train: Train, make_spec: Spec
) -> None:
    """A database that was copied without its artifacts is not written to: they would be lost."""
    train(make_spec(0))
    sync(store)
    moved = RunStore.open(Path(shutil.copytree(store.root, tmp_path / "moved")))
    shutil.rmtree(moved.root / "mlflow-artifacts")
    train(make_spec(1), store=moved)

    report = sync(moved)

    assert 2 == report.failed
    assert "was moved" in report.problems[0]
    assert "MLflow lacks 2 runs, which the run store has." == report.behind
    rebuilt = RunStore.open(Path(shutil.move(moved.root, tmp_path / "rebuilt")))
    for file in rebuilt.root.glob("mlflow.db*"):
        file.unlink()
    shutil.copyfile(template, rebuilt.root / "mlflow.db")
    assert SyncReport(created=2) == sync(rebuilt)


def test_a_store_reached_by_another_path_is_not_moved(
    store: RunStore, tmp_path: Path, train: Train, make_spec: Spec
) -> None:
    """A symbolic link to the store leads to the same artifacts."""
    train(make_spec(0))
    sync(store)
    (tmp_path / "link").symlink_to(store.root)

    link = (tmp_path / "link/mlflow-artifacts/digits").as_uri()
    open_backend(store).settle_location("digits", link)
    assert SyncReport(unchanged=1) == sync(RunStore.open(tmp_path / "link"))


def test_an_experiment_deleted_in_mlflow_is_named(
    store: RunStore, train: Train, make_spec: Spec
) -> None:
    """MLflow cannot use its name again, so the message gives the command that restores it."""
    train(make_spec())
    sync(store)
    client = open_backend(store).client
    experiment = client.get_experiment_by_name("normbench/digits_cnn/quick")
    client.delete_experiment(experiment.experiment_id)

    report = sync(store)

    assert 1 == report.failed
    assert f"experiments restore -x {experiment.experiment_id}" in report.problems[0]


def _sync_or_problem(store: RunStore) -> str:
    try:
        return " ".join(sync(store).problems)
    except StoreError as error:
        return str(error)
