"""``normbench report`` on a store with curves and series."""

from __future__ import annotations

import pytest

from normbench.reproduction.asked import Asked
from normbench.resolve import Request, resolve
from normbench.store import RunStore

SUITE = """
title: Two norms at two learning rates
problem: digits_cnn
norms: [none, batch_norm]
optimizers: [sgd, {name: sgd, lr: 0.01}]
protocol: quick
seeds: 3
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory, catalogue):
    """A suite file, and a store with three finished runs of three of its four cells."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "study.yaml").write_text(SUITE, encoding="utf-8")
    store = RunStore.open(folder / "store", create=True)
    for number, (norm, words) in enumerate(
        (("none", ()), ("batch_norm", ()), ("none", ("lr=0.01",)))
    ):
        request = Request(
            problem="digits_cnn", optimizer="sgd", norm=norm, protocol="quick", seeds=3, words=words
        )
        for spec in resolve(request, catalogue):
            publish(store.add(spec), 0.9 + 0.02 * number + 0.001 * spec.seed)
    return folder


def publish(run, score: float) -> None:
    """Give a run the curve and the result that a worker would."""
    metrics = {"loss": 1 - score, "accuracy": score}
    last = {"epoch": 1, **dict.fromkeys(("train", "validation", "test"), metrics)}
    with run.claim({"hardware": {"device": "one"}}) as attempt:
        attempt.append({**last, "step": 2, "time": 1e9, "train_seconds": 1.0})
        attempt.publish(
            {
                "schema": 1,
                "fingerprint": run.fingerprint,
                "outcome": "finished",
                "metric": "test_accuracy",
                "score": score,
                "final": last,
                "best": last,
                "epochs": 1,
                "train_seconds": 1.5,
                "finished_at": 1e9,
                "attempt": attempt.number,
            }
        )


def test_report_is_written_and_summed_up(invoke, study):
    """Both files and the figures that the suite's axes call for; the summary is printed."""
    out = study / "out"
    done = invoke("report", study / "study.yaml", "--store", study / "store", "--output", out)
    drawn = {path.stem.partition("-")[2] for path in (out / "figures").glob("*.svg")}

    assert 0 == done.exit_code, done.stderr
    assert "Incomplete: of 4 cells 3 are complete; 9 of 12 runs have results." in done.stdout
    assert str(out / "report.html") in done.stdout
    assert {"01-curves", "02-learning_rates", "03-sensitivity"} <= drawn
    assert (out / "report.html").stat().st_size > 10_000


def test_only_and_seeds_choose_cells(invoke, study):
    """The words of suite run choose the same cells here, and stand in the commands."""
    words = ("--only", "norm=none", "--seeds", "2", "--format", "md")
    done = invoke(
        "report", study / "study.yaml", *words, "--store", study / "store", "--output", study / "o"
    )
    text = (study / "o" / "report.md").read_text(encoding="utf-8")

    assert "Complete: all 2 cells, 4 runs, have results." in done.stdout
    assert "2 results at seeds that were not asked for" in text
    assert "--only norm=none --seeds 2 --store" in text
    assert not (study / "o" / "report.html").exists()


def test_no_store_is_an_empty_one(invoke, tmp_path, monkeypatch):
    """Without a store the report says that nothing is trained, and is written where it is said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NORMBENCH_STORE", raising=False)
    done = invoke("report", "deepobs_small", "--format", "html")

    assert 0 == done.exit_code
    assert "There is no run store at normbench-runs yet." in done.stderr
    assert "0 of 120 runs" in done.stdout
    assert (tmp_path / "report-deepobs_small" / "report.html").is_file()


@pytest.mark.parametrize(
    ("asked", "folder"),
    [
        ({}, "report-study"),
        ({"words": ("protocol.epochs=1",)}, "report-study-protocol.epochs=1"),
        ({"only": ("norm=none,x",), "seeds": "2"}, "report-study-norm=none,x-seeds=2"),
        ({"words": ("a=../[b c]",)}, "report-study-a=.._b_c_"),
    ],
)
def test_reports_of_other_words_have_folders_of_their_own(asked, folder):
    """So none takes the place of another; very long names are told apart by a hash."""
    long = [Asked(suite="study.yaml", words=(f"lr=0.{'1' * 200}{last}",)) for last in (1, 2)]

    assert folder == Asked(suite="some/study.yaml", **asked).folder
    assert long[0].folder != long[1].folder
    assert len(long[0].folder) < 120


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sphericl",), "Did you mean 'spherical'"),
        (("missing.yaml",), "missing.yaml"),
        (("spherical", "--only", "norm=half"), "has no cell with norm=half"),
        (("spherical", "protocol.epoch=1"), "Did you mean"),
        (("spherical", "--format", "pdf"), "'pdf' is not one of"),
    ],
)
def test_wrong_input_says_how_to_mend_it(invoke, tmp_path, monkeypatch, words, message):
    """What does not fit is an error with the fix, exit code 2, and no file."""
    monkeypatch.chdir(tmp_path)
    done = invoke("report", *words)

    assert 2 == done.exit_code
    assert message in done.stderr
    assert not list(tmp_path.iterdir())
