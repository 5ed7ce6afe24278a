"""Figures from the runs of a store, each drawn by a module of its own; one style for all."""

from __future__ import annotations

from normbench.plots.critical_difference import critical_difference
from normbench.plots.curves import Curves, draw, gather
from normbench.plots.figures import (
    BOARD_FIGURES,
    FIGURES,
    Look,
    draw_board_figure,
    draw_figure,
)
from normbench.plots.forest import forest
from normbench.plots.heatmap import heatmap
from normbench.plots.profiles import profiles
from normbench.plots.style import COLOURS, FORMATS, check_format, save
from normbench.plots.svg import svg
from normbench.plots.time_to_target import time_to_target

__all__ = [
    "BOARD_FIGURES",
    "COLOURS",
    "FIGURES",
    "FORMATS",
    "Curves",
    "Look",
    "check_format",
    "critical_difference",
    "draw",
    "draw_board_figure",
    "draw_figure",
    "forest",
    "gather",
    "heatmap",
    "profiles",
    "save",
    "svg",
    "time_to_target",
]
