"""Numbers that others published, as plugins offer them to be shown beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import stdev
from typing import ClassVar, Literal

from normbench.descriptions import Component, Source
from normbench.parameters import Value


@dataclass(frozen=True, kw_only=True)
class PublishedResult:
    """One published number.

    Attributes:
        problem: What was trained; this and the next three by the names they would have here.
        norm: Norm at its sites.
        optimizer: Optimizer.
        protocol: Rules it was measured under.
        metric: What was measured, such as ``test_accuracy``.
        mean: Mean over seeds; accuracies in [0, 1].
        sd: Standard deviation over seeds in the same unit, None if it was not published.
        spread: What the standard deviation divides by.
        n: Number of seeds, None if it was not published.
        values: Value of each seed, where they are known.
        conditions: Hyper-parameters and the like, as far as they tell results apart.
        more: Other numbers about the same runs.
        label: How far it can be compared with ours.
        remark: What is particular to it.
        source: Where it is published, and what deviates from sound practice there.
    """

    problem: str
    norm: str
    optimizer: str
    protocol: str
    metric: str
    mean: float
    sd: float | None = None
    spread: Literal["n", "n-1", "unknown"] = "unknown"
    n: int | None = None
    values: Mapping[int, float] = field(default_factory=dict)
    conditions: Mapping[str, Value] = field(default_factory=dict)
    more: Mapping[str, float] = field(default_factory=dict)
    label: str
    remark: str = ""
    source: Source

    @property
    def shown_sd(self) -> float | None:
        """The published standard deviation, else that of the published seeds; None without one."""
        computed = stdev(self.values.values()) if len(self.values) > 1 else None
        return computed if self.sd is None else self.sd

    @property
    def shown_spread(self) -> Literal["n", "n-1", "unknown"]:
        """What that standard deviation divides by."""
        return "n-1" if self.sd is None and len(self.values) > 1 else self.spread

    @property
    def shown_n(self) -> int | None:
        """The published number of seeds, else that of the published values; None without any."""
        return self.n or len(self.values) or None


@dataclass(frozen=True, kw_only=True)
class Publication(Component):
    """A paper or project with numbers to be shown beside ours, never ranked with them.

    The factory is called with the publication's name and returns a sequence of
    :class:`PublishedResult`.
    """

    kind: ClassVar[str] = "publication"
