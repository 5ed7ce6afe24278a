"""Forks find what this process would find, and leave no trace."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from normbench.store import RunStore, index_stamps, indexing

SCRIPTS = Path(__file__).parent
RESULT = {"outcome": "finished", "score": 0.5, "train_seconds": 2.0, "epochs": 3}
ALONE = {item: [item, False] for item in "abcd"}


def told_by(script, *words):
    """Return what a process without threads prints."""
    command = [sys.executable, SCRIPTS / script, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        # The dearest first, each to who has least to do.
        ("found", {**ALONE, "d": ["d", True], "c": ["c", True]}),
        ("failing", ALONE),
        ("dying", ALONE),
        ("cheap", ALONE),
        ("threaded", ALONE),
        ("stuck", "b"),
    ],
)
def test_each_item_is_worked_on_whatever_becomes_of_forks(case, expected):
    """Items come in their order, of forks that fail or die too; no fork and no output is left."""
    word, told = told_by("forked_work.py", case).split(" ", 1)

    assert ("once", [expected, None]) == (word, json.loads(told))
    assert "stuck" == case or list(ALONE) == list(json.loads(told)[0])


def test_a_look_with_forks_sees_what_one_without_sees(monkeypatch, store, make_spec):
    """New, changed and deleted runs are found, whichever process looks at their folders."""
    monkeypatch.setattr(indexing, "SMALL", 0)
    monkeypatch.setattr(index_stamps, "_TICK", 0)
    runs = [store.add(make_spec(seed)) for seed in range(40)]
    store.index()
    for run in runs[:10]:
        run.claim({}).publish(RESULT)
    for run in runs[10:20]:
        run.path.rename(store.root / run.fingerprint)
    for seed in range(40, 50):
        store.add(make_spec(seed))

    pids, states = json.loads(told_by("forked_look.py", store.root))

    index = RunStore.open(store.root).index()
    assert {name: run.state for name, run in index.runs.items()} == states
    assert (2, 40) == (len(pids), len(states))
