"""What ``normbench resume`` and ``normbench worker`` train."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from normbench.api import Launching, launch


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


def test_table_shows_whole_rows_with_the_seeds_that_were_resumed(invoke, filler, monkeypatch):
    """A row's mean is over all of its seeds, also those that were done before."""
    monkeypatch.setattr("normbench.api._launch", lambda *_words: None)
    runs = filler.pending(4)
    for run, state in zip(runs, ("finished", "finished", "interrupted"), strict=False):
        filler.end(run, state)
    filler.ended("finished", optimizer="adam")
    lines = invoke("resume", "--store", filler.root, "--no-track").stdout.splitlines()

    assert lines[0].endswith("resumed seeds")
    assert lines[1].endswith("  2, 3")
    assert "  2  1 pending, 1 interrupted, 2 finished  " in lines[1]
    assert "" == lines[2]
    place = f"--store {filler.root}"
    assert lines[4].endswith(f"MLflow: normbench sync {place}, then normbench ui {place}")


def test_a_worker_lets_go_of_a_run_that_is_cancelled(filler):
    """A real worker in mid-training notices, closes its attempt, and ends without complaint."""
    words = ("protocol.epochs=100000", "lr=1e-6")
    long = filler.pending(1, "sgd", *words, problem="quadratic_deep")[0]
    words = ["--store", filler.root, "--device", "cpu", long.fingerprint]
    with subprocess.Popen([sys.executable, "-m", "normbench.worker", *map(str, words)]) as worker:
        try:
            deadline = time.monotonic() + 60
            while len(long.points()) < 3:
                assert (None, True) == (worker.poll(), time.monotonic() < deadline)
                time.sleep(0.05)
            long.cancel()
            assert 0 == worker.wait(60)
        finally:
            worker.kill()

    assert ("cancelled", "cancelled") == (long.state(), long.attempts()[-1].message)


def test_cancelled_runs_wait_until_they_are_named(invoke, filler, monkeypatch):
    """Without names they are left alone; named, they are readmitted and trained."""
    launched = []
    monkeypatch.setattr("normbench.api._launch", lambda store, runs, *_: launched.append(runs))
    kept, cancelled = filler.pending(2)
    cancelled.cancel()

    invoke("resume", "--store", filler.root, "--no-track")
    assert "cancelled" == cancelled.state()
    invoke("resume", cancelled.fingerprint[:8], "--store", filler.root, "--no-track")

    assert "pending" == cancelled.state()
    assert [(kept.fingerprint,), (cancelled.fingerprint,)] == launched


def test_asking_for_a_cancelled_run_again_readmits_it(filler, monkeypatch):
    """Whoever asks for a run as if it were new wants it trained."""
    launched = []
    monkeypatch.setattr("normbench.api._launch", lambda store, runs, *_: launched.append(runs))
    run = filler.pending()[0]
    run.cancel()

    launch([run.spec], filler.catalogue, Launching(store=filler.root, device="cpu", track=False))

    assert ("pending", [(run.fingerprint,)]) == (run.state(), launched)


def test_a_store_with_nothing_but_cancelled_runs_says_so(invoke, filler):
    """Nothing to resume, and how to."""
    filler.pending()[0].cancel()
    done = invoke("resume", "--store", filler.root, "--no-track")

    assert 0 == done.exit_code
    again = f"normbench resume RUN --store {filler.root}"
    assert f"1 is cancelled; readmit it by name: {again}" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--launcher-option", "x=1"), "the local launcher has no options of its own"),
        (("--engine", "graph"), "--engine graph: a CUDA graph needs an NVIDIA GPU"),
    ],
)
def test_a_launch_that_cannot_be_is_refused_as_by_run(invoke, filler, words, message):
    """Before anything is written: a cancelled run that was named stays cancelled."""
    run = filler.pending()[0]
    run.cancel()
    given = ("--store", filler.root, "--device", "cpu", "--no-track")
    done = invoke("resume", run.fingerprint, *given, *words)

    assert (2, "cancelled") == (done.exit_code, run.state())
    assert message in done.stderr


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
    """The worker command passes its words on, and trains in this process."""
    filler.pending(2, "sgd", "protocol.epochs=1")
    done = invoke("worker", "--store", filler.root, "--device", "cpu", "--log-level", "ERROR")

    assert 0 == done.exit_code
    assert ["finished", "finished"] == states(filler)
