"""``normbench suite tune``, suites that are tuned first, and who takes a winner: made-up runs."""

from __future__ import annotations

import json
import shlex

import pytest

from normbench.store import RunStore
from normbench.store.untaken import untaken_studies

CELLS = "{problem: digits_cnn_bn, norms: [batch_norm, group_norm], optimizer: sgd, protocol: quick"
SUITE = f"{CELLS}, seeds: 2, words: {{protocol.epochs: 3}}}}"
TUNED = f"{CELLS}, seeds: 2, words: {{protocol.epochs: 3}}, tune: {{trials: 3}}}}"


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """Return a function that writes a suite file into the working directory."""
    monkeypatch.chdir(tmp_path)

    def written(text=SUITE):
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
        return "mine.yaml"

    return written


@pytest.fixture
def end_all(filler):
    """Return a function that ends every run of the store."""

    def ended(state="finished"):
        for run in RunStore.open(filler.root).runs():
            if run.result() is None:
                filler.end(run, state)

    return ended


def test_dry_run_shows_each_cell_and_leaves_no_store(suite, invoke, tmp_path):
    """Both cells are drawn from with the same budget; nothing is written."""
    done = invoke("suite", "tune", suite(), "--trials", 4, "--dry-run", "--store", tmp_path / "no")

    assert 0 == done.exit_code, done.stderr
    assert "2 cells, 10 runs; nothing was trained." in done.stdout
    assert ["batch_norm", "group_norm"] == [
        line.split()[0] for line in done.stdout.split("\n")[2:4]
    ]
    assert ["mine.yaml"] == [path.name for path in tmp_path.iterdir()]


def test_winners_are_shown_and_known_to_the_suite(suite, invoke, filler, end_all):
    """Each cell's line has its winner; describe and status show the suite at those settings."""
    store = ("--store", filler.root)
    words = ("suite", "tune", suite(), "--trials", 3, "--no-evaluate", "--no-track", *store)
    assert 0 == invoke(*words, "--enqueue").exit_code
    end_all()
    done = invoke(*words)
    described = invoke("suite", "describe", "mine.yaml", *store).stdout

    assert 0 == done.exit_code, done.stderr
    assert 2 == done.stdout.count("lr=0.04363")
    assert 2 == len(json.loads(invoke(*words, "--json").stdout)["studies"])
    assert "setting known" in described
    assert "setting untuned" in invoke("suite", "describe", "mine.yaml").stdout


def test_suite_run_tunes_first_where_the_suite_says_so(suite, invoke, filler, end_all):
    """The key means the command; plan and status count its trials, and --no-tune leaves it out."""
    store = ("--store", filler.root)
    file = suite(TUNED)
    before = json.loads(invoke("suite", "status", file, "--json", *store).stdout)["cells"]
    planned = json.loads(invoke("suite", "plan", file, "--no-probe", "--json", *store).stdout)
    added = invoke("suite", "run", file, "--enqueue", "--no-track", *store)
    end_all()
    after = json.loads(invoke("suite", "status", file, "--json", *store).stdout)["cells"]

    assert "2 cells, 8 runs; added to" in added.stdout
    counts = [(True, 4), (True, 4), (False, 2), (False, 2)]
    assert counts == [(c["trials"], c["missing"]) for c in before]
    assert counts == [(c["trials"], c["left"]) for c in planned["cells"]]
    assert [4, 4, 0, 0] == [c["done"] for c in after]
    assert 1 == len(planned["detection"])
    assert "tuned first: 3 trials of each cell" in invoke("suite", "describe", file).stdout
    assert (
        "4 runs; nothing" in invoke("suite", "run", file, "--no-tune", "--dry-run", *store).stdout
    )


