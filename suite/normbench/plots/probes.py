"""What an observer saw, by depth: before training, halfway and at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from normbench.errors import UsageError, unknown_name
from normbench.plots.figures import Look, title_of
from normbench.plots.style import Entry, add_grid, add_legend, add_title, look, new_figure
from normbench.plots.trajectories import Numbers, Row, rows_with
from normbench.series import Series
from normbench.store import StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DEFAULT = "activation_variance"
# For numbers that a layer has many of: the array that says which layer each belongs to.
_OWNERS = {"sphere": "sphere_weight", "channel": "channel_layer"}
_DEPTHS = ("activation", "layer", "weight", *_OWNERS)


def figure(runs: Sequence[StoredRun], choice: Look) -> Figure:
    """Return the figure of a quantity; ``activation_variance`` unless another is chosen.

    Raises:
        UsageError: If no run has it; the message says which quantities there are.
    """
    quantity = choice.quantity or _DEFAULT
    rows = rows_with(runs, _observer_of(runs, quantity))
    entries = [
        Entry(f"{row.label}: n={len(row.runs)}", *look(number)) for number, row in enumerate(rows)
    ]
    moments = _moments(rows)
    drawn = new_figure(1, len(moments), entries, panel=(2.9, 2.7))
    axes = drawn.subplots(1, len(moments), squeeze=False, sharex=True, sharey=True)[0]
    for axis, share in zip(axes, moments, strict=True):
        for entry, row in zip(entries, rows, strict=True):
            _draw_row(axis, row, quantity, _moment(row, share), entry)
        epochs = {row.series[0]["epoch"][_moment(row, share)] for row in rows}
        axis.set_title(" or ".join(f"epoch {epoch:g}" for epoch in sorted(epochs)))
        axis.set_xlabel(f"{_along(rows[0].series[0], quantity)}, in forward order")
        axis.xaxis.get_major_locator().set_params(integer=True)
        add_grid(axis)
    axes[0].set_ylabel(_label(rows[0].series[0], quantity))
    _scale(axes[0])
    add_title(drawn, title_of(runs))
    add_legend(drawn, entries, "line: mean over n seeds; band: smallest to largest seed")
    return drawn


def _moments(rows: Sequence[Row]) -> tuple[float, ...]:
    """Return the shares of the way at which to draw: start and end, and halfway if there is one."""
    fewest = min(len(row.series[0]["step"]) for row in rows)
    return (0.0, 0.5, 1.0) if fewest > 2 else (0.0, 1.0) if fewest > 1 else (0.0,)


def _moment(row: Row, share: float) -> int:
    return round(share * (len(row.series[0]["step"]) - 1))


def _observer_of(runs: Sequence[StoredRun], quantity: str) -> str:
    """Return the observer that left the series *quantity* of any of *runs*."""
    known: dict[str, str] = {}
    for run in runs:
        for observer in run.observed():
            series = run.series(observer)
            known.update((name, observer) for name in series if _drawable(series, name))
    if not known:
        raise UsageError(
            "none of the runs chosen has series that go by depth. Record some: normbench run ... "
            "--observe activations --observe spheres"
        )
    if quantity not in known:
        raise unknown_name("quantity of these runs", quantity, known)
    return known[quantity]


def _drawable(series: Series, name: str) -> bool:
    dims = series.dims.get(name, ())
    return len(dims) == 2 and dims[0] == "moment" and dims[1] in _DEPTHS


def by_depth(series: Series, quantity: str, moment: int) -> Numbers:
    """Return the values at one moment by depth; those of one layer's channels as their mean."""
    values: Numbers = series[quantity][moment].astype(np.float64)
    dim = series.dims[quantity][1]
    if dim not in _OWNERS:
        return values
    owners = series[_OWNERS[dim]]
    return np.array([values[owners == owner].mean() for owner in np.unique(owners)])


def _draw_row(axis: Axes, row: Row, quantity: str, moment: int, entry: Entry) -> None:
    values = np.array([by_depth(series, quantity, moment) for series in row.series])
    depth = np.arange(1, values.shape[1] + 1)
    axis.plot(
        depth, values.mean(0), color=entry.colour, linestyle=entry.dash, marker="o", markersize=3
    )
    if len(values) > 1:
        low, high = values.min(0), values.max(0)
        axis.fill_between(depth, low, high, color=entry.colour, alpha=0.18, linewidth=0)


def _along(series: Series, quantity: str) -> str:
    dim = series.dims[quantity][1]
    return {"sphere": "weight", "channel": "layer"}.get(dim, dim)


def _label(series: Series, quantity: str) -> str:
    name = quantity.replace("_", " ")
    if series.dims[quantity][1] in _OWNERS:
        name = f"mean {name}"
    unit = series.units.get(quantity, "")
    return f"{name} [{unit}]" if unit else name


def _scale(axis: Axes) -> None:
    """Use a logarithmic axis where values are positive and span more than two decades."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axis.lines])
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > 100 * finite.min():
        axis.set_yscale("log")
