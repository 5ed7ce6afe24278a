"""Figures from the runs of a store, each drawn by a module of its own; one style for all."""

from __future__ import annotations

from normbench.plots.curves import Curves, draw, gather
from normbench.plots.figures import FIGURES, Look, draw_figure
from normbench.plots.style import COLOURS, FORMATS, check_format, save

__all__ = [
    "COLOURS",
    "FIGURES",
    "FORMATS",
    "Curves",
    "Look",
    "check_format",
    "draw",
    "draw_figure",
    "gather",
    "save",
]
