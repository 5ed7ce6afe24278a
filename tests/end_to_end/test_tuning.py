"""Tuning with real runs in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

TUNE = ("tune", "digits_cnn_bn", "sgd", "--protocol", "quick", "--seeds", "2")
QUIETLY = ("--slots", "1", "--no-track", "--json")


def tune(folder, *words):
    """Return what ``normbench tune`` prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "normbench", *TUNE, *QUIETLY, *words],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def test_larger_budget_extends_a_smaller_one(tmp_path):
    """Two trials, the default and two seeds are five runs; a third trial is one run more."""
    small = tune(tmp_path, "--trials", "2")
    large = tune(tmp_path, "--trials", "3", "--no-evaluate")
    (row,) = small["evaluation"]["rows"]
    best = max(small["trials"], key=lambda trial: (trial["validation"], -trial["number"]))

    assert [5, 1] == [small["trained"], large["trained"]]
    assert small["trials"] == large["trials"][:2]
    assert (best["number"], "known") == (small["winner"], row["setting"])
    assert best["values"]["lr"] == row["hyperparameters"]["lr"]
    assert {"0", "1"} == row["scores"].keys()
    assert all(0.5 < score < 1 for score in row["scores"].values())
