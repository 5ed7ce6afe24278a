"""How far runs are, read from the store alone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from normbench import live
from normbench.live import RunView, Watch, glance_at, totals, totals_in_words, view_run
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore

CATALOGUE = load_catalogue()
RESULT = {"outcome": "finished", "score": 0.1, "epochs": 4, "train_seconds": 8.0}


@pytest.fixture
def store(tmp_path) -> RunStore:
    return RunStore.open(tmp_path / "store", create=True)


@pytest.fixture
def runs(store):
    """Three pending runs of four epochs, with batches of 32."""
    words = ("protocol.epochs=4", "problem.batch_size=32")
    request = Request(problem="digits_cnn_bn", optimizer="sgd", seeds=3, words=words)
    return [store.add(spec) for spec in resolve(request, CATALOGUE)]


def train(attempt, epochs: int, progress: tuple[int, int, int] | None = None) -> None:
    """Leave what a worker leaves after so many epochs of 40 steps and 2.5 seconds."""
    for epoch in range(epochs + 1):
        seconds = {"train_seconds": 2.0 * epoch, "evaluation_seconds": 0.5 * epoch}
        attempt.append({"epoch": epoch, "step": 40 * epoch, **seconds})
    if progress is not None:
        names = ("epoch", "step", "steps")
        content = json.dumps(dict(zip(names, progress, strict=True)))
        (attempt.path / "progress.json").write_text(content)


@pytest.mark.parametrize(
    ("epochs", "progress", "share", "left", "speed"),
    [
        (0, None, 0.0, None, None),
        (0, (1, 10, 40), 0.0625, None, None),
        (1, (2, 10, 40), 0.3125, 7.5, 640.0),
        (1, (1, 40, 40), 0.25, 7.5, 640.0),
        (1, (3, 10, 40), 0.5625, 7.5, 640.0),
        (2, (3, 40, 40), 0.75, 5.0, 640.0),
        (4, (5, 40, 40), 1.0, 0.0, 640.0),
    ],
)
def test_a_run_that_trains_is_as_far_as_its_points_and_its_progress(
    runs, epochs, progress, share, left, speed
):
    """Whole epochs count, and the running one by its steps; the pace so far tells the rest."""
    with runs[0].claim({}) as attempt:
        train(attempt, epochs, progress)
        view = view_run(runs[0])
        speed_seen = view.images_per_second

    assert (RunState.RUNNING, epochs, 4) == (view.state, view.epoch, view.epochs)
    assert (share, left, speed) == (view.share, view.seconds_left, speed_seen)


@pytest.mark.parametrize(
    ("end", "state", "share"),
    [
        (lambda attempt: attempt.close(RunState.INTERRUPTED), RunState.INTERRUPTED, 0.3125),
        (lambda attempt: attempt.close(RunState.FAILED), RunState.FAILED, 0.3125),
        (lambda attempt: attempt.publish(RESULT), RunState.FINISHED, 1.0),
        (lambda attempt: attempt.publish({**RESULT, "outcome": "diverged"}), "diverged", 1.0),
    ],
)
def test_a_run_that_ended_has_no_time_left(runs, end, state, share):
    """What has its result is done however early it ended; the others keep what they trained."""
    with runs[0].claim({}) as attempt:
        train(attempt, 1, (2, 10, 40))
        end(attempt)
    found, glance = view_run(runs[0]), glance_at(runs[0])

    assert (state, 1, share, None) == (found.state, found.epoch, found.share, found.seconds_left)
    assert (state, share) == (glance.state, glance.share)
    assert (1, 1) == (found.point["epoch"], glance.point["epoch"])
    done = share == 1.0
    assert (4 if done else 1, 0.1 if done else None) == (glance.epoch, glance.score)


def test_a_pending_run_has_neither_point_nor_speed(runs):
    """Nothing is read of it, and nothing is divided by."""
    view = view_run(runs[0])

    assert (RunState.PENDING, 0, 0.0, {}) == (view.state, view.epoch, view.share, view.point)
    still = RunView(run=runs[0], state=view.state, epoch=1, epochs=4, share=0.0, last={"epoch": 1})
    assert (None, None) == (view.images_per_second, still.images_per_second)
    assert ({"epoch": 1}, {}) == (still.point, replace(still, last=None).point)


@pytest.mark.parametrize("many", [2, 3])
def test_a_watch_sees_what_changes_and_asks_no_more_of_what_is_done(store, runs, monkeypatch, many):
    """One by one or by the index, views come in the order given and follow the runs."""
    monkeypatch.setattr(live, "_MANY", many)
    with runs[2].claim({}) as attempt:
        attempt.publish(RESULT)
    watch = Watch(store, [run.fingerprint for run in reversed(runs)])
    first = watch.views()
    with runs[0].claim({}) as attempt:
        train(attempt, 1)
        second = watch.views()
        train(attempt, 3)
        third = watch.views()

    assert ["finished", "pending", "pending"] == [view.state for view in first]
    assert [runs[2].fingerprint, 4, 1.0] == [
        first[0].run.fingerprint,
        first[0].epoch,
        first[0].share,
    ]
    assert [(1, 0.25), (3, 0.75)] == [(seen[2].epoch, seen[2].share) for seen in (second, third)]
    assert first[:2] == second[:2] == third[:2]
    assert all(before is after for before, after in zip(first[:2], third[:2], strict=True))


def test_totals_count_every_state_once():
    """Waiting and interrupted runs are queued, what has its result is done, the rest is named."""
    counts = totals(RunState)

    assert len(RunState) == sum(counts.values())
    assert [1, 2, 2, 4, 1] == list(counts.values())
    words = totals_in_words(Counter({RunState.FINISHED: 3, RunState.TIMED_OUT: 2}))
    assert "3 done, 2 timed out" == words
