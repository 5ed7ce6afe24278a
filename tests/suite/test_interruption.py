"""A signal that asks to stop is obeyed even where Python loses what it raises."""

from __future__ import annotations

import os
import signal
import sys
import weakref
from pathlib import Path

import pytest

from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import LaunchFolder
from normbench.launchers.local import Scheduler
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore
from normbench.worker import command

PLUGIN = """
import os, signal, weakref

import torch

from normbench import Optimizer, Parameter, hookimpl

class Kept:
    pass

class Signalled(torch.optim.SGD):
    def step(self, closure=None):
        kept = Kept()
        watch = weakref.ref(kept, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        del kept
        return super().step(closure)

@hookimpl
def normbench_optimizers():
    rate = Parameter(name="lr", kind="float", default=0.1, summary="learning rate")
    factory = lambda groups, lr: Signalled(groups, lr=lr)
    return [Optimizer(name="signalled", summary="stops", parameters=(rate,), factory=factory)]
"""


class Kept:
    """Something to be referred to."""


@pytest.fixture
def unraised(monkeypatch):
    """Return the kinds of exceptions that Python lost, as they come."""
    kinds = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: kinds.append(found.exc_type))
    return kinds


@pytest.fixture
def run_and_words(tmp_path):
    """A run in which SIGTERM comes in the callback of a weak reference, and who trains it."""
    file = tmp_path / "signalled.py"
    file.write_text(PLUGIN)
    words = ["protocol.epochs=5"]
    request = Request(problem="quadratic_deep", optimizer="signalled", words=words, seeds=[0])
    store = RunStore.open(tmp_path / "store", create=True)
    (spec,) = resolve(request, load_catalogue([file]))
    return store.add(spec), ["--store", str(store.root), "--plugin", str(file)]


def test_worker_stops_though_its_interrupt_was_lost(run_and_words, unraised):
    """It lets go of its run after the epoch in which the signal came, and can be asked again."""
    run, words = run_and_words
    codes = [command.main(words) for _ in range(2)]

    assert [KeyboardInterrupt] * 2 == unraised
    assert [command.INTERRUPTED] * 2 == codes
    assert RunState.INTERRUPTED is run.state()
    assert 2 == len(run.attempts())
    assert max(point["epoch"] for point in run.points()) < 5


def test_launcher_stops_though_its_interrupt_was_lost(run_and_words, unraised):
    """It waits for a run that is held elsewhere, until the signal comes."""
    run, (_, root, *_) = run_and_words
    request = LaunchRequest(store=Path(root), fingerprints=(run.fingerprint,), data_folder=Path())
    ticks = []

    def tick():
        ticks.append(1)
        if len(ticks) == 1:
            watch = weakref.ref(Kept(), lambda _: os.kill(os.getpid(), signal.SIGTERM))
            assert watch() is None

    with run.claim({}), pytest.raises(KeyboardInterrupt):
        Scheduler(request, LaunchFolder.create("test", request), tick).run()

    assert [KeyboardInterrupt] == unraised
    assert 2 == len(ticks), "in the loop, and at the end"
