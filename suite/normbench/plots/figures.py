"""The figures by name, and drawing one of them from the runs of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from normbench.errors import UsageError, unknown_name
from normbench.store import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a user chooses about a figure.

    Attributes:
        band: ``range`` from the smallest to the largest seed, or ``interval``, the 95 % t interval
            of the mean.
        log_loss: Whether loss axes are logarithmic.
        parameter: ``gamma`` or ``beta``, where a figure shows one of them.
        sort: Whether channels are sorted by their last value.
        quantity: The series to draw, where a figure shows one of several; empty for its default.
    """

    band: str = "range"
    log_loss: bool = False
    parameter: str = "gamma"
    sort: bool = False
    quantity: str = ""


@dataclass(frozen=True)
class Kind:
    """One kind of figure: what it shows, and ``module:function`` that draws it."""

    summary: str
    target: str


FIGURES: Mapping[str, Kind] = {
    "curves": Kind("metrics of every row against epochs", "curves:figure"),
    "ablations": Kind("training loss and accuracy of one norm's ablations", "ablations:figure"),
    "masks": Kind("training loss, one panel for each mask of norm sites", "masks:figure"),
    "learning_rates": Kind(
        "training loss and accuracy, one curve for each learning rate", "learning_rates:figure"
    ),
    "sensitivity": Kind("final score against the learning rate", "sensitivity:figure"),
    "batch_size": Kind("test error against the batch size", "batch_size:figure"),
    "parameter_means": Kind(
        "mean γ and β of every norm site against steps", "parameter_means:figure"
    ),
    "contour": Kind("γ or β of every channel of every site against steps", "surfaces:contour"),
    "surface": Kind("the same as a surface in three dimensions", "surfaces:surface"),
    "probes": Kind("what an observer saw, by depth", "probes:figure"),
}


def draw_figure(name: str, runs: Sequence[StoredRun], look: Look | None = None) -> Figure:
    """Return the figure *name* of *runs*, all of one problem.

    Raises:
        UsageError: If there is no such figure, or the runs lack what it shows; with the fix.
    """
    if name not in FIGURES:
        raise unknown_name("figure", name, FIGURES)
    _refuse_mixture(runs)
    module, _, function = FIGURES[name].target.partition(":")
    draw = getattr(import_module(f"normbench.plots.{module}"), function)
    figure: Figure = draw(runs, look or Look())
    return figure


def title_of(runs: Sequence[StoredRun]) -> str:
    """Return the problem, and the protocol if there is but one."""
    protocols = {" ".join([run.spec.protocol.name, *run.spec.deviations]) for run in runs}
    problem = runs[0].spec.problem.name
    return f"{problem}, protocol {protocols.pop()}" if len(protocols) == 1 else problem


def _refuse_mixture(runs: Sequence[StoredRun]) -> None:
    """Refuse runs of several problems: their losses share no axis."""
    problems = sorted({run.spec.problem.name for run in runs})
    if not problems:
        raise UsageError("no runs were chosen. See them with: normbench status")
    if len(problems) > 1:
        raise UsageError(
            f"the runs chosen belong to {len(problems)} problems ({', '.join(problems)}), whose "
            f"curves share no axis. Choose one: normbench plot problem={problems[0]}"
        )
