"""What ``normbench status`` shows."""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import replace

import pytest

from normbench.store import RunState, RunStore
from normbench.tables import duration

ONE_OFF = """
from normbench import Optimizer, Parameter, hookimpl

LR = (Parameter(name="lr", kind="float", default=0.1, summary="learning rate"),)

@hookimpl
def normbench_optimizers():
    return [Optimizer(name="mine", summary="of a file", parameters=LR, factory="math:exp")]
"""
BAD = ("failed", "timed_out", "out_of_memory", "killed")


def rows(invoke, filler, *words: str) -> list[dict]:
    """Return the rows of ``status --json``."""
    done = invoke("status", "--store", filler.root, *words, "--json")
    assert 0 == done.exit_code, done.stderr
    return json.loads(done.stdout)


def test_seeds_are_counted_by_state(invoke, filler):
    """Each state of a row's seeds has its own count."""
    runs = filler.pending(seeds=5)
    for run, state in zip(runs, ("finished", "finished", "diverged", "failed"), strict=False):
        filler.end(run, state)
    row = rows(invoke, filler)[0]
    counts = {name: count for name, count in row["states"].items() if count}

    assert {"finished": 2, "diverged": 1, "failed": 1, "pending": 1} == counts
    assert {"3": "made to be failed"} == row["messages"]
    assert ["eager"] * 3 + [None] * 2 == [run["engine"] for run in row["runs"]]


def test_each_bad_outcome_is_shown_by_its_word(invoke, filler):
    """What timed out is not called failed; the reason is one line, and a command tries again."""
    runs = filler.pending(seeds=5)
    for run, state in zip(runs, BAD, strict=False):
        filler.end(run, state)
    done = invoke("status", "--store", filler.root)
    row = rows(invoke, filler)[0]

    assert 0 == done.exit_code
    assert "1 pending, 1 failed, 1 out of memory, 1 timed out, 1 killed" in done.stdout
    assert "runs: 1 queued, 1 failed, 1 out of memory, 1 timed out, 1 killed" in done.stdout
    for seed, state in enumerate(BAD):
        told = f"row {row['row'][:8]} seed {seed} {state.replace('_', ' ')}: made to be {state}\n"
        assert told in done.stdout
    again = f"Try again with: normbench resume {row['row'][:8]} --store {filler.root}\n"
    assert again in done.stdout
    assert "need a longer --time-limit" in done.stdout


def test_one_off_plugin_is_named_or_asked_for(invoke, filler, plugin_file):
    """Without its file the command would know no such optimizer."""
    file = plugin_file(ONE_OFF)
    invoke(
        "run",
        "digits_cnn_bn",
        "mine",
        "--seeds",
        1,
        "--enqueue",
        "--plugin",
        file,
        "--store",
        filler.root,
    )
    for run in filler.store.runs():
        filler.end(run, "failed")
    given = ("status", "--store", filler.root)
    shown = [invoke(*given, *more).stdout for more in (("--plugin", file), ())]
    file.unlink()
    without = invoke(*given).stdout

    for each in shown:
        assert f"--store {filler.root} --plugin {file}\n" in each
        assert "Add the file of" not in each
    words = "Add the file of optimizer mine, which no installed plugin has: --plugin FILE."
    assert words in " ".join(without.split())


def test_only_the_first_line_of_a_reason_is_shown(invoke, filler):
    """A message of several lines stays whole in the JSON; a run without one says so."""
    run, other = filler.pending(seeds=2)
    for each, message in ((run, "first\nsecond"), (other, "")):
        with each.claim({}) as attempt:
            attempt.close(RunState.FAILED, message)
    shown = invoke("status", "--store", filler.root).stdout

    assert "seed 0 failed: first\nrow" in shown
    assert "seed 1 failed: no reason was kept\n" in shown
    assert "first\nsecond" == rows(invoke, filler)[0]["messages"]["0"]
    assert "need" not in shown


def test_mean_counts_a_diverged_seed_with_its_worst_score(invoke, filler):
    """Mean and spread cover every seed with an outcome, and say over how many they are."""
    runs = filler.pending(seeds=4)
    assert "mean ± sd" not in invoke("status", "--store", filler.root).stdout
    for run, state in zip(runs, ("finished", "finished", "finished", "diverged"), strict=True):
        filler.end(run, state)
    row = rows(invoke, filler)[0]
    scores = [run["score"] for run in row["runs"] if run["score"] is not None]
    shown = invoke("status", "--store", filler.root).stdout

    assert (4, statistics.fmean(scores)) == (row["n"], row["mean"])
    assert statistics.stdev(scores) == row["sd"]
    spread = 100 * statistics.stdev(scores)
    assert "mean ± sd: of test_accuracy, over finished and diverged seeds\n" in shown
    assert f" {100 * statistics.fmean(scores):.2f} ± {spread:.2f} % " in shown


