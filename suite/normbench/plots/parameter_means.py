"""Mean γ and β of every norm site against steps; a dashed line for networks without norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from normbench.plots.figures import Look, title_of
from normbench.plots.style import Entry, add_grid, add_legend, add_title, look, new_figure
from normbench.plots.trajectories import (
    PARAMETERS,
    SYMBOLS,
    Row,
    channels_at,
    common_steps,
    rows_with,
    sites_of,
)
from normbench.store import StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = ("beta", "gamma")


def figure(runs: Sequence[StoredRun], choice: Look) -> Figure:  # noqa: ARG001 - one of several
    """Return the figure of *runs*: a line of panels for each site, β beside γ.

    Raises:
        UsageError: If no run has the series of observer ``norm_parameters``.
    """
    rows = rows_with(runs, PARAMETERS)
    sites = sorted({site for name in _COLUMNS for site in _sites(rows, name)})
    entries = [_entry(row, number) for number, row in enumerate(rows)]
    drawn = new_figure(len(sites), 2, entries, panel=(3.6, 1.9))
    axes = drawn.subplots(len(sites), 2, squeeze=False, sharex=True, sharey="col")
    for line, site in enumerate(sites):
        for column, name in enumerate(_COLUMNS):
            axis = axes[line, column]
            for entry, row in zip(entries, rows, strict=True):
                _draw_mean(axis, row, name, site, entry)
            add_grid(axis)
            if line == 0:
                axis.set_title(f"mean {SYMBOLS[name]} over channels")
        axes[line, 0].set_ylabel(f"site {site}")
    for axis in axes[-1]:
        axis.set_xlabel("training steps")
        axis.set_xlim(left=0)
    add_title(drawn, title_of(runs))
    add_legend(drawn, entries, "line: mean over n seeds; dashed: bias of a layer without norm")
    return drawn


def _sites(rows: Sequence[Row], parameter: str) -> list[int]:
    with_norm = [row for row in rows if row.runs[0].spec.norm.name != "none"]
    return sites_of(with_norm or rows, parameter if with_norm else "bias")


def _entry(row: Row, number: int) -> Entry:
    colour, dash = look(number)
    if row.runs[0].spec.norm.name == "none":
        dash = "--"
    return Entry(f"{row.label}: n={len(row.runs)}", colour, dash)


def _draw_mean(axis: Axes, row: Row, parameter: str, site: int, entry: Entry) -> None:
    steps = common_steps(row)
    means = [
        values.mean(1)
        for series in row.series
        if (values := channels_at(series, parameter, site)) is not None
    ]
    if means:
        axis.plot(steps, np.mean(means, 0), color=entry.colour, linestyle=entry.dash, linewidth=1.5)
