"""``suite status`` and ``suite cancel``: the runs that a store has of a suite."""

from __future__ import annotations

import json
import shlex

import pytest

from normbench.store import RunState

SUITE = (
    "{problem: digits_cnn_bn, optimizers: [sgd, adam], seeds: 3, "
    "protocol: {name: standard, epochs: 3}}"
)


@pytest.fixture
def suite_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(SUITE, encoding="utf-8")
    return "mine.yaml"


def cells(line: str) -> list[str]:
    """Return the cells of a line of a table."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_status_counts_and_averages_each_cell(suite_file, invoke, filler):
    """Done, queued, failed and missing runs, the mean of those done, and exit code 1."""
    filler.ended(seeds=2)
    filler.pending(3)
    filler.ended("timed_out", 1, "adam")
    found = invoke("suite", "status", suite_file, "--store", filler.root)
    lines = found.stdout.splitlines()

    assert 1 == found.exit_code
    assert "problem digits_cnn, norm batch_norm, protocol standard protocol.epochs=3" == lines[0]
    assert ["optimizer", "runs", "mean", "left"] == lines[1].split()
    assert ["sgd", "1 queued, 2 done", "66.45 %", "3.0 s"] == cells(lines[2])
    assert ["adam", "1 timed out, 2 missing", "?"] == cells(lines[3])
    assert "2 cells, 6 runs: 1 queued, 2 done, 1 timed out, 2 missing" in lines
    assert "seed 0 timed out: made to be timed_out\n" in found.stderr
    assert f"Try again with: normbench suite run mine.yaml --store {filler.root}" in found.stderr


def test_status_of_a_complete_suite_ends_with_0(suite_file, invoke, filler):
    """Once every run has its result the exit code is 0; diverged runs have one."""
    filler.ended(seeds=3)
    filler.ended("diverged", 3, "adam")
    found = invoke("suite", "status", suite_file, "--json", "--store", filler.root)
    content = json.loads(found.stdout)

    assert 0 == found.exit_code
    assert content["complete"]
    assert [(3, 0, 3), (3, 0, 3)] == [(c["done"], c["missing"], c["n"]) for c in content["cells"]]


def test_status_without_a_store_has_all_missing(suite_file, invoke):
    """Before the first run everything is missing, and no store is made."""
    found = invoke("suite", "status", suite_file, "--seeds", 2)

    assert 1 == found.exit_code
    assert "2 cells, 4 runs: 4 missing" in found.stdout
    again = found.stdout.splitlines()[-1].removeprefix("Train what is missing with: normbench ")
    assert "4 runs; nothing was trained" in invoke(*shlex.split(again), "--dry-run").stdout


def test_what_trains_queued_runs_is_said_unless_one_runs(suite_file, invoke, filler):
    """After everything was killed, both kinds of status name the command."""
    filler.ended("interrupted")
    filler.pending(2, "adam")
    words = ("suite", "status", suite_file, "--seeds", 1, "--store", filler.root)
    said = "None is running. Train what is queued with: normbench suite run "
    again = f"train them with:\nnormbench resume --store {filler.root}\n"

    assert said in invoke(*words).stdout
    assert again in invoke("status", "--store", filler.root).stdout
    with filler.pending(2)[1].claim({}):
        assert again not in invoke("status", "--store", filler.root).stdout


def test_cancel_marks_what_is_not_done_once(suite_file, invoke, filler, running):
    """Waiting and running runs are cancelled, done ones stay, and a second call changes nothing."""
    filler.ended(seeds=1, optimizer="adam")
    filler.pending(3)
    words = ("suite", "cancel", suite_file, "--json", "--store", filler.root)
    first, second = (json.loads(invoke(*words).stdout) for _ in range(2))
    states = [run.state() for run in filler.pending(3)]

    assert {"waiting": 2, "running": 1, "cancelled_before": 0, "done": 1} == first
    assert {"waiting": 0, "running": 1, "cancelled_before": 2, "done": 1} == second
    assert [RunState.RUNNING, RunState.CANCELLED, RunState.CANCELLED] == states


def test_running_a_suite_readmits_it(suite_file, invoke, filler):
    """Cancelled runs are asked for again by ``suite run``, and wait anew."""
    filler.pending(3)
    said = invoke("suite", "cancel", suite_file, "--store", filler.root).stdout
    invoke("suite", "run", suite_file, "--enqueue", "--store", filler.root)

    assert "cancelled 3 runs\nReadmit them with: normbench suite run mine.yaml" in said
    assert {RunState.PENDING} == {run.state() for run in filler.pending(3)}


def test_cancel_names_the_trials_that_stay(suite_file, invoke, filler):
    """Trials that words asked for are no part of the suite; the printed command cancels them."""
    store = ("--store", filler.root)
    tune = ("suite", "tune", suite_file, "--trials", 2, "--only", "optimizer=sgd", "--enqueue")
    invoke(*tune, *store)
    filler.pending(3)
    said = invoke("suite", "cancel", suite_file, *store).stdout
    again = shlex.split(said.partition("Cancel them with: normbench ")[2])

    assert "cancelled 3 runs\n" in said
    assert "3 runs of trials of these cells" in said
    assert "cancelled 3 runs\n" == invoke(*again).stdout
    assert "Cancel them with" not in invoke("suite", "cancel", suite_file, *store).stdout


def test_cancel_without_a_store_is_refused(suite_file, invoke):
    """Where there is no store there is nothing to cancel."""
    found = invoke("suite", "cancel", suite_file)

    assert 2 == found.exit_code
    assert "there is no run store" in found.stderr