def test_whoever_trains_the_trials_says_how_to_go_on(suite, invoke, filler, end_all):
    """resume names the command that takes the winners; once they are taken it says nothing."""
    store = ("--store", filler.root)
    words = ("suite", "tune", suite(), "--trials", 3, "--no-evaluate", "--only", "norm=batch_norm")
    invoke(*words, "--enqueue", *store)
    end_all()
    said = invoke("resume", "--no-track", *store).stderr
    again = shlex.split(said.partition("Go on with: normbench ")[2])

    assert "Tuning is not over: the trials of study " in said
    assert ["suite", "tune"] == again[:2]
    assert "2 cells" not in invoke(*again, "--dry-run").stdout
    assert 0 == invoke(*again, "--no-track").exit_code
    assert [] == untaken_studies(RunStore.open(filler.root))


def test_a_study_of_other_runs_is_not_mentioned(suite, invoke, filler, end_all):
    """Only what the runs at hand ended is said, and nothing while a trial has no result."""
    words = ("suite", "tune", suite(), "--trials", 3, "--store", filler.root)
    invoke(*words, "--enqueue")
    store = RunStore.open(filler.root)
    (other,) = filler.ended()
    assert [] == untaken_studies(store)
    end_all()

    assert [] == untaken_studies(store, {other.fingerprint})
    assert 1 == len(untaken_studies(store))


def test_cancel_says_how_to_readmit_the_same_cells(suite, invoke, filler):
    """The printed command asks for what was cancelled and no more."""
    store = ("--store", filler.root)
    invoke("suite", "run", suite(), "--enqueue", *store)
    choice = ("--only", "norm=batch_norm", "--seeds", "1")
    said = invoke("suite", "cancel", "mine.yaml", *choice, *store).stdout

    assert (
        f"normbench suite run mine.yaml --seeds 1 --only norm=batch_norm --store {filler.root}"
        in said
    )


def test_masks_that_do_not_fit_are_told_by_describe_and_status(suite, invoke):
    """A mask of the wrong length is an error with its cell, before anything is trained."""
    file = suite("{problem: digits_cnn_bn, optimizer: sgd, ablation: {sites: '0,1'}}")

    for command in ("describe", "status"):
        found = invoke("suite", command, file)
        assert 2 == found.exit_code
        assert "cell digits_cnn_bn sgd --ablation trained --sites 0,1: " in found.stderr
        assert "--sites has 2 digits, but problem digits_cnn has 3 norm sites" in found.stderr


def test_dry_run_and_enqueue_need_no_data_files(invoke, tmp_path):
    """Nothing is trained, so what is missing is only said."""
    words = ("run", "cifar10_3c3d", "sgd", "--seeds", 1, "--data-dir", tmp_path / "none")
    for option in ("--dry-run", "--enqueue"):
        found = invoke(*words, option, "--store", tmp_path / "store")
        assert 0 == found.exit_code, found.stderr
        assert "7 files are missing" in found.stderr
    assert 2 == invoke(*words, "--store", tmp_path / "store").exit_code


def test_a_suite_as_config_file_is_called_one(suite, invoke):
    """The message names the command that runs it."""
    found = invoke("run", "digits_cnn", "sgd", "--config", suite())

    assert 2 == found.exit_code
    assert (
        "it is a suite, since it has norms. Run its cells with: normbench suite run" in found.stderr
    )


def test_a_drain_that_ends_the_last_trial_says_so(
    suite, invoke, filler, end_all, monkeypatch, caplog
):
    """``worker --drain`` names the command like resume does, of the studies whose runs it ended."""
    from normbench.launchers.local import Scheduler
    from normbench.store import RunState

    def run(self):
        end_all()
        for each in RunStore.open(filler.root).runs():
            self.tally.count(each.fingerprint, RunState.FINISHED)

    monkeypatch.setattr(Scheduler, "run", run)
    invoke("suite", "tune", suite(), "--trials", 3, "--enqueue", "--store", filler.root)
    with caplog.at_level("WARNING", "normbench.worker"):
        done = invoke("worker", "--drain", "--store", filler.root, "--device", "cpu")

    assert 0 == done.exit_code, done.output
    said = caplog.text + done.output
    assert "Go on with: normbench suite tune" in said
    assert 1 == said.count("Tuning is not over")
