"""How runs that ended badly are told: each by its outcome, its reason, and what tries it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import click

from normbench.cli.output import print_text
from normbench.store import RunState
from normbench.tables import state_in_words

_MOST = 20
# Or a run ends so again.
_NEEDS = {
    RunState.TIMED_OUT: "Those that timed out need a longer --time-limit.",
    RunState.OUT_OF_MEMORY: "Those out of memory need fewer --slots or a larger --memory-limit.",
}


@dataclass(frozen=True)
class Failure:
    """A run that a new launch tries again.

    Attributes:
        what: The run, as its command names it.
        state: How it ended.
        message: Why; empty if it did not say.
    """

    what: str
    state: RunState
    message: str


def print_failures(
    failures: Sequence[Failure], again: Sequence[str], *, lacking: str = "", err: bool = False
) -> None:
    """Say how and why the first of the runs ended, and what trains all of them again.

    Args:
        failures: The runs; nothing is printed if there are none.
        again: The words of the command.
        lacking: What has to be added to it, in a sentence; empty if nothing.
        err: Whether to standard error.
    """
    if not failures:
        return
    for failure in failures[:_MOST]:
        why = failure.message.strip().splitlines()[:1] or ["no reason was kept"]
        words = f"{failure.what} {state_in_words(failure.state)}: {why[0]}"
        print_text(words, rest="  ", err=err)
    if len(failures) > _MOST:
        click.echo(f"and {len(failures) - _MOST} more; --json shows all", err=err)
    click.echo(f"Try again with: {shlex.join(again)}", err=err)
    if lacking:
        print_text(lacking, err=err)
    states = {failure.state for failure in failures}
    if needs := [words for state, words in _NEEDS.items() if state in states]:
        print_text(" ".join(needs), err=err)
