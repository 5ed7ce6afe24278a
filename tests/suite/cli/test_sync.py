"""What ``normbench sync`` and ``normbench ui`` pass on."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile

import pytest


@pytest.fixture(autouse=True)
def own_database(monkeypatch):
    """Let MLflow's data lie in the store, whatever the environment says."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def sync(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own: MLflow is set up through the environment."""
    code = "from normbench.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "sync", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_runs_of_an_archive_are_merged_and_sent_once(invoke, filler, tmp_path):
    """With --from, an archive is taken over into a store made for it; a second call sends none."""
    runs = filler.ended("finished", 2)
    archive, other = tmp_path / "store.tar.gz", tmp_path / "other"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(filler.root, arcname="store")
    first = sync("--from", archive, "--store", other, "--json")
    second = sync("--store", other)
    report = json.loads(first.stdout)
    status = json.loads(invoke("status", "--store", other, "--json").stdout)

    assert (0, 0) == (first.returncode, second.returncode)
    assert (2, 2) == (report["merged"]["added"], report["tracking"]["created"])
    assert "MLflow: 0 created, 0 updated, 2 unchanged, 0 failed\n" == second.stdout
    assert {run.fingerprint for run in runs} == {run["fingerprint"] for run in status[0]["runs"]}


@pytest.mark.parametrize("command", ["sync", "ui"])
def test_missing_store_is_refused(invoke, tmp_path, command):
    """Neither command makes a store."""
    done = invoke(command, "--store", tmp_path / "none")

    assert 2 == done.exit_code
    assert "there is no run store" in done.stderr
    assert not (tmp_path / "none").exists()


def test_source_must_exist(invoke, tmp_path):
    """A source that is not there is an error before anything is made."""
    done = invoke("sync", "--from", tmp_path / "gone.tar", "--store", tmp_path / "store")

    assert 2 == done.exit_code
    assert "gone.tar" in done.stderr
    assert not (tmp_path / "store").exists()


def test_ui_serves_the_store(invoke, filler, monkeypatch):
    """The options reach the server, and no browser is opened unless wanted."""
    calls = []
    monkeypatch.setattr(
        "normbench.tracking.serve", lambda store, **words: calls.append((store.root, words))
    )
    invoke("ui", "--store", filler.root, "--port", "5001", "--no-browser")

    expected = {"host": "127.0.0.1", "port": 5001, "only": True, "open_browser": False}
    assert [(filler.root, expected)] == calls
