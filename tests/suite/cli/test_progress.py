"""What is shown while runs train."""

from __future__ import annotations

import io
import logging
from dataclasses import replace

import pytest

from normbench.api import Report
from normbench.cli import progress
from normbench.cli.launching import why_unfinished
from normbench.cli.run_names import run_names
from normbench.report import rows_of
from normbench.store import RunState


def briefs(filler, *specs) -> list[str]:
    """Return what the bars call runs."""
    names = run_names(filler.store, specs)
    return [names[spec.fingerprint].brief for spec in specs]


def test_runs_of_one_row_are_told_by_their_seeds(filler):
    """Where nothing but the seed differs, the seed is the name; a single run has one too."""
    specs = filler.specs(2, "sgd", ())

    assert ["seed 0", "seed 1"] == briefs(filler, *specs)
    assert ["seed 0"] == briefs(filler, specs[0])
    full = run_names(filler.store, specs)[specs[1].fingerprint].full
    assert "digits_cnn batch_norm sgd seed 1" == full


def test_rows_are_told_by_what_differs(filler):
    """Names that all runs share are left out; hyper-parameters count among alike runs only."""
    specs = [
        *filler.specs(1, "sgd", ("lr=0.012345678",)),
        *filler.specs(1, "sgd", ("lr=0.5",)),
        *filler.specs(1, "adam", ()),
    ]

    assert ["sgd lr=0.01235", "sgd lr=0.5", "adam"] == briefs(filler, *specs)


def test_changed_rules_tell_rows_apart(filler):
    """Rows that differ in a word of the problem or protocol alone are named by it."""
    specs = [filler.specs(1, "sgd", (f"problem.batch_size={size}",))[0] for size in (8, 16)]

    assert [f"problem.batch_size={size}" for size in (8, 16)] == briefs(filler, *specs)


@pytest.mark.parametrize(
    ("others", "names"),
    [
        ([], [""]),
        ([{"optimizer": "adam"}], ["sgd ", "adam "]),
        ([{"words": ("lr=0.5",)}], ["lr=0.1 ", "lr=0.5 "]),
        ([{"protocol": "quick"}], None),
    ],
)
def test_what_failed_is_told_by_its_row(filler, others, names):
    """Each line of a report has its seed, and among several rows what tells its row apart."""
    failed = [filler.ended("failed", 2, **names) for names in ({}, *others)]
    rows = rows_of([run for runs in failed for run in runs])
    if names is None:
        names = [f"row {row.spec.row[:8]} " for row in rows]
    report = Report(rows=tuple(rows), store=filler.root, trained=0)

    expected = [f"{name}seed {seed}: made to be failed" for name in names for seed in range(2)]
    assert expected == why_unfinished(report)


@pytest.fixture
def trials(filler, invoke):
    """Return runs of a study: the default setting and two trials."""
    words = ("digits_cnn_bn", "sgd", "--trials", 2, "--enqueue", "--no-evaluate", "--json")
    done = invoke("tune", *words, "--store", filler.root)
    assert 0 == done.exit_code, done.stderr
    return [run.spec for run in filler.store.runs()]


def test_trials_are_told_by_number_and_values(filler, trials):
    """A bar says which trial it is and what it tries."""
    names = run_names(filler.store, trials)
    rates = {spec.fingerprint: spec.optimizer.parameters["lr"] for spec in trials}
    called = sorted(name.brief for name in names.values())

    assert 3 == len(set(called))
    assert ["default setting lr=0.1", "trial 1", "trial 2"] == [
        name if name.startswith("default") else " ".join(name.split()[:2]) for name in called
    ]
    for fingerprint, name in names.items():
        assert f"lr={rates[fingerprint]:.4g}" in name.brief
        assert name.full.startswith("digits_cnn batch_norm sgd ")


def test_a_record_that_cannot_be_read_hides_only_numbers(filler, trials):
    """Names are no reason to end what trains."""
    (record,) = (filler.root / "tuning").glob("*.json")
    record.write_text('{"schema": 999}')

    assert all(name.startswith("lr=") for name in briefs(filler, *trials))


def test_trials_of_several_seeds_say_which(filler):
    """Seeds are added where there are several, behind what differs otherwise."""
    specs = [
        replace(spec, seed=seed)
        for rate in ("lr=0.2", "lr=0.3")
        for spec in filler.specs(1, "sgd", (rate,))
        for seed in (100000, 100001)
    ]

    assert "lr=0.2 seed 100000" == briefs(filler, *specs)[0]


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_bars_name_what_trains(filler, running, monkeypatch):
    """A run that trains has a bar with its name, one that waits is only counted."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    other = filler.pending(1, "adam")[0]
    with progress.watch(filler.store, [running.fingerprint, other.fingerprint]) as tick:
        tick()

    assert RunState.RUNNING is running.state()
    assert "0 of 2 done" in terminal.getvalue()
    assert "\nsgd " in terminal.getvalue()
    assert "adam" not in terminal.getvalue()


def test_each_outcome_is_logged_once(filler, caplog, monkeypatch):
    """The log has a line for each change, by the full name."""
    (run,) = filler.ended("timed_out")
    monkeypatch.setattr(progress, "_REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_LEAST_REST", 0.0)
    with (
        caplog.at_level(logging.INFO, "normbench.run"),
        progress.watch(filler.store, [run.fingerprint]) as tick,
    ):
        tick()
        tick()

    assert 1 == len(caplog.messages)
    assert caplog.messages[0].startswith("digits_cnn batch_norm sgd seed 0: epoch ")
    assert "timed_out" in caplog.messages[0]
