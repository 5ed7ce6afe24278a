"""What the commands that show leaderboards share: filters and terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli import complete
from normbench.cli.target import target_options

if TYPE_CHECKING:
    from normbench.leaderboard.board import Terms

_F = TypeVar("_F", bound=Callable[..., Any])


def _filter(name: str, completer: complete.Completer) -> Callable[[_F], _F]:
    return click.option(
        f"--{name}",
        f"{name}s",
        multiple=True,
        metavar="NAME",
        shell_complete=completer,
        help=f"Only this {name}; may be repeated, or several separated by commas.",
    )


def filter_options(function: _F) -> _F:
    """Add ``--problem``, ``--norm``, ``--optimizer``, ``--protocol`` and ``--since``."""
    for option in reversed(
        (
            _filter("problem", complete.problems),
            _filter("norm", complete.norms),
            _filter("optimizer", complete.optimizers),
            _filter("protocol", complete.protocols),
            click.option(
                "--since",
                metavar="DATE",
                help="Only runs that finished since then, such as 2026-11-20 or 2026-11-20T08:00.",
            ),
        )
    ):
        function = option(function)
    return function


def terms_options(function: _F) -> _F:
    """Add ``--alpha``, ``--correction``, ``--allow-incomplete``, and where to."""
    for option in reversed(
        (
            click.option(
                "--alpha",
                type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
                default=0.05,
                show_default=True,
                help="Probability of any false `better`, and of any false `worse`.",
            ),
            click.option(
                "--correction",
                type=click.Choice(("holm", "bh", "none")),
                default="holm",
                show_default=True,
                help="For many comparisons; without holm nothing is confirmed.",
            ),
            click.option(
                "--allow-incomplete",
                is_flag=True,
                help="Judge rows although some of their seeds have no result.",
            ),
            target_options,
        )
    ):
        function = option(function)
    return function


def names_of(filters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the names that each filter holds; it may be repeated and may hold commas."""
    return {
        kind: tuple(name for value in values for name in value.split(",") if name)
        for kind, values in filters.items()
    }


def moment(text: str | None) -> float | None:
    """Return Unix seconds of a date or time, local unless it names a zone.

    Raises:
        UsageError: If *text* is neither.
    """
    from normbench.errors import UsageError

    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        today = datetime.now(tz=UTC).date().isoformat()
        raise UsageError(
            f"--since {text!r} is no date: expected the form {today} or {today}T08:00."
        ) from None


def make_terms(
    alpha: float, correction: str, *, allow_incomplete: bool, stages: Sequence[int] = ()
) -> Terms:
    """Return how to compare."""
    from normbench.leaderboard.board import Terms
    from normbench.leaderboard.staged import check_stages

    declared = check_stages(stages) if stages else ()
    return Terms(
        alpha=alpha, correction=correction, stages=declared, allow_incomplete=allow_incomplete
    )
