"""``normbench tune``, ``studies`` and ``list settings``, on results that are made up."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from normbench.store import RunStore

CELL = ("digits_cnn_bn", "sgd", "--protocol", "quick", "--trials", "3")


@pytest.fixture
def tuned(invoke, filler):
    """Tune with trials that all end in one *state*, without evaluation; return what is printed."""

    def tune(*words, state="finished"):
        command = ("tune", *CELL, "--store", filler.root, "--no-evaluate", "--no-track", *words)
        added = invoke(*command, "--enqueue")
        assert 0 == added.exit_code, added.stderr
        for run in RunStore.open(filler.root).runs():
            if run.result() is None:
                filler.end(run, state)
        return invoke(*command)

    return tune


def test_dry_run_shows_the_trials_and_leaves_no_store(invoke, tmp_path):
    """Trials are drawn and checked; nothing is written."""
    done = invoke("tune", *CELL, "--store", tmp_path / "none", "--dry-run")

    assert 0 == done.exit_code
    assert ["default", "1", "2", "3"] == [line.split()[0] for line in done.stdout.splitlines()[1:5]]
    assert "nothing was trained" in done.stdout
    assert [] == list(tmp_path.iterdir())


def test_closing_table_names_winner_default_and_setting(tuned):
    """A person reads the best trials, the default beside them, and where the setting is."""
    done = tuned()

    assert 0 == done.exit_code, done.stderr
    for shown in ("3 trials of lr=log:0.001:10", "Winner: trial 1, lr=0.04363", "Known setting: "):
        assert shown in done.stdout
    assert ["1", "2", "3", "default"] == [line.split()[0] for line in done.stdout.splitlines()[2:6]]


def test_known_setting_is_used_listed_and_described(tuned, invoke, filler):
    """run takes it with that store; list settings shows it before those of plugins."""
    tuned()
    store = ("--store", filler.root)
    run = invoke("run", *CELL[:4], *store, "--seeds", "1", "--dry-run", "--json")
    (spec,) = json.loads(run.stdout)
    listed = json.loads(invoke("list", "settings", *store, "--json").stdout)

    assert ("known", 0.04363) == (spec["setting_origin"], spec["optimizer"]["parameters"]["lr"])
    assert ("known", "digits_cnn") == (listed[0]["origin"], listed[0]["problem"])
    assert "normbench tune, method sobol" in invoke("list", "settings", *store).stdout
    assert "default" in invoke("run", *CELL[:4], "--dry-run", "--json").stdout


def test_studies_are_listed_and_shown(tuned, invoke, filler):
    """The list has a line for each study; one is shown with all its trials."""
    shown = json.loads(tuned("--json").stdout)
    store = ("--store", filler.root)
    listed = invoke("studies", *store).stdout.splitlines()
    one = invoke("studies", shown["study"][:6], *store)

    assert ["study", shown["study"][:8]] == [line.split()[0] for line in listed]
    assert 0 == one.exit_code, one.stderr
    assert "lr=log:0.001:10" in one.stdout
    assert (
        shown["trials"]
        == json.loads(invoke("studies", shown["study"], *store, "--json").stdout)["trials"]
    )


def test_trials_that_all_diverged_are_exit_code_1(tuned):
    """Nothing was found, and the message says what to search."""
    done = tuned(state="diverged")

    assert 1 == done.exit_code
    assert "No winner: all 3 trials diverged" in done.stdout
    assert "--search lr=log:LOW:HIGH" in done.stdout


def test_unfinished_trials_are_named(tuned, monkeypatch):
    """A trial without result is no trial: the exit code is 1 and the number is given."""
    from normbench import api

    monkeypatch.setattr(api, "_launch", lambda *_arguments: None)
    done = tuned(state="failed")

    assert 1 == done.exit_code
    assert "3 of 3 trials have no result yet (1, 2, 3)" in done.stdout
    assert "made to be failed" in done.stderr


@pytest.mark.parametrize("command", ["tune", "tpe", "suite"])
def test_trials_that_timed_out_name_the_command_that_goes_on(
    command, invoke, filler, monkeypatch, tmp_path
):
    """With twice the limit that was typed, and once, whether or not seeds were trained."""
    from normbench import api

    def end(store, runs, *_others):
        for run in runs:
            filler.end(store.get(run), "timed_out")

    monkeypatch.setattr(api, "_launch", end)
    (tmp_path / "mine.yaml").write_text(
        "{problem: digits_cnn_bn, optimizers: [sgd, {name: adam, lr: 1}], seeds: 1}", "utf-8"
    )
    tune = ("tune", *CELL)
    suite = ("suite", "tune", str(tmp_path / "mine.yaml"), "--trials", "3")
    words = {"tune": tune, "tpe": (*tune, "--method", "tpe", "--trials", "20"), "suite": suite}[
        command
    ]
    given = ("--no-track", "--store", str(filler.root))
    done = invoke(*words, "--time-limit", "2h", *given)
    _, *said = done.stderr.split("Go on with twice the limit: normbench ")

    assert 1 == done.exit_code
    assert [[*words, "--time-limit", "4h", *given]] == [shlex.split(each) for each in said]


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("command", ["tune", "suite"])
def test_launcher_that_does_not_wait_is_no_failure(
    command, ended, invoke, filler, monkeypatch, tmp_path
):
    """The exit code is 0 while trials, or seeds after them, go on, and nothing is called bad."""
    from normbench import api

    (tmp_path / "mine.yaml").write_text(
        "{problem: digits_cnn_bn, optimizer: sgd, protocol: quick, seeds: 1}", "utf-8"
    )
    suite = ("suite", "tune", tmp_path / "mine.yaml", "--trials", "3")
    words = (*(suite if command == "suite" else ("tune", *CELL)), "--store", filler.root)
    monkeypatch.setattr(api, "_launch", lambda *_arguments: "see: squeue")
    invoke(*words, "--enqueue")
    for run in filler.store.runs() if ended else ():
        filler.end(run, "finished")
    done = invoke(*words, "--no-track")
    said = done.stdout + done.stderr

    assert 0 == done.exit_code, said
    assert (1, not ended) == (said.count("see: squeue"), "Once the trials have ended" in said)
    for failure in ("no result", "No winner", "Tune again", "Go on with twice"):
        assert failure not in said


def test_trials_are_readmitted_by_asking_for_them(invoke, filler, monkeypatch, tmp_path):
    """Added to the store again, cancelled trials wait to be trained."""
    monkeypatch.chdir(tmp_path)
    text = "{problem: digits_cnn_bn, optimizer: sgd, protocol: quick, tune: {trials: 3}}"
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    for words in (("tune", *CELL), ("suite", "tune", "mine.yaml"), ("suite", "run", "mine.yaml")):
        added = invoke(*words, "--enqueue", "--store", filler.root)
        assert 0 == added.exit_code, added.stderr
        assert ["pending"] * 4 == [run.state().value for run in filler.store.runs()], words
        for run in filler.store.runs():
            run.cancel()


def test_interruption_says_how_to_go_on(invoke, monkeypatch, tmp_path):
    """The command that goes on is printed, and means the same study."""
    from normbench.tuning import conduct

    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(conduct, "launch", interrupt)
    search = ("--search", "weight_decay=choice:0,0.1", "--tuning-seeds", "2", "--no-track")
    words = ("tune", *CELL, "protocol.epochs=3", *search, "--store", tmp_path / "a b")
    done = invoke(*words)
    again = shlex.split(done.stderr.partition("Go on with: normbench ")[2])

    assert 130 == done.exit_code
    plans = [json.loads(invoke(*each, "--dry-run", "--json").stdout) for each in (words, again)]
    assert plans[0] == plans[1]
    assert ["--store", str(tmp_path / "a b")] == again[-2:]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--trials", "0"), "asks for no trial"),
        (("--seeds", "100000,"), "kept for tuning"),
        (("--search", "lr"), "expected NAME=FORM"),
        (("--method", "gird"), "Did you mean 'grid'"),
        (("protocol.validation_share=0",), "protocol.validation_share"),
        (("--draw-seed", "-1"), "--draw-seed"),
    ],
)
def test_wrong_words_are_exit_code_2(invoke, tmp_path, words, complaint):
    """One message, no traceback, no store."""
    done = invoke("tune", *CELL, *words, "--store", tmp_path / "store")

    assert (2, False) == (done.exit_code, Path(tmp_path / "store").exists())
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_study_is_exit_code_2(invoke, filler):
    """The message says where to see what there is."""
    done = invoke("studies", "abcd", "--store", filler.root)

    assert 2 == done.exit_code
    assert "normbench studies" in done.stderr
    assert "Make one with: normbench tune" in invoke("studies", "--store", filler.root).stdout


def test_jobs_that_go_on_are_followed_by_the_same_command(invoke, monkeypatch, tmp_path):
    """Who leaves jobs to themselves is told what takes the winner once they have ended."""
    from normbench.tuning import conduct

    def leave(*_arguments):
        raise KeyboardInterrupt("The jobs go on.")

    monkeypatch.setattr(conduct, "launch", leave)
    words = ["tune", *CELL, "protocol.epochs=3", "--store", str(tmp_path / "s"), "--no-track"]
    done = invoke(*words)

    assert 130 == done.exit_code
    assert "interrupted. The jobs go on.\nOnce the trials have ended, go on with: " in done.stderr
    assert done.stderr.rstrip().endswith(shlex.join(["normbench", *words]))
