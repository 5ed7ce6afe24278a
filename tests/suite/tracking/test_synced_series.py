"""Series of observers reach MLflow as files of their run, whenever they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from normbench.specs import ComponentSpec, RunSpec
from normbench.store import RunState, RunStore, StoredRun
from normbench.tracking import SyncReport, sync

ANGLES = ComponentSpec(name="angles", parameters={"every": 1.0})


def observe(run: StoredRun) -> None:
    """Add series to a run that has its result."""
    run.ask([ANGLES])
    weights = run.result()["weights_sha256"]
    with run.claim({}, for_series=True) as attempt:
        attempt.write_series("angles", b"numbers")
        attempt.publish_series("angles", {"observer": asdict(ANGLES), "weights_sha256": weights})
        attempt.close(RunState.FINISHED)


def test_series_made_after_the_first_copy_are_sent(
    store: RunStore,
    train: Callable[..., StoredRun],
    make_spec: Callable[..., RunSpec],
    contents: Callable[..., dict[str, Any]],
) -> None:
    """Without series nothing of them is there; later they are, once, beside the same result."""
    run = train(make_spec(1))
    sync(store)
    (before,) = [run for run in contents(store).values() if run.get("artifacts")]
    observe(run)

    assert SyncReport(updated=1) == sync(store)
    assert SyncReport(unchanged=1) == sync(store)
    (after,) = [run for run in contents(store).values() if run.get("artifacts")]
    assert {"probes"} == set(after["artifacts"]) - set(before["artifacts"])
    assert before["metrics"] == after["metrics"]
