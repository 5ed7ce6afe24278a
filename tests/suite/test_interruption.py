"""A signal that asks to stop is obeyed even where Python loses what it raises."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from normbench.errors import SecondInterrupt
from normbench.launchers import local
from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import LaunchFolder
from normbench.launchers.local import Scheduler
from normbench.launchers.signals import (
    check_interrupted,
    interrupted_by_signals,
    interrupts,
    shielded,
)
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
        watch = weakref.ref(kept, lambda _: os.kill(os.getpid(), signal.{number}))
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


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def number(request):
    """Each signal that asks to stop; its handler is the same afterwards."""
    before = signal.getsignal(request.param)
    yield request.param
    assert before is signal.getsignal(request.param)


@pytest.fixture
def run_and_words(tmp_path, number):
    """A run in which a signal comes in the callback of a weak reference, and who trains it."""
    file = tmp_path / "signalled.py"
    file.write_text(PLUGIN.replace("{number}", number.name))
    words = ["protocol.epochs=5"]
    request = Request(problem="quadratic_deep", optimizer="signalled", words=words, seeds=[0])
    store = RunStore.open(tmp_path / "store", create=True)
    (spec,) = resolve(request, load_catalogue([file]))
    return store.add(spec), ["--store", str(store.root), "--plugin", str(file)]


def test_worker_stops_though_its_interrupt_was_lost(run_and_words, unraised, number):
    """It lets go of its run after the epoch in which the signal came, and can be asked again.

    Of the signals of all 7 steps each Ctrl-C interrupts, but only the first SIGTERM.
    """
    run, words = run_and_words
    codes = [command.main(words) for _ in range(2)]

    assert [KeyboardInterrupt] * (2 if number is signal.SIGTERM else 14) == unraised
    assert [command.INTERRUPTED] * 2 == codes
    assert RunState.INTERRUPTED is run.state()
    assert 2 == len(run.attempts())
    assert max(point["epoch"] for point in run.points()) < 5


def test_launcher_stops_though_its_interrupt_was_lost(run_and_words, unraised, number):
    """It waits for a run that is held elsewhere, until the signal comes."""
    run, (_, root, *_) = run_and_words
    request = LaunchRequest(store=Path(root), fingerprints=(run.fingerprint,), data_folder=Path())
    ticks = []

    def tick():
        ticks.append(1)
        if len(ticks) == 1:
            watch = weakref.ref(Kept(), lambda _: os.kill(os.getpid(), number))
            assert watch() is None

    with run.claim({}), pytest.raises(KeyboardInterrupt):
        Scheduler(request, LaunchFolder.create("test", request), tick).run()

    assert [KeyboardInterrupt] == unraised
    assert 2 == len(ticks), "in the loop, and at the end"


def test_second_interrupt_that_was_lost_kills(run_and_words, unraised, number, monkeypatch):
    """Workers that take their time are killed though Python lost what was to say so."""
    run, (_, root, *_) = run_and_words
    request = LaunchRequest(store=Path(root), fingerprints=(run.fingerprint,), data_folder=Path())
    scheduler = Scheduler(request, LaunchFolder.create("test", request), lambda: None)
    looks = []

    def lose() -> bool:
        looks.append(weakref.ref(Kept(), lambda _: os.kill(os.getpid(), number)))
        return len(looks) < 3

    monkeypatch.setattr(scheduler, "_loop", lambda: os.kill(os.getpid(), number))
    monkeypatch.setattr(scheduler, "_any_alive", lose)
    with pytest.raises(SecondInterrupt):
        scheduler.run()

    assert ([], 1) == (unraised, len(looks)), "noted, so that there was nothing to lose"


@pytest.mark.parametrize(
    "places",
    [
        ["_loop", "ask_to_stop", "_let_go", "_note_end", "_tick"],
        ["_loop", "ask_to_stop", "_let_go"],
        ["_loop", "ask_to_stop", "_tick"],
        ["_loop", "ask_to_stop"],
        ["_loop", "_let_go"],
        ["_loop", "_note_end"],
        ["_loop", "_tick"],
        ["_close", "_loop"],
        ["_loop"],
        ["_note_end"],
        ["_tick"],
    ],
    ids=" ".join,
)
def test_whatever_follows_the_first_signal_is_a_second_one(
    run_and_words, number, monkeypatch, places
):
    """Wherever it comes until the launch is over, be it the third; no worker is left."""
    run, (_, root, *_) = run_and_words
    request = LaunchRequest(store=Path(root), fingerprints=(run.fingerprint,), data_folder=Path())
    scheduler = Scheduler(request, LaunchFolder.create("test", request), lambda: None)
    left, let_go, close = list(places), [], scheduler._close

    def reach(place: str) -> None:
        if place in left:
            left.remove(place)
            os.kill(os.getpid(), number)

    def reach_close() -> None:
        reach("_close")
        close()

    for place in ("_loop", "_note_end", "_tick"):
        monkeypatch.setattr(scheduler, place, lambda place=place: reach(place))
    monkeypatch.setattr(scheduler, "_close", reach_close)
    monkeypatch.setattr(
        scheduler, "_let_go", lambda *words: (reach("_let_go"), let_go.append(words))
    )
    process = SimpleNamespace(poll=lambda: None if "_let_go" not in places else 0)
    worker = SimpleNamespace(process=process, ask_to_stop=lambda: reach("ask_to_stop"))
    scheduler._workers.append(worker)
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.2)
    kind = SecondInterrupt if len(places) > 1 else KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt) as caught:
        scheduler.run()

    assert (kind, []) == (type(caught.value), left)
    assert ([worker], []) == ([words[0] for words in let_go], scheduler._workers)


@pytest.mark.parametrize("lost", [False, True])
def test_another_signal_raises_at_once(number, lost, unraised):
    """The first was lost, so the second counts however it comes; a shield keeps each for later."""
    came = []
    with interrupted_by_signals(), contextlib.suppress(KeyboardInterrupt):
        watch = weakref.ref(Kept(), lambda _: os.kill(os.getpid(), number))
        assert watch() is None
        with shielded():
            os.kill(os.getpid(), number)
        came.append(interrupts())
        if lost:
            check_interrupted(before=1)
        os.kill(os.getpid(), signal.SIGINT if number is signal.SIGTERM else signal.SIGTERM)
        came.append("not reached")

    assert [2] == came
    assert [KeyboardInterrupt] == unraised
    check_interrupted()


def test_other_threads_and_other_handlers_are_left_alone():
    """Only the main thread is interrupted, and who handles a signal alone goes on doing so."""
    caught = []
    before = signal.signal(signal.SIGTERM, lambda *_: caught.append("its own"))
    try:
        with interrupted_by_signals(), shielded():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(check_interrupted).result()
            with pytest.raises(KeyboardInterrupt):
                check_interrupted()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert ["its own"] == caught
    assert signal.default_int_handler is signal.getsignal(signal.SIGINT)
