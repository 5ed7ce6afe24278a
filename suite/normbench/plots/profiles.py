"""Performance profiles: how large a share of a method's runs is above each score.

E. Dolan and J. Moré, Benchmarking Optimization Software with Performance Profiles, 2002,
arXiv:cs/0102001; of scores rather than costs as in R. Agarwal et al., Deep Reinforcement Learning
at the Edge of the Statistical Precipice, 2021, arXiv:2108.13264.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.leaderboard.overall import LEVELS, Overall, Standing
from normbench.plots.marks import GREY, as_written, shortened, visible
from normbench.plots.style import Entry, add_grid, add_legend, add_title, look, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TOLD_APART = 14


def profiles(overall: Overall) -> Figure:
    """Return the profiles of all methods; of very many the best are in colour, the rest thin."""
    told, rest = overall.standings[:MOST_TOLD_APART], overall.standings[MOST_TOLD_APART:]
    entries = [Entry(_label(each), *look(number)) for number, each in enumerate(told)]
    if rest:
        entries.append(Entry(f"{len(rest)} others", GREY))
    figure = new_figure(1, 1, entries, panel=(6.6, 3.6))
    axis = figure.subplots()
    for standing in rest:
        axis.plot(LEVELS, standing.profile, color=GREY, linewidth=0.6, alpha=0.7)
    for standing, entry in zip(reversed(told), reversed(entries[: len(told)]), strict=True):
        axis.plot(LEVELS, standing.profile, color=entry.colour, linestyle=entry.dash)
    axis.axvline(1, color="#000000", linewidth=0.8)
    axis.set_xlim(_span(overall.standings))
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("normalised score τ: 0 is the worst score, 1 the reference's mean")
    axis.set_ylabel("share of runs above τ")
    add_grid(axis)
    add_title(figure, visible(f"{len(overall.problems)} problems, protocol {overall.protocol}"))
    add_legend(figure, entries, "mean over problems; in brackets the interquartile mean")
    return as_written(figure)


def _label(standing: Standing) -> str:
    return f"{shortened(standing.norm)} {shortened(standing.optimizer)} ({standing.mean:.3f})"


def _span(standings: Sequence[Standing]) -> tuple[float, float]:
    """Return the levels between which profiles are neither all 1 nor all 0, around 1."""
    shares = list(zip(*(each.profile for each in standings), strict=True))
    first = next((i for i, level in enumerate(shares) if min(level) < 1), len(LEVELS)) - 1
    last = max((i for i, level in enumerate(shares) if max(level) > 0), default=0) + 1
    return (
        min(0.95, LEVELS[max(first, 0)]),
        max(1.02, LEVELS[min(last, len(LEVELS) - 1)]),
    )
