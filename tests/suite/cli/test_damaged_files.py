"""A damaged file of a store stops what needs it, and nothing else."""

from __future__ import annotations

import json

import pytest

from normbench.store import index_stamps, indexing
from normbench.store.untaken import untaken_studies

SETTING = "settings/digits_cnn-batch_norm-sgd-standard-01234567.toml"
RUN = ("run", "digits_cnn_bn", "--dry-run", "--seeds", "1")
BOARD = ("leaderboard", "--problem")


@pytest.mark.parametrize(
    ("file", "stopped", "unhurt", "told"),
    [
        (SETTING, (*RUN, "sgd"), (*RUN, "adam"), True),
        (SETTING, ("leaderboard", "--setting", "known"), (*BOARD, "quadratic_deep"), True),
        (SETTING, (), ("status",), True),
        (SETTING, (), ("list", "settings"), True),
        ("settings/mine.toml", (), (*RUN, "sgd"), True),
        ("stages/ROW.json", (*BOARD, "digits_cnn"), (*BOARD, "quadratic_deep"), True),
        ("stages/ROW.json", ("norms",), ("norms", "--problem", "quadratic_deep"), True),
        ("stages/ROW.json", (), ("status",), False),
        ("tuning/0123456789abcdef.json", ("studies", "0123"), ("studies",), True),
        ("tuning/0123456789abcdef.json", (), ("resume", "--no-track"), True),
    ],
)
def test_a_damaged_file_stops_what_needs_it(invoke, filler, file, stopped, unhurt, told):
    """That ends with 2 and the file's name; the rest goes on, and one line names it."""
    run = filler.ended()[0]
    for optimizer in ("sgd", "momentum"):
        filler.ended(problem="quadratic_deep", optimizer=optimizer)
    path = filler.root / file.replace("ROW", run.spec.row)
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"commands": {}, "schema": 1}' if "tuning" in file else "[")
    place = ("--store", filler.root)
    went = invoke(*unhurt, *place)

    assert 0 == went.exit_code or unhurt[0] == "norms", went.stderr
    said = [line for line in went.stderr.splitlines() if str(path) in line]
    assert told == len(said), went.stderr
    if stopped:
        done = invoke(*stopped, *place)
        assert (2, 1) == (done.exit_code, done.stderr.count(str(path))), done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("file", [SETTING, "stages/ROW.json"])
def test_rows_that_a_damaged_file_does_not_concern_are_compared(invoke, filler, file):
    """Two other rows of the table are, with a warning; where it is needed only an error is said."""
    row = filler.ended(optimizer="sgd", norm="batch_norm", seeds=3)[0].spec.row
    for optimizer, *words in (("momentum",), ("adam",), ("sgd", "lr=0.5")):
        filler.ended(optimizer=optimizer, norm="batch_norm", seeds=3, words=tuple(words))
    path = filler.root / file.replace("ROW", row)
    path.parent.mkdir(exist_ok=True)
    path.write_text("[")
    place = ("--store", filler.root)
    went = invoke("compare", "momentum", "adam", *place)
    needs = (("compare", "sgd", "adam"), ("plot", "--figure", "heatmap", "--output"))
    stopped = [invoke(*needs[0], *place), invoke(*needs[1], filler.root / "a.png", *place)]

    assert (0, 1) == (went.exit_code, went.stderr.count(str(path))), went.stderr
    for done in stopped:
        assert (2, 1) == (done.exit_code, done.stderr.count(str(path))), done.stderr


def test_a_row_alone_needs_no_setting_but_for_its_origin(invoke, filler):
    """Its table is made, with a warning and a note on where that is told from."""
    filler.ended(seeds=3)
    path = filler.root / SETTING
    path.parent.mkdir()
    path.write_text("[")
    done = invoke("leaderboard", "--store", filler.root, "--format", "md")

    assert (0, 1) == (done.exit_code, done.stderr.count(str(path))), done.stderr
    assert (
        "Where the setting of batch_norm sgd comes from is told as it was recorded" in done.stdout
    )


