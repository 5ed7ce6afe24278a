"""``--source mlflow`` of the commands that show leaderboards."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from normbench.cli import cli
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunStore, StoredRun
from normbench.tracking import sync

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run a command in this process, in an empty folder."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.delenv("NORMBENCH_STORE", raising=False)
    return lambda *words: CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def trained(store: RunStore, train: Callable[..., StoredRun]) -> RunStore:
    """A store with three seeds of two norms with two optimizers."""
    catalogue = load_catalogue()
    for norm in ("none", "batch_norm"):
        for optimizer in ("sgd", "momentum"):
            request = Request(problem="digits_cnn", optimizer=optimizer, norm=norm, seeds=3)
            for spec in resolve(request, catalogue):
                train(spec)
    return store


COMMANDS = (
    ("leaderboard", "--problem", "digits_cnn_bn"),
    ("leaderboard", "--metric", "test_loss", "--format", "json"),
    ("norms",),
    ("optimizers", "--format", "csv"),
    ("compare", "batch_norm+sgd", "none+sgd"),
)


def test_every_command_reads_the_database_of_the_store(trained: RunStore, invoke: Invoke) -> None:
    """What stands on standard output is the same from both, byte for byte; so is how to go on."""
    request = Request(problem="digits_cnn", optimizer="sgd", norm="none", seeds=[3])
    trained.add(*resolve(request, load_catalogue()))
    told = []
    for words in COMMANDS:
        # Each notes in the store what it showed, which the next one tells.
        sync(trained)
        from_store = invoke(*words, "--store", trained.root)

        from_mlflow = invoke(*words, "--store", trained.root, "--source", "mlflow")

        assert (0, 0) == (from_store.exit_code, from_mlflow.exit_code), from_mlflow.stderr
        assert from_store.stdout == from_mlflow.stdout, words
        told.append(f"normbench resume --store {trained.root}" in from_store.stdout)
    assert any(told)


def test_an_address_is_enough(
    trained: RunStore, invoke: Invoke, other_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any run store, $MLFLOW_TRACKING_URI gives the same table, and nothing is made."""
    sync(trained, uri=other_uri)
    expected = invoke("leaderboard", "--store", trained.root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other_uri)

    shown = invoke("leaderboard", "--source", "mlflow")

    assert expected.stdout == shown.stdout, shown.stderr
    assert [] == list(Path.cwd().iterdir())


def test_without_store_and_address_both_are_named(invoke: Invoke) -> None:
    """A user who has neither learns what to set."""
    done = invoke("leaderboard", "--source", "mlflow")

    assert 2 == done.exit_code
    for words in ("MLFLOW_TRACKING_URI is not set", "normbench-runs", "--store DIR"):
        assert words in done.stderr


def test_a_store_that_was_never_copied_is_left_as_it_is(invoke: Invoke, tmp_path: Path) -> None:
    """Reading makes no database; the message names the command that does."""
    RunStore.open(tmp_path / "bare", create=True)

    done = invoke("leaderboard", "--source", "mlflow", "--store", tmp_path / "bare")

    assert 0 != done.exit_code
    assert "normbench sync" in done.stderr
    assert not (tmp_path / "bare" / "mlflow.db").exists()


def test_an_mlflow_of_others_is_told_from_an_old_one(
    invoke: Invoke, other_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database without experiments of normbench says so."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other_uri)

    done = invoke("leaderboard", "--source", "mlflow")

    assert 2 == done.exit_code
    assert "holds nothing of normbench" in done.stderr


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://me:secret@127.0.0.1:{port}", "does not answer. Check that it runs"),
        ("postgresql://me:secret@127.0.0.1:{port}/mlflow", "does not answer: connection"),
        ("postgresql://me:secret@127.0.0.1:{port}:5/mlflow", "is not the address of a database"),
        ("oracle://me:secret@127.0.0.1/mlflow", "refused"),
    ],
)
def test_a_server_that_is_away_is_said_in_a_sentence(
    address: str, words: str, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback, no password, and no talk of what would be sent."""
    pytest.importorskip("psycopg")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(port=port))

    done = invoke("leaderboard", "--source", "mlflow")

    assert 0 < done.exit_code
    assert words in done.stderr
    for unwanted in ("secret", "Traceback", "sends what is missing"):
        assert unwanted not in done.stderr


def test_a_database_without_its_package_names_the_extra(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has to be installed for PostgreSQL is said."""
    import sqlalchemy

    def missing(_uri: str, **_options: Any) -> Any:
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(sqlalchemy, "create_engine", missing)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://127.0.0.1/mlflow")

    done = invoke("leaderboard", "--source", "mlflow")

    assert 0 < done.exit_code
    assert "[postgres]" in done.stderr
