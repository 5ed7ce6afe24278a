"""How many trials of a sweep diverged, and where in the search space.

A diverged trial has no score to average: it is counted. With several tuning seeds, a trial has
diverged if any of its runs has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from normbench.parameters import Value
from normbench.statistics import CONFIDENCE
from normbench.tuning.places import number, ordered_choices, place
from normbench.tuning.space import Axis
from normbench.tuning.study import Trial

_PARTS = 3


@dataclass(frozen=True, kw_only=True)
class Share:
    """So many of so many.

    Attributes:
        count: Those that diverged.
        total: All.
    """

    count: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the exact two-sided 95 % interval of the probability (Clopper and Pearson, 1934).

        Its coverage holds for independent trials; those of a Sobol sequence lie more evenly, for
        which it is too wide rather than too narrow. (0, 1) of no trials.
        """
        if not self.total:
            return 0.0, 1.0
        from scipy.stats import binomtest

        found = binomtest(self.count, self.total).proportion_ci(CONFIDENCE, method="exact")
        return float(found.low), float(found.high)

    def to_dict(self) -> dict[str, Any]:
        """Return the share as strict JSON values."""
        return {"count": self.count, "total": self.total, "interval": list(self.interval)}


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of one hyper-parameter's range, and how many of its trials diverged.

    Attributes:
        low: Its smallest value, or the choice.
        high: Its largest value, or the choice.
        share: The diverged among its trials.
    """

    low: Value
    high: Value
    share: Share

    def to_dict(self) -> dict[str, Any]:
        """Return the region as strict JSON values."""
        return {"low": self.low, "high": self.high, **self.share.to_dict()}


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Where along one hyper-parameter trials diverged.

    Attributes:
        regions: The thirds of its (log) range, or its choices.
        largest_finished: Largest number with which a trial did not diverge; None if there is none.
        smallest_diverged: Smallest number with which one did; None if there is none.
    """

    regions: tuple[Region, ...]
    largest_finished: float | None = None
    smallest_diverged: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as strict JSON values."""
        return {**vars(self), "regions": [region.to_dict() for region in self.regions]}


def divergence_along(axis: Axis, trials: Sequence[Trial]) -> Divergence:
    """Return where along *axis* those of *trials* lie that diverged."""
    regions = _choices if axis.search.scale == "choice" else _thirds
    pairs = [(trial.values[axis.word], bool(trial.diverged)) for trial in trials]
    numbers = [(number(value), bad) for value, bad in pairs if axis.numeric]
    return Divergence(
        regions=regions(axis, pairs),
        largest_finished=max((value for value, bad in numbers if not bad), default=None),
        smallest_diverged=min((value for value, bad in numbers if bad), default=None),
    )


def _choices(axis: Axis, pairs: Sequence[tuple[Value, bool]]) -> tuple[Region, ...]:
    return tuple(
        Region(
            low=choice, high=choice, share=_share([bad for value, bad in pairs if value == choice])
        )
        for choice in ordered_choices(axis)
    )


def _thirds(axis: Axis, pairs: Sequence[tuple[Value, bool]]) -> tuple[Region, ...]:
    parts = [(min(int(_PARTS * place(axis, value)), _PARTS - 1), bad) for value, bad in pairs]
    return tuple(
        Region(
            low=axis.at(part / _PARTS),
            high=axis.at((part + 1) / _PARTS),
            share=_share([bad for own, bad in parts if own == part]),
        )
        for part in range(_PARTS)
    )


def _share(diverged: Sequence[bool]) -> Share:
    return Share(count=sum(diverged), total=len(diverged))