def test_a_damaged_run_stops_the_figure_that_needs_it(invoke, filler):
    """The figure of other runs is drawn, with a warning."""
    filler.ended(optimizer="sgd")
    damaged = filler.ended(optimizer="momentum")[0]
    (damaged.path / "result.json").write_text("{")
    where = ("--output", filler.root / "a.png", "--store", filler.root)
    drawn, needs = (invoke("plot", f"optimizer={name}", *where) for name in ("sgd", "momentum"))

    assert (0, 1) == (drawn.exit_code, drawn.stderr.count("result.json")), drawn.stderr
    assert (2, 1) == (needs.exit_code, needs.stderr.count("result.json")), needs.stderr
    request = ("digits_cnn_bn", "momentum", "protocol.epochs=3", "--seeds", 1, "--no-track")
    asked = invoke("run", *request, "--store", filler.root)
    assert (2, 1) == (asked.exit_code, asked.stderr.count("result.json")), asked.stderr


def test_a_damaged_record_hides_no_other_study(invoke, filler):
    """What waits for a tune is told beside what cannot be read, each file once."""
    words = ("tune", "digits_cnn_bn", "sgd", "--trials", 2, "--store", filler.root)
    invoke(*words, "--enqueue")
    for run in filler.store.runs():
        filler.end(run, "finished")
    for path in (filler.root / "tuning" / "bad.json", filler.root / "settings" / "bad.toml"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("{")
    setting, bad, waits = untaken_studies(filler.store)

    assert "Of one study it is not known whether it waits for a tune: " in bad
    assert f"{filler.root}/tuning/bad.json is damaged" in bad
    assert f"{filler.root}/settings/bad.toml holds no known settings" in setting
    assert waits.startswith("Tuning is not over: the trials of study ")


def test_damaged_runs_are_counted_and_found(invoke, filler):
    """Status counts them beside the others, with what trains them again; check names each file."""
    place = ("--store", filler.root)
    runs = filler.ended(seeds=3)
    assert (0, 0) == (invoke("status", *place).exit_code, invoke("check", *place).exit_code)
    (runs[0].path / "result.json").write_bytes((runs[1].path / "result.json").read_bytes())
    status, table = invoke("status", *place), json.loads(invoke("status", *place, "--json").stdout)
    check = invoke("check", *place)
    found = json.loads(invoke("check", *place, "--json").stdout)

    assert "2 finished, 1 damaged" in status.stdout
    assert "runs: 2 done, 1 damaged\n1 damaged run left out" in status.stdout
    assert f"normbench resume --store {filler.root}" == status.stdout.splitlines()[-1]
    assert [{"fingerprint": runs[0].fingerprint, "seed": 0}] == table[0]["damaged"]
    assert 1 == check.exit_code
    assert check.stdout.startswith(f"run {runs[0].fingerprint[:8]}: {runs[0].path}/result.json is")
    assert {str(runs[0].path / "result.json")} == {each["file"] for each in found["damaged"]}
    assert 3 == found["runs"]
    for run in runs:
        (run.path / "spec.json").write_text("{")
    assert "runs: 3 damaged" in invoke("status", *place).stdout


def test_after_a_check_an_edit_that_left_no_trace_is_seen(invoke, filler, monkeypatch):
    """An editor that writes into a file leaves its folder as it was, which the index goes by."""
    monkeypatch.setattr(indexing, "SMALL", 0)
    monkeypatch.setattr(index_stamps, "_TICK", 0)
    place = ("--store", filler.root)
    run = filler.ended(seeds=3)[0]
    assert "runs: 3 done" in invoke("status", *place).stdout
    (run.path / "result.json").write_text("{")
    assert "runs: 3 done" in invoke("status", *place).stdout
    assert 1 == invoke("check", *place).exit_code
    assert "runs: 2 done, 1 damaged" in invoke("status", *place).stdout
