"""``normbench report``: what a store has of a suite, beside what its source published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from normbench.cli import complete
from normbench.cli.options import Invocation, common_options, words_once
from normbench.cli.plan import cell_options, expanded
from normbench.cli.sources import STORE, open_source, source_option
from normbench.garbage import uncollected

if TYPE_CHECKING:
    from normbench.reproduction.asked import Asked
    from normbench.reproduction.document import Document

_SHAPES = ("both", "md", "html")


@click.command("report")
@click.argument("name", metavar="SUITE", shell_complete=complete.names_of("suite"))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=words_once)
@cell_options
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to write to; default report-SUITE, with the words, --only and --seeds if given.",
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(_SHAPES),
    default="both",
    show_default=True,
    help="md: report.md and its figures; html: report.html, one file.",
)
@source_option
@common_options(store=True)
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    name: str,
    words: Sequence[str],
    seeds: str | None,
    only: Sequence[str],
    output: Path | None,
    shape: str,
    source: str,
) -> None:
    """Write a report on a suite: ours and what is published.

    SUITE is a registered suite (normbench suite list) or a YAML file. The report says how much of
    it the store has and what trains the rest; it shows our means beside published ones with an
    interval of each difference, who is better, figures, every deviation, the environment, and the
    commands that repeat it. Words, --only and --seeds mean what they mean to suite run.

    \b
    normbench report spherical
    normbench report group_norm_study protocol.epochs=1 --only norm=group_norm --format md
    """  # noqa: D301 - click reads the backspace character
    from normbench.reproduction.writing import write_report

    asked = _asked(invocation, name, words, seeds, only, source)
    with uncollected():
        document = _document(invocation, asked)
        written = write_report(document, output or Path(asked.folder), shape)
    for sentence in document.intro:
        click.echo(sentence)
    for path in written:
        click.echo(path)


def _asked(
    invocation: Invocation,
    name: str,
    words: Sequence[str],
    seeds: str | None,
    only: Sequence[str],
    source: str,
) -> Asked:
    from normbench.reproduction.asked import Asked

    return Asked(
        suite=name,
        words=tuple(words),
        only=tuple(only),
        seeds=seeds or "",
        plugins=tuple(str(file.absolute()) for file in invocation.plugin_files),
        store=str(invocation.store or ""),
        source="" if source == STORE else source,
    )


def _document(invocation: Invocation, asked: Asked) -> Document:
    from normbench.leaderboard.reading import StoreReader
    from normbench.reproduction.making import Input, make_document
    from normbench.store import RunStore

    plan = expanded(invocation, asked.suite, asked.words, asked.seeds or None, asked.only)
    catalogue, reader, store = invocation.catalogue, None, None
    if asked.source:
        problems = [request.problem for request in plan.requests]
        reader, catalogue = open_source(invocation, asked.source, problems, ())
    elif store := RunStore.open_if_there(invocation.store_path):
        reader = StoreReader(store, invocation.place_option)
    else:
        click.echo(f"There is no run store at {invocation.store_path} yet.", err=True)
    return make_document(
        Input(plan=plan, catalogue=catalogue, reader=reader, store=store, asked=asked)
    )
