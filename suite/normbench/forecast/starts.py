"""How long workers took to start, as earlier launches of a store measured it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from normbench.launchers.launches import launches
from normbench.worker.reports import ReportReader

_MOST_WORKERS = 20


def measured_start(store: Path) -> float | None:
    """Return the seconds that a worker took from its start until it could take a run.

    The median of the last workers whose launchers are remembered; None if there are none.

    Args:
        store: Folder of the store.
    """
    found = list(islice(_starts(store), _MOST_WORKERS))
    return statistics.median(found) if found else None


def _starts(store: Path) -> Iterator[float]:
    for launch in reversed(launches(store)):
        for path in sorted(launch.logs.glob("*.jsonl"), reverse=True):
            ready = (event for event in ReportReader(path).news() if event["event"] == "ready")
            seconds = next((event.get("start_seconds") for event in ready), None)
            if seconds is not None:
                yield float(seconds)
