"""Copying in the background: live, alone, and silent about a server that is away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from normbench.errors import SecondInterrupt
from normbench.specs import RunSpec
from normbench.store import RunStore, StoredRun
from normbench.tracking import Collector, SyncReport, sync
from normbench.tracking.child import free_port
from normbench.tracking.mirror import Mirror

Spec = Callable[..., RunSpec]
Train = Callable[..., StoredRun]
Contents = Callable[..., dict[str, Any]]
Point = Callable[..., dict[str, Any]]
WaitUntil = Callable[[Callable[[], bool]], None]

SEED = "normbench/digits_cnn/quick/batch_norm+sgd/s0"


def test_points_appear_while_the_run_trains(
    store: RunStore,
    make_spec: Spec,
    contents: Contents,
    point: Point,
    result: Point,
    wait_until: WaitUntil,
) -> None:
    """A point is in MLflow soon after the journal has it; the end is copied by ``stop``."""
    with (
        store.add(make_spec()).claim({}) as attempt,
        Collector(store, interval=0.05) as collector,
    ):
        attempt.append(point(0, 0))
        wait_until(lambda: _steps(contents(store)) == [0])
        attempt.append(point(0, 1))
        wait_until(lambda: _steps(contents(store)) == [0, 1])
        attempt.publish(result(0, 1))
        report = collector.stop()

    assert SyncReport(created=1) == report
    assert "FINISHED" == contents(store)[SEED]["status"]


def test_stopping_at_once_still_copies_everything(
    store: RunStore, train: Train, make_spec: Spec
) -> None:
    """A collector that is stopped before its first look takes a last one."""
    train(make_spec(0))
    train(make_spec(1))

    report = Collector(store).start().stop()

    assert SyncReport(created=2) == report
    assert SyncReport(unchanged=2) == sync(store)


def test_one_collector_works_and_the_next_takes_over(
    store: RunStore,
    train: Train,
    make_spec: Spec,
    wait_until: WaitUntil,
) -> None:
    """While one holds the store another waits; when the first ends, the second copies."""
    first = Collector(store, interval=0.05).start()
    wait_until(lambda: not _is_free(store))
    second = Collector(store, interval=0.05).start()
    first.stop()
    train(make_spec())

    report = second.stop()

    assert SyncReport(created=1) == report


def test_a_collector_that_never_had_its_turn_says_why(
    store: RunStore, train: Train, make_spec: Spec
) -> None:
    """The report names the other process when that one is still at work."""
    train(make_spec())

    with store.lock("collector", wait=0):
        report = Collector(store, interval=0.05).start().stop()

    assert "another process copies" in report.problems[0]


def test_a_server_that_is_away_is_said_once_and_breaks_nothing(
    store: RunStore,
    train: Train,
    make_spec: Spec,
    caplog: pytest.LogCaptureFixture,
    wait_until: WaitUntil,
) -> None:
    """Several looks at a missing server give one warning, no exception, and a report."""
    train(make_spec())
    collector = Collector(store, f"http://127.0.0.1:{free_port('127.0.0.1', 5800)}", interval=0.001)

    with caplog.at_level(logging.INFO, logger="normbench.tracking"):
        collector.start()
        wait_until(lambda: len(caplog.records) == 1)
        report = collector.stop()

    assert 1 == report.failed
    assert ["WARNING"] == [record.levelname for record in caplog.records]
    assert "does not answer" in caplog.records[0].getMessage()


class Sending:
    """A thread that goes on sending, and is interrupted where its end is awaited without limit."""

    waited = 0

    def start(self) -> None:
        """Begin."""

    def is_alive(self) -> bool:
        """Whether there is more to send."""
        return True

    def join(self, seconds: float | None = None) -> None:
        """Wait for its end."""
        self.waited += 1
        if seconds is None:
            raise KeyboardInterrupt("the second one")


LEFT = "MLflow is behind; `normbench sync` sends the rest"


def test_a_second_interrupt_leaves_the_rest_for_sync(
    store: RunStore,
    train: Train,
    make_spec: Spec,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first says what takes so long, and both are one to the caller."""
    train(make_spec())
    collector = Collector(store)
    monkeypatch.setattr(collector, "_thread", Sending())
    monkeypatch.setattr(collector, "_results", 0)
    with pytest.raises(KeyboardInterrupt, match="the first one"), collector:
        raise KeyboardInterrupt("the first one")

    assert [
        "sending what is finished to MLflow; interrupt again to leave it for `normbench sync`",
        LEFT,
    ] == caplog.messages


@pytest.mark.parametrize(
    ("error", "results", "waits"),
    [(SecondInterrupt, 0, 0), (KeyboardInterrupt, 1, 1), (KeyboardInterrupt, None, 1)],
    ids=["killed", "no new result", "not begun"],
)
def test_an_interrupt_does_not_wait_for_what_has_no_new_result(
    store: RunStore,
    train: Train,
    make_spec: Spec,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    results: int | None,
    waits: int,
) -> None:
    """At most a moment is waited for MLflow, and none once workers were killed on request."""
    train(make_spec())
    collector, thread = Collector(store), Sending()
    monkeypatch.setattr(collector, "_thread", thread)
    monkeypatch.setattr(collector, "_results", results)
    with pytest.raises(error), collector:
        raise error

    assert ([LEFT], waits) == (caplog.messages, thread.waited)


def test_results_since_the_last_copy_are_counted(
    store: RunStore, train: Train, make_spec: Spec, wait_until: WaitUntil
) -> None:
    """What the store had at the start or MLflow has is no news; a run that ended since is."""
    train(make_spec(0))
    collector = Collector(store, interval=60.0)
    said = [collector._has_news()]
    with collector:
        wait_until(lambda: collector._tally.report().created == 1)
        said.append(collector._has_news())
        train(make_spec(1))
        said.append(collector._has_news())

    assert [False, False, True] == said


def test_a_database_that_cannot_be_used_is_a_problem_not_an_exception(
    store: RunStore, train: Train, make_spec: Spec
) -> None:
    """A tracking URI that MLflow cannot open ends in the report."""
    train(make_spec())

    report = Collector(store, "sqlite:////proc/no/such/place.db").start().stop()

    assert 1 == len(report.problems)


def test_what_is_complete_costs_no_request(
    store: RunStore, train: Train, make_spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look at a finished store asks MLflow nothing."""
    train(make_spec())
    mirror = Mirror(store)
    mirror.update()
    monkeypatch.setattr(mirror, "_update_row", None)

    assert SyncReport(unchanged=1) == mirror.update().report()


def _steps(held: dict[str, Any]) -> list[int]:
    metrics = held.get(SEED, {}).get("metrics", {})
    return [step for step, _, _ in metrics.get("test/accuracy", [])]


def _is_free(store: RunStore) -> bool:
    with store.lock("collector", wait=0) as held:
        return held
