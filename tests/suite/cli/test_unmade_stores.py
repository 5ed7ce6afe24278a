"""Commands that look into a store which need not be there: in empty and half-made folders."""

from __future__ import annotations

from pathlib import Path

import pytest

CELL = ("digits_cnn_bn", "sgd", "--protocol", "quick")
COMMANDS = (
    ("tune", *CELL, "--trials", "2", "--dry-run"),
    ("run", *CELL, "--seeds", "2", "--dry-run"),
    ("plan", *CELL, "--seeds", "2", "--no-probe"),
    ("suite", "status", "mine.yaml"),
)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Return an empty folder, beside a suite file in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("{problem: digits_cnn_bn, optimizer: sgd, seeds: 2}")
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def cut_short(folder: Path) -> None:
    """Leave what a process leaves that was killed while it made a store."""
    (folder / "runs").mkdir()
    (folder / "locks").mkdir()
    (folder / ".store.json.0123abcd.tmp").write_text("{")


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("leave", [lambda _folder: None, cut_short], ids=["empty", "half-made"])
def test_folder_without_a_store_is_as_good_as_none(invoke, folder, words, leave):
    """The command says what it says without a folder, and leaves the folder as it is."""
    leave(folder)
    before = sorted(folder.rglob("*"))
    found = invoke(*words, "--store", "store")
    missing = invoke(*words, "--store", "other")

    assert (missing.exit_code, missing.stdout) == (found.exit_code, found.stdout), found.stderr
    assert before == sorted(folder.rglob("*"))


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_folder_of_something_else_is_refused(invoke, folder, words):
    """A folder that cannot become a store is an error that names what it holds."""
    (folder / "thesis.tex").touch()
    found = invoke(*words, "--store", "store")

    assert 1 <= found.exit_code <= 2
    assert "neither empty nor a run store: it holds 'thesis.tex'" in found.stderr


def test_tuning_completes_a_half_made_store(invoke, folder):
    """Trials can be added where the making of the store was cut short, and are found again."""
    cut_short(folder)
    words = (*COMMANDS[0][:-1], "--store", "store")
    added = invoke(*words, "--enqueue")

    assert 0 == added.exit_code, added.stderr
    assert added.stdout.splitlines()[:4] == invoke(*words, "--dry-run").stdout.splitlines()[:4]
    assert (folder / "store.json").exists()
