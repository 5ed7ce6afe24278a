"""``normbench studies``: what was tuned in a store, and the report of one study."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.output import print_json, print_table, print_text
from normbench.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from normbench.store import RunStore
    from normbench.tuning import Study
    from normbench.tuning.cells import Table
    from normbench.tuning.choice import Choice


_log = logging.getLogger(__name__)


@click.command("studies")
@click.argument("study", required=False)
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the full report of STUDY into DIR.",
)
@json_option
@common_options(store=True)
@click.pass_obj
def command(invocation: Invocation, study: str | None, folder: Path | None, as_json: bool) -> None:
    """Show the studies of a store, or one of them in full.

    STUDY is the beginning of a name that the list shows. Nothing is trained.
    """
    from normbench.tuning import read_study
    from normbench.tuning.choice import choice_of

    if folder is not None and study is None:
        raise click.UsageError(
            "--report needs a STUDY, from the list that normbench studies shows."
        )
    store = invocation.open_store()
    if study is None:
        found, left = _read_all(store)
    else:
        read = read_study(store, study)
        found, left = [(read, choice_of(store, read))], []
    if as_json:
        contents = [_content(*each, full=study is not None) for each in found]
        print_json(contents if study is None else contents[0])
    elif study is None:
        _print_list(found, left)
    else:
        _print_study(*found[0])
    if folder is not None:
        write(*found[0], folder)


def _read_all(store: RunStore) -> tuple[list[tuple[Study, Choice]], list[str]]:
    """Return all studies and what they chose, and the names of those that cannot be read."""
    from normbench.tuning import read_study, studies
    from normbench.tuning.choice import choice_of

    found, left = [], []
    for name in studies(store):
        try:
            study = read_study(store, name)
            found.append((study, choice_of(store, study)))
        except StoreError as error:
            _log.warning("study %s is left out: %s", name[:8], error)
            left.append(name[:8])
    return found, left


def _print_list(found: Sequence[tuple[Study, Choice]], left: Sequence[str]) -> None:
    from normbench.tables import score
    from normbench.tuning.commands import trial_words
    from normbench.tuning.methods import find_method

    if left and not found:
        click.echo(f"Left out, since they cannot be read: study {', '.join(left)}")
        return
    if not found:
        click.echo("no studies. Make one with: normbench tune PROBLEM OPTIMIZER")
        return
    rows = []
    for study, choice in found:
        edge = "*" if choice.edges else ""
        winner = " ".join(trial_words(choice.winner.values)) + edge if choice.winner else "none"
        best = study.best.score if study.best else None
        rows.append(
            (
                study.id[:8],
                study.problem,
                study.norm_label,
                study.optimizer,
                " ".join((study.protocol, *study.deviations)),
                str(study.space),
                find_method(study.method).label,
                f"{sum(trial.complete for trial in study.trials)} of {len(study.trials)}",
                score(best, study.metric.name),
                winner,
                choice.known,
            )
        )
    columns = ("study", "problem", "norm", "optimizer", "protocol", "space", "method", "trials")
    found_columns = ("best validation", "winner", "setting")
    print_table((*columns, *found_columns), rows, right=("best validation",), names=("study",))
    if any(choice.edges for _, choice in found):
        print_text("* at an edge of what was searched; see: normbench studies STUDY")


def _content(study: Study, choice: Choice, *, full: bool) -> dict[str, Any]:
    """Return the study, with its report as far as trials have ended if that is wanted in full."""
    from normbench.tuning.summary import summarize
    from normbench.tuning.tables import study_as_dict

    ended = full and any(trial.complete for trial in study.trials)
    content = summarize(study).to_dict() if ended else study_as_dict(study)
    return content | choice.to_dict()


def _print_study(study: Study, choice: Choice) -> None:
    from normbench.tuning import tables

    print_text(tables.headline(study), rest="  ")
    print_table(
        tables.columns(study),
        tables.best_rows(study, len(study.trials)),
        right=tables.numeric_columns(study),
    )
    click.echo()
    for line in tables.closing(study):
        print_text(line)
    for line in choice.lines:
        click.echo(line)
    if study.best is not None:
        from normbench.tuning.report import report_tables

        print_report_tables(report_tables(study))


def print_report_tables(found: Sequence[Table]) -> None:
    """Print tables of a report with what is said below each."""
    for table in found:
        click.echo()
        print_table(table.columns, table.rows, title=table.title, right=table.right)
        for note in table.notes:
            print_text(note)


def write(study: Study, choice: Choice, folder: Path) -> None:
    """Write the report of *study* into *folder* and say which files that made."""
    from normbench.tuning.report import write_report

    for path in write_report(study, folder, choice):
        click.echo(f"wrote {path}", err=True)
