"""The figures by name, and drawing one of them from the runs of a store or from leaderboards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from normbench.errors import UsageError, unknown_name
from normbench.leaderboard.board import Board
from normbench.leaderboard.overall import overall_of
from normbench.specs import RunSpec
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
    """One kind of figure: what it shows, ``module:function`` that draws it, what it is made of.

    *observed* ones need the series of an observer, *over_problems* ones more than one problem.
    """

    summary: str
    target: str
    observed: bool = False
    over_problems: bool = False


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
        "mean γ and β of every norm site against steps", "parameter_means:figure", observed=True
    ),
    "contour": Kind(
        "γ or β of every channel of every site against steps", "surfaces:contour", observed=True
    ),
    "surface": Kind("the same as a surface in three dimensions", "surfaces:surface", observed=True),
    "probes": Kind("what an observer saw, by depth", "probes:figure", observed=True),
}


BOARD_FIGURES: Mapping[str, Kind] = {
    "forest": Kind(
        "difference of every row from the reference, with its interval", "forest:forest"
    ),
    "heatmap": Kind("the same by norm and optimizer, with verdicts", "heatmap:heatmap"),
    "time_to_target": Kind(
        "share of seeds that have reached the target against epochs",
        "time_to_target:time_to_target",
    ),
    "profiles": Kind(
        "share of runs above each score, over problems", "profiles:profiles", over_problems=True
    ),
    "critical_difference": Kind(
        "mean ranks over problems, from eight of them",
        "critical_difference:critical_difference",
        over_problems=True,
    ),
}


def draw_board_figure(name: str, boards: Sequence[Board]) -> Figure:
    """Return the figure *name* of a leaderboard.

    Args:
        name: One of :data:`BOARD_FIGURES`.
        boards: The one board to draw, or those of several problems where the figure is over them.

    Raises:
        UsageError: If there is no such figure, or the boards lack what it shows; with the fix.
    """
    if name not in BOARD_FIGURES:
        raise unknown_name("figure of leaderboards", name, BOARD_FIGURES)
    kind = BOARD_FIGURES[name]
    found: Sequence[object] = overall_of(boards) if kind.over_problems else boards
    if len(found) != 1:
        raise UsageError(_not_one(name, boards, len(found)))
    figure: Figure = _function(kind)(found[0])
    return figure


def _not_one(name: str, boards: Sequence[Board], found: int) -> str:
    titles = "; ".join(board.title for board in boards)
    if not BOARD_FIGURES[name].over_problems:
        return (
            f"{name} shows one table, and these runs are of {found}: {titles}. Choose one by "
            f"--problem {boards[0].problem}, or by --protocol; words of its own by --suite"
        )
    if found:
        return (
            f"{name} shows the problems of one protocol, and these runs are of {found}. Choose "
            f"one: normbench plot --figure {name} --protocol standard"
        )
    return (
        f"{name} takes two problems or more under one protocol, each with a reference and one "
        f"table. There is: {titles}."
    )


def draw_figure(name: str, runs: Sequence[StoredRun], look: Look | None = None) -> Figure:
    """Return the figure *name* of *runs*, all of one problem.

    Raises:
        UsageError: If there is no such figure, or the runs lack what it shows; with the fix.
    """
    if name not in FIGURES:
        raise unknown_name("figure", name, [*FIGURES, *BOARD_FIGURES])
    _refuse_mixture(runs)
    figure: Figure = _function(FIGURES[name])(runs, look or Look())
    return figure


def _function(kind: Kind) -> Callable[..., Figure]:
    module, _, function = kind.target.partition(":")
    found: Callable[..., Figure] = getattr(import_module(f"normbench.plots.{module}"), function)
    return found


def refuse_pooling(runs: Sequence[StoredRun], point: Callable[[RunSpec], object]) -> None:
    """Refuse to average over rows that differ in what a figure does not show.

    Args:
        runs: What is to be drawn.
        point: What of a run the figure shows; the runs of one point must be of one row.

    Raises:
        UsageError: With the words that tell rows apart.
    """
    rows: dict[object, dict[str, RunSpec]] = {}
    for run in runs:
        if run.result() is not None:
            rows.setdefault(point(run.spec), {})[run.spec.row] = run.spec
    for specs in rows.values():
        if len(specs) > 1:
            raise UsageError(different_rows(list(specs.values())))


def different_rows(specs: Sequence[RunSpec]) -> str:
    """Return the sentence on rows that a figure cannot tell apart, and how to choose one."""
    counts = Counter(word for spec in specs for word in _words(spec))
    told = sorted(word for word, count in counts.items() if count < len(specs))
    words = ", ".join(told[:8]) or "their norms"
    return (
        f"{len(specs)} rows would be drawn as one; they differ in {words}. Choose one by such a "
        "word, as in: normbench plot lr=0.1 problem.batch_size=32, or by its row: normbench status"
    )


def _words(spec: RunSpec) -> set[str]:
    """Return what tells the row of *spec* from the default one of its norm and optimizer."""
    values = {"lr": spec.optimizer.number("lr"), **spec.identity["optimizer"]["parameters"]}
    named = {
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values.items()
    }
    return named | {spec.protocol.name, *spec.deviations}


def title_of(runs: Sequence[StoredRun]) -> str:
    """Return the problem, and norm, optimizer and protocol where there is but one of each."""
    norms = {run.spec.norm.name for run in runs} - {"none"}
    optimizers = {run.spec.optimizer.name for run in runs}
    protocols = {" ".join([run.spec.protocol.name, *run.spec.deviations]) for run in runs}
    words = [names.pop() for names in (norms, optimizers) if len(names) == 1]
    if len(protocols) == 1:
        words.append(f"protocol {protocols.pop()}")
    return ", ".join([runs[0].spec.problem.name, *words])


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
