"""What the commands that show leaderboards share: filters, suites with their words, and terms."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli import complete
from normbench.cli.options import Invocation, words_once
from normbench.cli.target import brief_option, target_options
from normbench.quantities import parse_seconds

if TYPE_CHECKING:
    from normbench.leaderboard.board import Terms
    from normbench.leaderboard.suites import SuiteRows
    from normbench.plugins import Catalogue

_F = TypeVar("_F", bound=Callable[..., Any])
_UNITS = tuple("smhd")


class _Correction(click.Choice[str]):
    """A correction for many comparisons."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the correction that *value* names."""
        if str(value).lower() == "bonferroni":
            self.fail(
                "'bonferroni' is left out, since holm bounds the same probability and finds at "
                "least as much. Give holm, which is the default.",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


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
    """Add a filter for problem, norm, optimizer, protocol and setting each, and ``--since``."""
    for option in reversed(
        (
            _filter("problem", complete.problems),
            _filter("norm", complete.norms),
            _filter("optimizer", complete.optimizers),
            _filter("protocol", complete.protocols),
            click.option(
                "--setting",
                "settings",
                multiple=True,
                metavar="ORIGIN",
                help="Only rows whose setting is known (tuned), published, untuned or given.",
            ),
            click.option(
                "--since",
                metavar="DATE|TIME",
                help="Only runs that finished since then, such as 2026-11-20 or 2026-11-20T08:00, "
                "or that long ago, such as 2h or 1d.",
            ),
            click.option(
                "--current",
                is_flag=True,
                help="No rows of plugin files that were edited since; corrections count them.",
            ),
        )
    ):
        function = option(function)
    return function


def suite_option(function: _F) -> _F:
    """Add ``--suite``, and say of ``--seeds``, which other commands take beside it, why not."""
    seeds = click.option(
        "--seeds",
        hidden=True,
        expose_value=False,
        callback=_refuse_seeds,
        help="Refused: tables take all seeds.",
    )
    suite = click.option(
        "--suite",
        metavar="NAME_OR_FILE",
        shell_complete=complete.names_of("suite"),
        help="Only the rows of a suite, against the references that it declares. Words, such as "
        "protocol.epochs=1, are those of its suite run.",
    )
    return suite(seeds(function))


def _refuse_seeds(
    ctx: click.Context,  # noqa: ARG001 - click's signature
    parameter: click.Parameter,  # noqa: ARG001
    value: str | None,
) -> None:
    from normbench.errors import UsageError

    if value is not None:
        raise UsageError(
            f"--seeds {value}: tables and figures take all seeds that their rows have, since "
            "seeds that were chosen may have been chosen after looking. Leave --seeds out."
        )


def suite_options(function: _F) -> _F:
    """Add ``--suite``, and the words that its runs were trained with."""
    words = click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
    return words(suite_option(function))


def reference_options(function: _F) -> _F:
    """Add ``--reference`` and ``--stages``."""
    reference = click.option(
        "--reference",
        metavar="ROW",
        help="Compare with this row: the beginning of its fingerprint, or words: layer_norm+sgd.",
    )
    stages = click.option(
        "--stages",
        metavar="LIST",
        help="Seeds of rows whose stages the store does not have were added in these: 5,10,15,20. "
        "Said after the fact, so verdicts are exploratory.",
    )
    return reference(stages(function))


def declared_stages(stages: str | None) -> tuple[int, ...]:
    """Return the numbers of seeds that ``--stages`` says; none where it says nothing."""
    from normbench.cli.until_decided import parse_stages

    return parse_stages(stages) or ()


def rows_of(suite: str | None, words: Sequence[str], catalogue: Catalogue) -> SuiteRows | None:
    """Return the rows that ``--suite`` and the *words* name; None where there is no ``--suite``.

    Raises:
        UsageError: If there are words without a suite, or the suite or a word is wrong.
    """
    from normbench.errors import UsageError

    if suite is None:
        if words:
            raise UsageError(
                f"{' '.join(words)}: words say what a suite was run with, and there is no --suite. "
                "Add --suite NAME_OR_FILE, or choose rows with --problem, --norm, --optimizer, "
                "--protocol or --setting."
            )
        return None
    from normbench.leaderboard.suites import suite_rows

    return suite_rows(suite, catalogue, words)


def hint_table(
    invocation: Invocation, suite: str, words: Sequence[str], training: Mapping[str, Any]
) -> None:
    """Print the command that shows the table of a suite that was trained now, with its words.

    Args:
        invocation: What the shared options said.
        suite: The suite as it was named.
        words: Words that it was run with.
        training: The options of the launch; where they train nothing, or print JSON, nothing is
            said.
    """
    if training["as_json"] or training["dry_run"] or training["enqueue"]:
        return
    if invocation.store and invocation.store.is_absolute() and Path(suite).is_file():
        suite = str(Path(suite).absolute())
    place = [*invocation.store_words, *invocation.plugin_words]
    command = ["normbench", "leaderboard", "--suite", suite, *words, *place]
    click.echo(f"Its table: {shlex.join(command)}")


def content(suite: SuiteRows | None) -> list[object] | None:
    """Return what tells the rows of one suite from those of another, as values of JSON."""
    if suite is None:
        return None
    return [suite.title, sorted(suite.rows), sorted(suite.references)]


def terms_options(function: _F) -> _F:
    """Add ``--alpha``, ``--correction``, ``--allow-incomplete``, ``--brief``, and where to."""
    return judging_options(target_options(brief_option(function)))


def judging_options(function: _F) -> _F:
    """Add ``--alpha``, ``--correction`` and ``--allow-incomplete``."""
    for option in reversed(
        (
            click.option(
                "--alpha",
                type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
                default=0.05,
                show_default=True,
                help="Probability of any false `better`, and of any false `worse`, where "
                "differences are normal; above 0.05 nothing is confirmed.",
            ),
            click.option(
                "--correction",
                type=_Correction(("holm", "bh", "none")),
                default="holm",
                show_default=True,
                help="For many comparisons; without holm nothing is confirmed.",
            ),
            click.option(
                "--allow-incomplete",
                is_flag=True,
                help="Judge rows although some of their seeds have no result.",
            ),
        )
    ):
        function = option(function)
    return function


def names_of(filters: Mapping[str, Sequence[str] | bool]) -> dict[str, Any]:
    """Return the names that each filter holds; it may be repeated and may hold commas.

    What is on or off stays as it is.
    """
    return {
        kind: values
        if isinstance(values, bool)
        else tuple(name for value in values for name in value.split(",") if name)
        for kind, values in filters.items()
    }


def moment(text: str | None) -> float | None:
    """Return Unix seconds of a date or time, local unless it names a zone, or of so long ago.

    Raises:
        UsageError: If *text* is neither.
    """
    from normbench.errors import UsageError

    if text is None:
        return None
    if text.strip()[-1:] in _UNITS:
        with contextlib.suppress(UsageError):
            return time.time() - parse_seconds(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        today = datetime.now(tz=UTC).date().isoformat()
        raise UsageError(
            f"--since {text!r} is no date: expected the form {today} or {today}T08:00, or how "
            "long ago, such as 2h or 1d."
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
