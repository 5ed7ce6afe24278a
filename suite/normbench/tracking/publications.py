"""A leaderboard as MLflow shall show it. Values only."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normbench.leaderboard.formats import Section
from normbench.tracking import views
from normbench.tracking.seeds import rounded

_DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class Line:
    """What MLflow shows of one row of a leaderboard.

    Attributes:
        key: The row's fingerprint, or what else names the line.
        name: What the line is called.
        n: Seeds with a value.
        identity: Tags that say what it is, for a run of its own.
        metrics: ``lb/*``.
        texts: ``lb.*``.
    """

    key: str
    name: str
    n: int = 0
    identity: Mapping[str, str]
    metrics: Mapping[str, float]
    texts: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A leaderboard as MLflow shall show it.

    Attributes:
        key: Says which leaderboard it is, in every revision.
        title: What people call it.
        suffix: What its views are called beside ``Leaderboard``; empty for the experiment's own.
        digest: Of all that it shows.
        sentence: What it comes to.
        sections: What its files show.
        lines: Its rows, the best first.
        tags: What its run says about it.
        columns: Columns of its views with widths, beside the rank.
        drawn: Metrics that its views draw.
        norm: The reference's norm, if there is one.
        optimizer: The reference's optimizer.
    """

    key: str
    title: str
    suffix: str
    digest: str
    sentence: str
    sections: Sequence[Section]
    lines: Sequence[Line]
    tags: Mapping[str, str]
    columns: Mapping[str, int]
    drawn: Sequence[str]
    norm: str | None = None
    optimizer: str | None = None

    def saved_views(self) -> Iterator[views.View]:
        """Yield the saved views."""
        metrics = dict.fromkeys((*self.drawn, *(m for line in self.lines for m in line.metrics)))
        return views.board_views(
            views.BoardViews(
                key=self.key,
                suffix=self.suffix,
                norm=self.norm,
                optimizer=self.optimizer,
                columns=self.columns,
                metrics=tuple(metrics),
                drawn=len(self.drawn),
            )
        )


def finite(values: Mapping[str, Any]) -> dict[str, float]:
    """Return what is known and finite, rounded: anything else would hide the metric."""
    known = ((name, value) for name, value in values.items() if value is not None)
    return {
        name: rounded(float(value), _DIGITS) or 0.0 for name, value in known if math.isfinite(value)
    }


def said(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts that say something."""
    return {name: text for name, text in texts.items() if text}


def digest_of(text: str, digits: int = 8) -> str:
    """Return so many hexadecimal digits that depend on *text* alone."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
