"""Method ``grid``: every combination of choices and of evenly spaced levels of ranges."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count, islice, product, takewhile

from normbench.descriptions import Metric
from normbench.errors import UsageError
from normbench.parameters import Value
from normbench.tuning.space import Space
from normbench.tuning.study import Trial

_SHOWN = 5
_MOST_LEVELS = 1000


def propose(
    space: Space,
    *,
    metric: Metric,  # noqa: ARG001 - a grid is a grid whatever the results are
    trials: Sequence[Trial],
    budget: int,
    draw_seed: int,  # noqa: ARG001 - nothing is drawn
) -> list[dict[str, Value]]:
    """Return all points of the grid that come after *trials*.

    All ranges get the same number of levels; one of whole numbers no more than it has.

    Raises:
        UsageError: If no number of levels gives a grid of *budget* points.
    """
    levels = _levels(space, budget)
    words = [axis.word for axis in space]
    points = product(*(axis.levels(levels) for axis in space))
    return [dict(zip(words, point, strict=True)) for point in islice(points, len(trials), None)]


def whole_grid(space: Space) -> int | None:
    """Return the number of points of a grid of choices alone; None if an axis is a range."""
    fixed = all(axis.search.scale == "choice" for axis in space)
    return space.size if fixed else None


def _levels(space: Space, budget: int) -> int:
    for levels, points in takewhile(lambda each: each[1] <= budget, _sizes(space)):
        if points == budget:
            return levels
    raise UsageError(
        f"--trials {budget} fits no grid over {space}: expected {_possible(space)}. Give one of "
        "these, or the levels: --search NAME=grid:A,B,C"
    )


def _sizes(space: Space) -> Iterator[tuple[int, int]]:
    """Yield numbers of levels and the points of their grids, each larger than the one before."""
    last = 0
    for levels in islice(count(2), _MOST_LEVELS):
        points = math.prod(len(axis.levels(levels)) for axis in space)
        if points > last:
            yield levels, points
        last = points


def _possible(space: Space) -> str:
    sizes = [str(points) for _, points in islice(_sizes(space), _SHOWN + 1)]
    if len(sizes) == 1:
        return sizes[0]
    listed = ", ".join(sizes[:_SHOWN])
    return f"{listed} or more" if len(sizes) > _SHOWN else f"one of {listed}"
