"""What figures need of the series of observers: the rows that have them, values by norm site."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normbench.errors import UsageError
from normbench.plots.ablations import MODES, mode_of
from normbench.series import Series
from normbench.specs import RunSpec
from normbench.store import StoredRun

Numbers = NDArray[np.float64]
PARAMETERS = "norm_parameters"
SYMBOLS: Mapping[str, str] = {"gamma": "γ", "beta": "β"}


@dataclass(frozen=True)
class Row:
    """The runs of one row that have a series.

    Attributes:
        label: The row in legends and titles.
        runs: Its runs, by seed.
        series: What an observer left of each.
    """

    label: str
    runs: Sequence[StoredRun]
    series: Sequence[Series]


def rows_with(runs: Sequence[StoredRun], observer: str) -> list[Row]:
    """Return the rows of *runs* whose runs have the series of *observer*.

    Raises:
        UsageError: If none has; with the command that records it.
    """
    groups: dict[str, list[StoredRun]] = {}
    for run in runs:
        if observer in run.observed():
            groups.setdefault(run.spec.row, []).append(run)
    if not groups:
        raise UsageError(
            f"none of the {len(runs)} runs chosen has the series of observer {observer}. Record "
            f"it: normbench run ... --observe {observer}"
        )
    order = list(MODES)
    members = sorted(groups.values(), key=lambda some: order.index(mode_of(some[0].spec)))
    labels = _labels([some[0].spec for some in members])
    return [
        Row(label, some, [run.series(observer) for run in some])
        for label, some in zip(labels, members, strict=True)
    ]


def _labels(specs: Sequence[RunSpec]) -> list[str]:
    """Return the shortest labels that tell the rows apart."""
    ways: tuple[Callable[[RunSpec], str], ...] = (
        lambda spec: MODES[mode_of(spec)],
        lambda spec: spec.norm_label,
        lambda spec: f"{spec.norm_label}, {spec.optimizer.name}",
        lambda spec: f"{spec.norm_label}, {spec.optimizer.name}, {spec.row[:8]}",
    )
    one_norm = len({spec.norm.name for spec in specs} - {"none"}) < 2
    for way in ways if one_norm and len(specs) > 1 else ways[1:]:
        labels = [way(spec) for spec in specs]
        if len(set(labels)) == len(labels):
            return labels
    return labels


def sites_of(rows: Sequence[Row], parameter: str) -> list[int]:
    """Return the norm sites at which any of *rows* has the *parameter*.

    Raises:
        UsageError: If there are none.
    """
    found = {int(site) for row in rows for site in row.series[0][f"{parameter}_site"] if site >= 0}
    if not found:
        raise UsageError(
            f"none of these rows has a {parameter} at any norm site. Choose rows with a norm that "
            "has one."
        )
    return sorted(found)


def common_steps(row: Row) -> Numbers:
    """Return the steps at which the runs of *row* were observed.

    Raises:
        UsageError: If they differ from run to run.
    """
    steps: Numbers = row.series[0]["step"]
    if any(not np.array_equal(steps, series["step"]) for series in row.series):
        raise UsageError(
            f"the runs of row {row.label!r} were observed at different steps. Ask for one cadence "
            "for all of them: normbench run ... --observe norm_parameters:every=0.1"
        )
    return steps


def channels_at(series: Series, parameter: str, site: int) -> Numbers | None:
    """Return (moments, channels) of a *parameter* at a site; None where it has none.

    Where there is no norm, the bias of the layer at the site stands for β.
    """
    for name in (parameter, "bias") if parameter == "beta" else (parameter,):
        chosen = series[f"{name}_site"] == site
        if chosen.any():
            values: Numbers = series[name][:, chosen].astype(np.float64)
            return values
    return None
