"""How wide the good region of a hyper-parameter is.

Good are the trials whose score lies within the problem's smallest difference of interest of the
best one's. Their values span the region, filled between: with several hyper-parameters, a worse
trial in between may owe its score to another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from normbench.descriptions import Metric
from normbench.parameters import Value
from normbench.tuning.places import ordered_choices, place
from normbench.tuning.space import Axis
from normbench.tuning.study import Trial

_ROUNDING = 1e-12  # relative; a score this close to the limit is within it


@dataclass(frozen=True, kw_only=True)
class GoodRegion:
    """Where along one hyper-parameter the trials near the best one lie.

    Attributes:
        low: Smallest value among them, or the first choice.
        high: Largest value among them, or the last choice.
        share: Share of the (log) range between the middles to the next trials outside; of choices,
            the share of them that have a good trial.
        good: Trials near the best one.
        trials: Trials from *low* to *high*, or with these choices, diverged ones included.
        choices: The choices with a good trial; empty for a range.
        at_edge: Whether no trial lies between the region and an end of the range, so that good
            values may lie beyond.
    """

    low: Value
    high: Value
    share: float
    good: int
    trials: int
    choices: tuple[Value, ...] = ()
    at_edge: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the region as strict JSON values."""
        return {**vars(self), "choices": list(self.choices)}


def near_best(trials: Sequence[Trial], metric: Metric) -> list[bool]:
    """Return which of *trials* have a score within the smallest difference of the best one's."""
    sign = 1.0 if metric.direction == "max" else -1.0
    best = max((sign * trial.score for trial in trials if trial.score is not None), default=0.0)
    limit = best - metric.smallest_difference - _ROUNDING * abs(best)
    return [trial.score is not None and sign * trial.score >= limit for trial in trials]


def good_region(axis: Axis, trials: Sequence[Trial], metric: Metric) -> GoodRegion | None:
    """Return where along *axis* the good ones of *trials* lie; None if all diverged."""
    values = [trial.values[axis.word] for trial in trials]
    near = near_best(trials, metric)
    good = [value for value, is_near in zip(values, near, strict=True) if is_near]
    if not good:
        return None
    region = _good_choices if axis.search.scale == "choice" else _good_range
    return region(axis, values, good)


def _good_choices(axis: Axis, values: Sequence[Value], good: Sequence[Value]) -> GoodRegion:
    choices = tuple(choice for choice in ordered_choices(axis) if choice in good)
    ends = ordered_choices(axis)[:1] + ordered_choices(axis)[-1:]
    return GoodRegion(
        low=choices[0],
        high=choices[-1],
        share=len(choices) / len(axis.search.choices),
        good=len(good),
        trials=sum(value in choices for value in values),
        choices=choices,
        at_edge=axis.numeric and len(axis.search.choices) > 2 and any(e in choices for e in ends),
    )


def _good_range(axis: Axis, values: Sequence[Value], good: Sequence[Value]) -> GoodRegion:
    by_place = sorted(good, key=lambda value: place(axis, value))
    places = [place(axis, value) for value in values]
    first, last = place(axis, by_place[0]), place(axis, by_place[-1])
    below = max((other for other in places if other < first), default=None)
    above = min((other for other in places if other > last), default=None)
    start = 0.0 if below is None else (below + first) / 2
    end = 1.0 if above is None else (above + last) / 2
    return GoodRegion(
        low=by_place[0],
        high=by_place[-1],
        share=end - start,
        good=len(good),
        trials=sum(first <= other <= last for other in places),
        at_edge=below is None or above is None,
    )
