"""γ or β of every channel over training: a filled contour or a surface for each site and row.

The smallest seed of each row is shown: channels of different seeds have nothing to do with each
other. Colours are centred at the usual start, 1 for γ and 0 for β, and shared by all panels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.errors import UsageError
from normbench.plots.figures import Look, title_of
from normbench.plots.style import add_title, new_figure
from normbench.plots.trajectories import (
    PARAMETERS,
    SYMBOLS,
    Numbers,
    Row,
    channels_at,
    rows_with,
    sites_of,
)
from normbench.store import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CENTRES = {"gamma": 1.0, "beta": 0.0}
_COLOURS = "RdBu_r"
_VIEW = (30.0, -45.0)
_MOST_ROWS = 6


def contour(runs: Sequence[StoredRun], look: Look) -> Figure:
    """Return filled maps: channel across, training step upwards, colour the value.

    Raises:
        UsageError: If no run has the series of observer ``norm_parameters``, or too many rows.
    """
    return _figure(runs, look, solid=False)


def surface(runs: Sequence[StoredRun], look: Look) -> Figure:
    """Return the same as surfaces seen from 30° above and 45° aside.

    Raises:
        UsageError: If no run has the series of observer ``norm_parameters``, or too many rows.
    """
    return _figure(runs, look, solid=True)


def _figure(runs: Sequence[StoredRun], look: Look, *, solid: bool) -> Figure:
    from matplotlib.ticker import MaxNLocator

    rows = rows_with(runs, PARAMETERS)
    if len(rows) > _MOST_ROWS:
        raise UsageError(
            f"{len(rows)} rows would stand side by side: expected at most {_MOST_ROWS}. Choose "
            "some: normbench plot --figure contour norm=batch_norm"
        )
    sites = sites_of(rows, look.parameter)
    rows = [row for row in rows if _has(row, look.parameter, sites)]
    fields = {
        (site, column): _sorted(values, look)
        for column, row in enumerate(rows)
        for site in sites
        if (values := channels_at(row.series[0], look.parameter, site)) is not None
    }
    centre = _CENTRES[look.parameter]
    reach = max(float(np.abs(values - centre).max()) for values in fields.values()) or 1e-3
    size = (3.4, 2.9) if solid else (3.2, 2.0)
    drawn = new_figure(len(sites), len(rows), (), panel=size)
    keywords = {"subplot_kw": {"projection": "3d"}} if solid else {"sharey": True}
    axes = drawn.subplots(len(sites), len(rows), squeeze=False, **keywords)
    painted: Any = None
    for line, site in enumerate(sites):
        for column, row in enumerate(rows):
            axis = axes[line, column]
            if (site, column) not in fields:
                axis.set_axis_off()
                continue
            paint = _paint_surface if solid else _paint_contour
            painted = paint(axis, row.series[0]["step"], fields[site, column], centre, reach)
            where = f"site {site}" if len(rows) == 1 else f"{row.label}, site {site}"
            axis.set_title(where, fontsize=9)
            if solid or line == len(sites) - 1:
                axis.set_xlabel("channel, sorted" if look.sort else "channel", fontsize=8)
            if solid or column == 0 or (site, column - 1) not in fields:
                axis.set_ylabel("training step", fontsize=8)
                axis.tick_params(labelleft=True)
            axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axis.tick_params(labelsize=7)
    symbol = SYMBOLS[look.parameter]
    label = f"{symbol}, or the bias without norm" if look.parameter == "beta" else symbol
    drawn.colorbar(painted, ax=axes, label=label, shrink=0.8)
    seeds = sorted({row.runs[0].spec.seed for row in rows})
    add_title(drawn, _title(runs, [row.label for row in rows], seeds))
    return drawn


def _sorted(values: Numbers, look: Look) -> Numbers:
    return values[:, np.argsort(values[-1])] if look.sort else values


def _paint_contour(axis: Any, steps: Numbers, values: Numbers, centre: float, reach: float) -> Any:
    channels = np.arange(values.shape[1] + 1) - 0.5
    limits = {"vmin": centre - reach, "vmax": centre + reach}
    return axis.pcolormesh(channels, _edges(steps), values, cmap=_COLOURS, **limits)


def _paint_surface(axis: Any, steps: Numbers, values: Numbers, centre: float, reach: float) -> Any:
    channels, moments = np.meshgrid(np.arange(values.shape[1]), steps)
    axis.view_init(*_VIEW)
    axis.set_box_aspect(None, zoom=0.84)
    axis.set_zlim(centre - reach, centre + reach)
    limits = {"vmin": centre - reach, "vmax": centre + reach}
    return axis.plot_surface(
        channels,
        moments,
        values,
        cmap=_COLOURS,
        rcount=100,
        ccount=100,
        edgecolor="#00000040",
        linewidth=0.2,
        **limits,
    )


def _edges(steps: Numbers) -> Numbers:
    """Return the ends of cells around *steps*, halfway between neighbours."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middle = (steps[1:] + steps[:-1]) / 2
    return np.concatenate(([steps[0]], middle, [steps[-1]]))


def _has(row: Row, parameter: str, sites: Sequence[int]) -> bool:
    return any(channels_at(row.series[0], parameter, site) is not None for site in sites)


def _title(runs: Sequence[StoredRun], labels: Sequence[str], seeds: Sequence[int]) -> str:
    rows = f", {labels[0]}" if len(labels) == 1 else ""
    named = ", ".join(str(seed) for seed in seeds)
    return f"{title_of(runs)}{rows}, seed {named}"
