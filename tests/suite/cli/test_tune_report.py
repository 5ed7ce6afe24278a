"""What ``normbench tune`` and ``studies`` report of budgets, and what method tpe says of itself."""

from __future__ import annotations

import json
import sys

import pytest

from normbench.store import RunStore

CELL = ("digits_cnn_bn", "sgd", "--protocol", "quick")


@pytest.fixture
def tuned(invoke, filler):
    """Tune six trials that finish, without evaluation; return what is printed."""

    def tune(*words):
        command = ("tune", *CELL, "--trials", "6", "--store", filler.root, "--no-evaluate")
        assert 0 == invoke(*command, "--no-track", "--enqueue").exit_code
        for run in RunStore.open(filler.root).runs():
            filler.end(run, "finished")
        return invoke(*command, "--no-track", *words)

    return tune


def test_tune_prints_budgets_and_writes_the_report(tuned, tmp_path):
    """Below the winner stands what five and six trials find, and the report has four files."""
    done = tuned("--report", tmp_path / "report")
    _, _, table = done.stdout.partition("What a number of trials finds\n")

    assert 0 == done.exit_code, done.stderr
    assert ["default", "5", "6"] == [line.split()[0] for line in table.splitlines()[1:4]]
    assert 4 == len(list((tmp_path / "report").iterdir()))
    assert f"wrote {tmp_path / 'report' / 'budget.png'}" in done.stderr


def test_studies_show_and_write_the_same_report(tuned, invoke, filler, tmp_path):
    """A study shows its tables, its JSON has them, and --report writes them."""
    tuned()
    store = ("--store", filler.root)
    (name,) = [each["study"] for each in json.loads(invoke("studies", *store, "--json").stdout)]
    shown = invoke("studies", name, *store, "--report", tmp_path / "report")
    content = json.loads(invoke("studies", name, *store, "--json").stdout)

    assert "How much each hyper-parameter matters" in shown.stdout
    assert [5, 6] == content["budgets"]
    assert content == json.loads((tmp_path / "report" / "report.json").read_text())


def test_a_report_that_cannot_be_written_is_an_error(tuned, tmp_path):
    """A file where the folder should be gives one line and exit code 1; the rest is printed."""
    (tmp_path / "taken").write_text("")
    done = tuned("--report", tmp_path / "taken" / "report")

    assert 1 == done.exit_code
    assert "Winner: trial" in done.stdout
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_slots_beyond_the_tuning_seeds_are_explained(invoke, tmp_path):
    """Method tpe says how many runs there are at a time; with no more slots it is silent."""
    pytest.importorskip("optuna", reason="method tpe needs the extra optuna")
    command = ("tune", *CELL, "--method", "tpe", "--store", tmp_path / "s", "--dry-run")
    two = ("--tuning-seeds", "2")

    assert "leaves one run at a time" in invoke(*command, "--slots", "2").stderr
    assert "leaves 2 runs at a time, its tuning" in invoke(*command, *two, "--slots", "3").stderr
    assert "at a time" not in invoke(*command, *two, "--slots", "2").stderr
    assert "Later trials depend on" in invoke(*command).stdout


def test_a_missing_optuna_is_said_before_anything_is_trained(invoke, monkeypatch, tmp_path):
    """The error names the extra, the exit code is 2, and no store is made."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = invoke("tune", *CELL, "--method", "tpe", "--store", tmp_path / "s", "--no-track")

    assert 2 == done.exit_code
    assert ".[optuna]" in done.stderr
    assert not (tmp_path / "s").exists()
