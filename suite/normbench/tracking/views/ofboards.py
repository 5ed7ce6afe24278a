"""The views of a published leaderboard: all rows, one column of norms, one of optimizers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from normbench.tracking import names
from normbench.tracking.views.form import View, has_tags, metric, quotable, tag

LEADERBOARD = "normbench-leaderboard"
_ABLATION = "normbench-norm-ablation"
_OPTIMIZERS = "normbench-optimizers"
_HIDDEN = ("row/n", "row/mean", "row/sd", "row/diverged")


@dataclass(frozen=True, kw_only=True)
class BoardViews:
    """What the views of one board need to know.

    Attributes:
        key: The board, as the tag ``lb.board`` of its rows says it.
        suffix: What its views are called beside ``Leaderboard``; empty for the experiment's own.
        norm: The reference's norm, None where there is no reference.
        optimizer: Its optimizer.
        columns: Columns of the table with widths.
        metrics: All metrics of the rows, those drawn first.
        drawn: How many of them are drawn.
    """

    key: str
    suffix: str = ""
    norm: str | None = None
    optimizer: str | None = None
    columns: Mapping[str, int]
    metrics: tuple[str, ...]
    drawn: int = 2


def leaderboard_key(board: str) -> str:
    """Return the key of the Leaderboard view of a *board*."""
    return f"{LEADERBOARD}-{board}"


def board_views(given: BoardViews) -> Iterator[View]:
    """Yield the views of a board, the best rank first in each."""
    rows = {names.BOARD: given.key}
    yield _view(given, leaderboard_key(given.key), "Leaderboard", rows, place=0)
    if given.optimizer is not None and quotable(given.optimizer):
        fixed = {**rows, names.OPTIMIZER: given.optimizer}
        yield _view(given, f"{_ABLATION}-{given.key}", "Norm ablation", fixed, place=1)
    if given.norm is not None and quotable(given.norm):
        fixed = {**rows, names.NORM: given.norm}
        yield _view(given, f"{_OPTIMIZERS}-{given.key}", "Optimizers", fixed, place=2)


def _view(given: BoardViews, key: str, name: str, rows: Mapping[str, str], *, place: int) -> View:
    return View(
        key=key,
        name=f"{name} {given.suffix}".strip(),
        where=has_tags(rows),
        columns=given.columns,
        sort=metric(names.LB_RANK),
        bars=given.metrics[: given.drawn],
        hidden=(*given.metrics[given.drawn :], *_HIDDEN),
        place=place,
    )


def text_columns(widths: Mapping[str, int]) -> dict[str, int]:
    """Return columns of tags."""
    return {tag(name): width for name, width in widths.items()}


def number_columns(widths: Mapping[str, int]) -> dict[str, int]:
    """Return columns of metrics."""
    return {metric(name): width for name, width in widths.items()}
