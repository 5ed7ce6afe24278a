"""What ``normbench resume`` and ``normbench worker`` train."""

from __future__ import annotations

import json


def states(filler) -> list[str]:
    """Return the states of all runs."""
    return sorted(run.state().value for run in filler.store.runs())


def test_finished_store_has_nothing_to_resume(invoke, filler):
    """Runs with a result are left alone, diverged ones too."""
    filler.ended("finished")
    filler.ended("diverged", optimizer="adam")
    done = invoke("resume", "--store", filler.root, "--no-track")

    assert 0 == done.exit_code
    assert done.stdout.startswith("nothing to resume")


def test_named_runs_are_finished_in_worker_processes(invoke, filler):
    """Only the runs chosen are trained, an interrupted one among them, by a real worker."""
    filler.ended("interrupted", words=("protocol.epochs=1",))
    filler.pending(1, "adam", "protocol.epochs=1")
    words = ("--device", "cpu", "--slots", "1", "--no-track", "--json")
    done = invoke("resume", "optimizer=sgd", "--store", filler.root, *words)
    report = json.loads(done.stdout)

    assert 0 == done.exit_code
    assert (1, {"finished": 1}) == (report["trained"], report["rows"][0]["outcomes"])
    assert ["finished", "pending"] == states(filler)


def test_run_whose_data_are_missing_is_left_alone(invoke, filler, tmp_path):
    """Missing files are found out before anything starts, and no attempt is added."""
    filler.ended("failed", problem="fmnist_2c2d")
    words = ("--device", "cpu", "--slots", "1", "--no-track", "--data-dir", tmp_path)
    done = invoke("resume", "--store", filler.root, *words)

    assert 2 == done.exit_code
    assert "normbench prepare fmnist_2c2d" in done.stderr
    assert [1] == [len(run.attempts()) for run in filler.store.runs()]


def test_unknown_run_is_refused(invoke, filler):
    """A fingerprint that the store does not hold is an error."""
    filler.pending()
    done = invoke("resume", "0123456789", "--store", filler.root)

    assert 2 == done.exit_code
    assert "'0123456789'" in done.stderr


def test_worker_trains_what_is_pending(invoke, filler):
    """The hidden worker command passes its words on to the worker."""
    filler.pending(2, "sgd", "protocol.epochs=1")
    done = invoke("worker", "--store", filler.root, "--device", "cpu", "--log-level", "ERROR")

    assert 0 == done.exit_code
    assert ["finished", "finished"] == states(filler)