def test_rows_are_cells_at_settings(invoke, filler):
    """Another norm, optimizer or learning rate is another row; another seed is not."""
    filler.ended(seeds=2)
    filler.ended(seeds=2, norm="group_norm")
    filler.ended(seeds=2, optimizer="adam")
    filler.pending(2, "sgd", "lr=0.02")

    assert [2, 2, 2, 2] == [len(row["runs"]) for row in rows(invoke, filler)]


@pytest.mark.parametrize(
    ("words", "optimizers"),
    [
        (("--norm", "group_norm"), ["sgd"]),
        (("--optimizer", "adam"), ["adam"]),
        (("--problem", "digits_cnn"), ["adam", "sgd", "sgd"]),
        (("--protocol", "quick"), ["sgd"]),
        (("--optimizer", "sgd", "--norm", "batch_norm"), ["sgd"]),
    ],
    ids=" ".join,
)
def test_filters_choose_rows(invoke, filler, words, optimizers):
    """Each filter keeps the rows that carry its name."""
    filler.ended()
    filler.ended(optimizer="adam")
    filler.ended(norm="group_norm", protocol="quick")

    assert optimizers == sorted(row["optimizer"] for row in rows(invoke, filler, *words))


def test_filter_for_an_absent_name_says_what_there_is(invoke, filler):
    """A name that no run carries is an error with the nearest one."""
    filler.ended()
    done = invoke("status", "--store", filler.root, "--optimizer", "sdg")

    assert 2 == done.exit_code
    assert "Did you mean 'sgd'?" in done.stderr


def test_running_seed_shows_its_epoch(invoke, filler, running):
    """A run that a worker holds is running, with the epoch it has reached."""
    shown = invoke("status", "--store", filler.root).stdout
    run = rows(invoke, filler)[0]["runs"][0]

    assert "seed 0: 2/3" in shown
    assert ("running", 2, 3) == (run["state"], run["epoch"], run["epochs"])


def test_time_left_follows_the_pace_of_finished_runs(invoke, filler):
    """Two pending seeds take twice what a finished one took; what failed or is done takes none."""
    runs = filler.pending(seeds=4)
    filler.end(runs[0], "finished")
    filler.end(runs[1], "failed")
    seconds = runs[0].result()["train_seconds"]
    shown = invoke("status", "--store", filler.root).stdout

    assert 2 * seconds == pytest.approx(rows(invoke, filler)[0]["seconds_left"])
    assert f"; {duration(2 * seconds)} left one after another\n" in shown


def test_time_left_is_told_by_a_run_that_trains_if_none_is_done(invoke, filler, running):
    """A run that has trained two of three epochs needs half as long again."""
    point = running.points()[-1]
    spent = point["train_seconds"] + point["evaluation_seconds"]
    (row,) = rows(invoke, filler)
    filler.pending(1, "adam")

    assert spent / 2 == pytest.approx(row["seconds_left"])
    assert ", and 1 row of unknown pace" in invoke("status", "--store", filler.root).stdout


def test_setting_shows_its_values_and_origin(invoke, filler):
    """The setting column holds what differs from the defaults, or says that nothing is tuned."""
    filler.pending(1, "sgd", "lr=0.02")
    shown = invoke("status", "--store", filler.root).stdout

    assert "lr=0.02 (given)" in shown


def test_changed_protocol_is_shown(invoke, filler):
    """Words that change the protocol stand beside its name."""
    filler.pending()

    assert "standard protocol.epochs=3" in invoke("status", "--store", filler.root).stdout


@pytest.fixture
def trials(filler):
    """Return three trials of two seeds each, in a cell that has an evaluation seed as well."""
    filler.ended()
    found = []
    for rate in ("lr=0.02", "lr=0.03", "lr=0.04"):
        spec = filler.specs(1, "sgd", (rate,))[0]
        found += [filler.store.add(replace(spec, seed=seed)) for seed in (100_000, 100_001)]
    for run in found[:3]:
        filler.end(run, "finished")
    return found


def test_trials_of_a_cell_share_a_line(invoke, filler, trials):
    """Runs at tuning seeds are counted in a table apart from the rows that others compare."""
    lines = invoke("status", "--store", filler.root).stdout.splitlines()
    place = lines.index("Tuning")
    cells = lines[place + 2].split("  ")

    assert "trials" in lines[place + 1].split()
    assert ["1 of 3", "3 pending, 3 finished"] == [cell for cell in cells if cell[:1].isdigit()][:2]
    assert "runs: 3 queued, 4 done; 9.0 s left one after another" in lines


