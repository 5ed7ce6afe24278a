"""When whole runs are done on several devices."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heapreplace


def finish_seconds(seconds: Iterable[float], devices: int) -> float:
    """Return when the last run ends if each free device takes the longest run that waits.

    A run cannot be divided, so this is more than the sum over the devices; it is at most
    4/3 - 1/(3·devices) of the shortest time that any order has (R. L. Graham, Bounds on
    multiprocessing timing anomalies, 1969).

    Args:
        seconds: Of each run.
        devices: How many there are, at least 1.
    """
    ends = [0.0] * devices
    heapify(ends)
    for each in sorted(seconds, reverse=True):
        heapreplace(ends, ends[0] + each)
    return max(ends)
