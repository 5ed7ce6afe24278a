"""``normbench run --observe``, and what is said of observers."""

from __future__ import annotations

import json

import pytest

import normbench
from normbench.specs import ComponentSpec
from normbench.store import RunStore

SHORT = ("run", "digits_cnn", "sgd", "--seeds", "1", "protocol.epochs=1")


def test_request_is_stored_with_the_run_and_not_in_its_identity(invoke, tmp_path):
    """Observed or not, it is the same run; what was asked for is kept for any worker."""
    plain = invoke(*SHORT, "--enqueue", "--store", tmp_path)
    words = ("--observe", "activations:every=0.1", "--observe", "spheres")
    observed = invoke(*SHORT, *words, "--enqueue", "--store", tmp_path)
    (run,) = RunStore.open(tmp_path).runs()

    assert (0, 0) == (plain.exit_code, observed.exit_code)
    asked = {observer.name: observer.parameters["every"] for observer in run.asked()}
    assert {"activations": 0.1, "spheres": None} == asked


def test_dry_run_asks_for_nothing(invoke, tmp_path):
    """Only what is trained or enqueued is asked for."""
    invoke(*SHORT, "--enqueue", "--store", tmp_path)
    shown = invoke(*SHORT, "--observe", "spheres", "--dry-run", "--store", tmp_path)
    (run,) = RunStore.open(tmp_path).runs()

    assert 0 == shown.exit_code
    assert [] == run.asked()


MISTAKES = [
    ("activation", "Did you mean 'activations'"),
    ("spheres:every=0", "at least 1e-06"),
    ("spheres:ever=1", "Did you mean 'every'"),
]


@pytest.mark.parametrize(("word", "message"), MISTAKES)
def test_bad_request_is_wrong_usage(invoke, tmp_path, word, message):
    """It ends with 2, says what would fit, and leaves no store behind."""
    done = invoke(*SHORT, "--observe", word, "--store", tmp_path / "store")

    assert 2 == done.exit_code
    assert message in done.stderr
    assert not (tmp_path / "store").exists()


def test_observer_is_described_with_its_series(invoke):
    """Cadence, arrays, their dimensions and units are all said."""
    shown = invoke("describe", "observer", "spheres").stdout

    for words in ("every_steps", "batch_size", "angle", "moment, sphere", "rad", "2006.13382"):
        assert words in shown
    (record,) = json.loads(invoke("describe", "observer", "spheres", "--json").stdout)
    assert ["sphere"] == next(m["dims"] for m in record["measures"] if m["name"] == "angle")


def test_observer_that_is_gone_is_named_before_anything_trains(invoke, tmp_path):
    """A run that was to be observed by a one-off plugin needs its file again."""
    invoke(*SHORT, "--enqueue", "--store", tmp_path)
    (run,) = RunStore.open(tmp_path).runs()
    run.ask([ComponentSpec(name="of_a_file", parameters={"every": 1.0})])
    done = invoke("resume", "--store", tmp_path, "--no-track")

    assert 2 == done.exit_code
    assert "unknown observer 'of_a_file'" in done.stderr
    assert "--plugin FILE" in done.stderr
    assert [] == run.attempts()


@pytest.mark.slow
def test_series_of_finished_runs_are_made_by_asking(tmp_path):
    """The same call with an observer trains again, for the series alone."""
    options = {"protocol__epochs": 1, "store": tmp_path, "track": False, "slots": 1}
    first = normbench.run("digits_cnn_bn", "sgd", seeds=2, **options)
    later = normbench.run("digits_cnn_bn", "sgd", seeds=2, observe=["spheres"], **options)
    runs = list(RunStore.open(tmp_path).runs())

    assert (2, 0, 0, 2) == (first.trained, first.observed, later.trained, later.observed)
    assert later.complete
    assert [()] * 2 == [tuple(run.lacking()) for run in runs]
    assert {(2, 80)} == {run.series("spheres")["angle"].shape for run in runs}
