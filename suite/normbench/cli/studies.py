"""``normbench studies``: what was tuned in a store, and the report of one study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from normbench.cli.options import Invocation, common_options, json_option
from normbench.cli.output import print_json, print_table

if TYPE_CHECKING:
    from normbench.tuning import Study


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
    from normbench.tuning import read_study, studies
    from normbench.tuning.tables import study_as_dict

    if folder is not None and study is None:
        raise click.UsageError(
            "--report needs a STUDY, from the list that normbench studies shows."
        )
    store = invocation.open_store()
    names = studies(store) if study is None else [study]
    found = [read_study(store, name) for name in names]
    if as_json:
        contents = [study_as_dict(each) for each in found]
        print_json(contents if study is None else _content(found[0]))
    elif study is None:
        _print_list(found)
    else:
        _print_study(found[0])
    if folder is not None:
        _write(found[0], folder)


def _print_list(found: list[Study]) -> None:
    from normbench.tables import score
    from normbench.tuning.methods import find_method

    if not found:
        click.echo("no studies. Make one with: normbench tune PROBLEM OPTIMIZER")
        return
    rows = []
    for study in found:
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
            )
        )
    columns = ("study", "problem", "norm", "optimizer", "protocol", "space", "method", "trials")
    print_table((*columns, "best validation"), rows, right=("best validation",))


def _content(study: Study) -> dict[str, Any]:
    """Return the study with its report, as far as trials have ended."""
    from normbench.tuning.summary import summarize
    from normbench.tuning.tables import study_as_dict

    ended = any(trial.complete for trial in study.trials)
    return summarize(study).to_dict() if ended else study_as_dict(study)


def _print_study(study: Study) -> None:
    from normbench.tuning import tables

    click.echo(tables.headline(study))
    print_table(
        tables.columns(study),
        tables.best_rows(study, len(study.trials)),
        right=tables.numeric_columns(study),
    )
    click.echo()
    for line in tables.closing(study):
        click.echo(line)
    if study.best is not None:
        from normbench.tuning.report import report_lines

        click.echo()
        for line in report_lines(study):
            click.echo(line)


def _write(study: Study, folder: Path) -> None:
    from normbench.tuning.report import write_report

    for path in write_report(study, folder):
        click.echo(f"wrote {path}", err=True)
