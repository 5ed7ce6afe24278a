"""Time to a target, where a run that ends without reaching it says only: longer than this."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from normbench.leaderboard.paired import sign_flip, win_rate


@dataclass(frozen=True, kw_only=True)
class TimeToTarget:
    """How soon the seeds of a row reach the target.

    Attributes:
        reached: Seeds that reached it.
        n: Seeds that were trained.
        median: Time by which half of the seeds have reached it; infinite if fewer have.
        range: Shortest and longest time of those that reached it; None if none has.
        times: Time of each seed in their order, infinite where it was missed.
    """

    reached: int
    n: int
    median: float
    range: tuple[float, float] | None
    times: tuple[float, ...] = ()


def time_to_target(times: Mapping[int, float | None]) -> TimeToTarget | None:
    """Summarise the *times* of seeds, None or infinite where the target was not reached.

    The median is the least time by which at least half of all seeds have reached the target; a mean
    would have to guess how long the others would have taken.
    """
    if not times:
        return None
    ordered = sorted(math.inf if time is None else time for time in times.values())
    finite = [time for time in ordered if math.isfinite(time)]
    return TimeToTarget(
        reached=len(finite),
        n=len(ordered),
        median=ordered[(len(ordered) - 1) // 2],
        range=(finite[0], finite[-1]) if finite else None,
        times=tuple(ordered),
    )


def sooner(
    new: Mapping[int, float | None], base: Mapping[int, float | None]
) -> tuple[float, float, int] | None:
    """Compare the times of the same seeds by their order alone, which censoring leaves known.

    Returns:
        Share of pairs in which *new* is sooner (a tie, or two misses, count a half), the exact
        two-sided p of the sign test over pairs that are no ties, and the number of pairs; None
        without pairs.
    """
    seeds = sorted(new.keys() & base.keys())
    if not seeds:
        return None
    signs = np.array([_sign(new[seed], base[seed]) for seed in seeds], dtype=np.float64)
    told = signs[signs != 0]
    tail = min(float(sign_flip(told)), float(sign_flip(-told))) if told.size else 1.0
    return float(win_rate(signs)), min(1.0, 2 * tail), len(seeds)


def _sign(new: float | None, base: float | None) -> int:
    """Return 1 if *new* is sooner, -1 if *base* is, 0 if they tie or both missed the target."""
    first, second = (math.inf if time is None else time for time in (new, base))
    return (first < second) - (first > second)
