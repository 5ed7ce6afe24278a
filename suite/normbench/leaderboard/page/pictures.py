"""The figures of a page: what a section shows decides which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from normbench.leaderboard.board import Board
from normbench.leaderboard.overall import Overall


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        svg: The figure, see :func:`normbench.plots.svg`; it is put into the page as it is.
        caption: What it shows, as text.
    """

    svg: str
    caption: str


def pictures_of(about: object) -> list[Picture]:
    """Return the figures of a board, or of methods over problems; of anything else none."""
    if isinstance(about, Board):
        return list(_of_board(about))
    if isinstance(about, Overall):
        return list(_of_overall(about))
    return []


def _of_board(board: Board) -> Iterator[Picture]:
    # Imported here: drawing takes a second to import, and not every page has figures.
    from normbench.plots import svg, time_to_target

    if any(entry.comparison and entry.comparison.n for entry in board.entries):
        yield from _compared(board)
    if any(entry.costs.target is not None for entry in board.entries):
        caption = (
            "Share of the seeds that have reached the target by each epoch; a seed that misses it "
            "never counts, so that a line ends where the share of those that reach it is."
        )
        yield Picture(svg(time_to_target(board), f"{board.title}: {caption}"), caption)


def _compared(board: Board) -> Iterator[Picture]:
    from normbench.plots import forest, heatmap, svg

    caption = "Difference of each row from the reference, seed by seed, with its 95 % interval."
    yield Picture(svg(forest(board), f"{board.title}: {caption}"), caption)
    norms = {entry.row.norm_label for entry in board.entries if entry.values}
    optimizers = {entry.row.optimizer for entry in board.entries if entry.values}
    if min(len(norms), len(optimizers)) > 1:
        caption = (
            "Norm by optimizer: difference from the reference, verdict, and seeds that diverged "
            "(div)."
        )
        yield Picture(svg(heatmap(board), f"{board.title}: {caption}"), caption)


def _of_overall(overall: Overall) -> Iterator[Picture]:
    from normbench.plots import critical_difference, profiles, svg

    if not overall.standings:
        return
    caption = "Performance profiles: higher is better, and further to the right."
    yield Picture(svg(profiles(overall), caption), caption)
    if overall.test is not None and overall.test.critical_difference is not None:
        caption = (
            "Mean ranks, 1 is best. A bar joins methods within Nemenyi's critical difference; the "
            "table's p are those of exact signed-rank tests."
        )
        yield Picture(svg(critical_difference(overall), caption), caption)
