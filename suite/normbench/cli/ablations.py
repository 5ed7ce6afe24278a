"""``normbench norms`` and ``normbench optimizers``: one factor within and over the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli.boards import (
    content,
    filter_options,
    make_terms,
    moment,
    names_of,
    rows_of,
    suite_options,
    terms_options,
)
from normbench.cli.one_off import refuse_unloaded
from normbench.cli.options import Invocation, common_options
from normbench.cli.remembering import remembered
from normbench.cli.sources import open_source, source_option
from normbench.cli.target import Target, deliver

if TYPE_CHECKING:
    from normbench.leaderboard.formats import Section

_F = TypeVar("_F", bound=Callable[..., Any])


def _options(function: _F) -> _F:
    for option in reversed(
        (
            suite_options,
            filter_options,
            click.option("--metric", metavar="NAME", help="Judge by another number."),
            click.option("--base", metavar="NAME", help="Compare with this one."),
            terms_options,
            source_option,
            common_options(store=True),
        )
    ):
        function = option(function)
    return function


@click.command("norms")
@_options
@click.pass_obj
def norms(invocation: Invocation, /, **choices: Any) -> None:
    """Compare norms within each optimizer and over all of them.

    They are compared with the problem's default norm, or with another one by --base. The effect
    over all optimizers is averaged for each seed before it is tested; where it differs from one
    optimizer to the next, the interactions say so.
    """
    _show(invocation, "norm", **choices)


@click.command("optimizers")
@_options
@click.pass_obj
def optimizers(invocation: Invocation, /, **choices: Any) -> None:
    """Compare optimizers within each norm and over all of them.

    They are compared with momentum, or with sgd where that has no runs, or with another one by
    --base. The effect over all norms is averaged for each seed before it is tested; where it
    differs from one norm to the next, the interactions say so.
    """
    _show(invocation, "optimizer", **choices)


def _show(
    invocation: Invocation,
    factor: str,
    *,
    suite: str | None,
    words: tuple[str, ...],
    since: str | None,
    metric: str | None,
    base: str | None,
    alpha: float,
    correction: str,
    allow_incomplete: bool,
    target: Target,
    source: str,
    **filters: Any,
) -> None:
    chosen = {**names_of(filters), "metric": metric, "since": moment(since)}
    reader, catalogue = open_source(invocation, source, chosen["problems"], chosen["protocols"])
    of_suite = rows_of(suite, words, catalogue)
    refuse_unloaded(invocation, reader, catalogue, chosen, of_suite)

    def make() -> tuple[list[Section], bytes]:
        from normbench.leaderboard.ablation_sheets import ablation_section
        from normbench.leaderboard.ablations import make_ablations
        from normbench.leaderboard.grouping import Wanted, comparable_rows
        from normbench.leaderboard.showing import note_judged

        terms = make_terms(alpha, correction, allow_incomplete=allow_incomplete)
        wanted = Wanted(**chosen, suite=of_suite, terms=terms)
        rows = comparable_rows(reader, catalogue, wanted)
        found = make_ablations(reader, catalogue, wanted, factor, base, rows)
        # With a base of one's own it is as with --reference: chosen after looking, perhaps.
        shown = b"" if base else note_judged(reader, catalogue, wanted, rows)
        return [ablation_section(each, correction) for each in found], shown

    asked = {**chosen, "factor": factor, "base": base, "alpha": alpha, "correction": correction}
    asked |= {"allow_incomplete": allow_incomplete, "suite": content(of_suite)}
    deliver(remembered(reader, catalogue, target, asked, make), target)