def test_trials_are_shown_one_by_one_when_asked(invoke, filler, trials):
    """--trials gives each a row; as JSON they always have one, and say what they are."""
    shown = invoke("status", "--store", filler.root, "--trials").stdout

    assert all(f"lr=0.0{rate} (given)" in shown for rate in (2, 3, 4))
    assert "Tuning" not in shown
    assert [False, True, True, True] == sorted(row["tuning"] for row in rows(invoke, filler))


def test_cancelled_runs_are_shown(invoke, filler):
    """They have a column and a place in the totals."""
    runs = filler.pending(seeds=3)
    runs[1].cancel()
    shown = invoke("status", "--store", filler.root).stdout

    assert 1 == rows(invoke, filler)[0]["states"]["cancelled"]
    assert "2 pending, 1 cancelled" in shown.splitlines()[1]
    assert "runs: 2 queued, 1 cancelled\n" in shown


def test_a_damaged_run_is_named_and_the_others_are_shown(invoke, filler):
    """One file that cannot be read hides no other run."""
    runs = filler.ended(seeds=3)
    (runs[1].path / "result.json").write_text("{")
    done = invoke("status", "--store", filler.root)

    assert (0, True) == (done.exit_code, "runs: 2 done" in done.stdout)
    assert f"run {runs[1].fingerprint[:8]} is left out: {runs[1].path}" in done.stderr


def test_very_many_failures_are_not_all_told(invoke, filler):
    """The first twenty reasons are enough; the rest is in the JSON."""
    filler.ended("failed", seeds=23)
    shown = invoke("status", "--store", filler.root).stdout

    assert 20 == shown.count("failed: made to be failed")
    assert "and 3 more; --json shows all\n" in shown
    assert 23 == len(rows(invoke, filler)[0]["messages"])


def test_empty_store_is_said_to_be_empty(invoke, filler):
    """A store without runs is no error."""
    done = invoke("status", "--store", filler.root)

    assert (0, f"the store {filler.root} holds no runs\n") == (done.exit_code, done.stdout)
    assert [] == rows(invoke, filler)


def test_read_only_store_can_be_looked_at(invoke, filler):
    """Status needs no right to write, and changes nothing."""
    filler.ended("finished", 2)
    folders = [filler.root, *(path for path in filler.root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        before = sorted((str(p), p.stat().st_mtime_ns) for p in filler.root.rglob("*"))
        row = rows(invoke, filler)[0]
        after = sorted((str(p), p.stat().st_mtime_ns) for p in filler.root.rglob("*"))
    finally:
        for folder in folders:
            folder.chmod(0o755)

    assert 2 == row["n"]
    assert before == after


def test_newer_store_is_refused(invoke, filler):
    """A store of a newer schema is refused with the way out, and left as it was."""
    file = filler.root / "store.json"
    file.write_text(json.dumps({"schema": 999, "written_by": "9.9"}), encoding="utf-8")
    done = invoke("status", "--store", filler.root)

    assert 2 == done.exit_code
    assert "999" in done.stderr
    assert "Upgrade normbench" in done.stderr
    assert {"schema": 999, "written_by": "9.9"} == json.loads(file.read_text(encoding="utf-8"))


def test_folder_that_is_no_store_is_refused(invoke, tmp_path):
    """Any other folder is refused by name."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = invoke("status", "--store", tmp_path)

    assert 2 == done.exit_code
    assert str(tmp_path) in done.stderr


def test_store_comes_from_the_environment(invoke, filler, monkeypatch):
    """Without --store, $NORMBENCH_STORE says where the store is."""
    filler.ended()
    monkeypatch.setitem(os.environ, "NORMBENCH_STORE", str(filler.root))

    assert "digits_cnn" in invoke("status").stdout


def test_watching_ends_when_nothing_moves(invoke, filler):
    """--watch returns by itself once no run is running or pending."""
    filler.ended("finished", 2)
    done = invoke("status", "--store", filler.root, "--watch", "60")
    bare = invoke("status", "--watch", "--store", filler.root)

    assert (0, 0) == (done.exit_code, bare.exit_code)


def test_an_older_winner_is_called_superseded(invoke, filler):
    """Origins go by the settings that the store has tuned since a row was trained."""
    words = ("digits_cnn_bn", "sgd", "protocol.epochs=3", "--store", filler.root, "--no-track")
    filler.ended(words=("lr=0.5",))
    (stored,) = RunStore.open(filler.root).runs()
    spec = replace(stored.spec, setting_origin="known")
    (stored.path / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    invoke("tune", *words, "--trials", 2, "--no-evaluate", "--enqueue")
    for run in RunStore.open(filler.root).runs():
        if run.result() is None:
            filler.end(run, "finished")
    assert 0 == invoke("tune", *words, "--trials", 2, "--no-evaluate").exit_code

    assert "lr=0.5 (known, superseded)" in invoke("status", "--store", filler.root).stdout
