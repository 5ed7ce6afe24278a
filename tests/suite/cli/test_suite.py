"""``normbench suite``: sets of cells from the command line."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def suite_file(tmp_path, monkeypatch):
    """Return a function that writes a suite file into the working directory."""
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> str:
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
        return "mine.yaml"

    return written


def test_suite_runs_from_the_command_line(suite_file, invoke):
    """``suite run`` trains each cell once; run again it trains nothing."""
    file = suite_file("{problem: digits_cnn, optimizers: [sgd, adam], seeds: 1}")
    words = ("suite", "run", file, "protocol.epochs=1", "--slots", "1", "--no-track", "--json")
    first, second = (json.loads(invoke(*words).stdout) for _ in range(2))

    assert (2, 0) == (first["trained"], second["trained"])
    assert first["rows"] == second["rows"]
    assert ["sgd", "adam"] == [row["optimizer"] for row in first["rows"]]


def test_only_chooses_cells(suite_file, invoke):
    """``--only`` keeps the cells that it names, and says so when there are none."""
    file = suite_file("{problem: digits_cnn, optimizers: [sgd, adam], seeds: 2}")
    shown = invoke("suite", "run", file, "--only", "optimizer=adam", "--dry-run").stdout
    none = invoke("suite", "run", file, "--only", "optimizer=lion", "--dry-run")

    assert "adam" in shown
    assert "sgd" not in shown
    assert "2 runs; nothing was trained." in shown
    assert 2 == none.exit_code
    assert "has no cell with optimizer=lion" in none.stderr


def test_describe_shows_cells_and_what_is_left_out(suite_file, invoke):
    """Each cell has its row of the table, and an excluded one its reason."""
    file = suite_file(
        "{problem: digits_cnn, optimizers: [sgd, adam], seeds: 2, "
        "exclude: [{optimizer: adam, reason: too slow}]}"
    )
    shown = invoke("suite", "describe", file).stdout

    assert "1 cell, 2 runs." in shown
    assert "left out: digits_cnn adam: too slow" in shown
    words = ("protocol.epochs=7", "--seeds", "3,9,4")
    changed = json.loads(invoke("suite", "describe", file, *words, "--json").stdout)
    assert [([3, 9, 4], "7")] == [(c["seeds"], c["cell"]["epochs"]) for c in changed["cells"]]


def test_list_names_all_suites(invoke):
    """The suites of the five sources and DeepOBS's two sets are on offer."""
    names = {entry["name"] for entry in json.loads(invoke("suite", "list", "--json").stdout)}

    assert {
        "beyond_batchnorm",
        "bn_init",
        "dissect_bn",
        "spherical",
        "group_norm_study",
        "deepobs_small",
        "deepobs_large",
    } <= names
