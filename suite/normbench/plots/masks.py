"""Training loss for each mask of norm sites: a panel each, with the ablations as curves.

The network without norm and the one with the norm at every site are drawn dashed into each panel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from normbench.errors import UsageError
from normbench.plots.ablations import MODES, mode_of, rows_by_mode
from normbench.plots.curves import Curves, draw_row, gather_by, legend_title, limit
from normbench.plots.figures import Look, different_rows, title_of
from normbench.plots.style import (
    AXIS_LABELS,
    COLOURS,
    Entry,
    add_grid,
    add_legend,
    add_title,
    new_figure,
)
from normbench.store import StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_FULL = "norm at every site"


def figure(runs: Sequence[StoredRun], look: Look) -> Figure:
    """Return the figure of *runs*: one norm, one optimizer, several masks.

    Raises:
        UsageError: If there is no mask, or rows of one mask differ in more than the ablation.
    """
    masks = sorted({run.spec.mask_label for run in runs} - {"none", "all"}, reverse=True)
    if not masks:
        raise UsageError(
            "none of these runs has a mask of norm sites. Train some: normbench run PROBLEM "
            "OPTIMIZER --sites 0,0,1"
        )
    references = _references(runs)
    panels = {
        mask: rows_by_mode([run for run in runs if run.spec.mask_label == mask]) for mask in masks
    }
    entries = _entries(references, panels.values())
    columns = min(_COLUMNS, len(masks))
    lines = math.ceil(len(masks) / columns)
    drawn = new_figure(lines, columns, entries)
    axes = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, (mask, rows) in zip(axes, panels.items(), strict=False):
        _draw_panel(axis, references, rows, look)
        axis.set_title(f"sites {mask}", fontsize=9)
        add_grid(axis)
    for axis in axes[len(masks) :]:
        axis.set_axis_off()
    for index, axis in enumerate(axes[: len(masks)]):
        axis.set_xlabel("epochs trained")
        axis.tick_params(labelbottom=True)
        axis.xaxis.get_major_locator().set_params(integer=True)
        if index % columns == 0:
            axis.set_ylabel(f"training {AXIS_LABELS['loss']}")
    everything = [*references, *(row for rows in panels.values() for row in rows)]
    limit(axes[0], everything, "loss", log=True, parts=("train",))
    add_title(drawn, title_of(runs))
    seeds = sorted({len(row.finished) for row in everything})
    counted = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    add_legend(drawn, entries, legend_title(look.band).replace(" n ", f" {counted} ", 1))
    return drawn


def _references(runs: Sequence[StoredRun]) -> list[Curves]:
    """Return the curves of the network without norm, and of the norm trained at every site."""
    without = [run for run in runs if mode_of(run.spec) == "none"]
    full = [run for run in runs if run.spec.mask_label == "all" and mode_of(run.spec) == "trained"]
    for members in (without, full):
        specs = {run.spec.row: run.spec for run in members if run.points()}
        if len(specs) > 1:
            raise UsageError(different_rows(list(specs.values())))
    return [
        *gather_by(without, lambda _: MODES["none"]),
        *gather_by(full, lambda _: _FULL),
    ]


def _draw_panel(
    axis: Axes, references: Sequence[Curves], rows: Sequence[Curves], look: Look
) -> None:
    for curves in references:
        draw_row(axis, curves, "train", "loss", look.band, _colour(curves.label), "--")
    for curves in rows:
        draw_row(axis, curves, "train", "loss", look.band, _colour(curves.label), "-")


def _entries(references: Sequence[Curves], panels: Iterable[Sequence[Curves]]) -> list[Entry]:
    dashed = [Entry(curves.label, _colour(curves.label), "--") for curves in references]
    labels = {row.label for rows in panels for row in rows}
    solid = [Entry(label, _colour(label)) for label in MODES.values() if label in labels]
    return dashed + solid


def _colour(label: str) -> str:
    return COLOURS[[*MODES.values(), _FULL].index(label)]
