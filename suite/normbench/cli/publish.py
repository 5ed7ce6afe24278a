"""``--publish``: a leaderboard that was shown goes into MLflow, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli.options import Invocation
from normbench.cli.sources import STORE
from normbench.cli.target import Target

if TYPE_CHECKING:
    from normbench.leaderboard.board import Board
    from normbench.leaderboard.formats import Section
    from normbench.leaderboard.suites import SuiteRows

_F = TypeVar("_F", bound=Callable[..., Any])


def publish_option(function: _F) -> _F:
    """Add ``--publish``, passed to the command as *to_mlflow*."""
    return click.option(
        "--publish",
        "to_mlflow",
        is_flag=True,
        help="Put it into MLflow, too: on the rows, with saved views, charts and a report. Whole "
        "tables only: not with --norm, --optimizer, --setting, --since, --current or "
        "--allow-incomplete.",
    )(function)


def refuse_filters(filters: Mapping[str, Any], *, incomplete: bool = False) -> None:
    """Refuse to publish some rows of a table: they would take the place of all of them.

    Args:
        filters: What chooses rows, by the names of its options in the plural.
        incomplete: Whether rows with missing seeds are to be judged: that is refused, too.

    Raises:
        UsageError: If something does.
    """
    from normbench.errors import UsageError

    if incomplete:
        raise UsageError(
            "--publish puts tables into MLflow whose verdicts stand, and --allow-incomplete judges "
            "rows although seeds are missing, perhaps for what the rows do. Publish without, or "
            "train the seeds: normbench resume"
        )
    given = [f"--{name.removesuffix('s')}" for name, value in filters.items() if value]
    if given:
        raise UsageError(
            f"--publish puts whole tables into MLflow, and {', '.join(given)} would leave rows out "
            "of them. Publish without, and look at some rows there, or here without --publish; "
            "--problem, --protocol and --suite choose tables."
        )


def publish_boards(
    invocation: Invocation,
    boards: Sequence[Board],
    sections: Sequence[Section],
    *,
    source: str,
    suite: SuiteRows | None,
    target: Target,
) -> None:
    """Publish what was shown and say where it is, on standard output if that is for people.

    Raises:
        StoreError: If MLflow cannot be reached or written; with the fix.
    """
    from normbench.suites import suite_name
    from normbench.tracking.publishing import publish

    mirrored = source != STORE
    published = publish(
        boards,
        sections,
        None if mirrored and not invocation.store_path.exists() else invocation.open_store(),
        # With words of the user's it is another board, which leaves the suite's own as it is.
        suite=" ".join([suite_name(suite.name), *suite.words]) if suite else "",
        copy=not mirrored,
    )
    aside = target.file is None and target.shape != "table"
    click.echo(err=aside)
    for line in published.lines():
        click.echo(line, err=aside)
    if not published.address:
        click.echo(f"See it in MLflow: normbench ui{invocation.store_option}", err=aside)
