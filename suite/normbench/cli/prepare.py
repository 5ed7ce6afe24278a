"""``normbench prepare``: fetch and check the data of problems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from normbench.cli import complete, output
from normbench.cli.options import Invocation, common_options, json_option
from normbench.descriptions import Dataset, Problem
from normbench.errors import NormbenchError, unknown_name

if TYPE_CHECKING:
    from normbench.plugins import Catalogue


@click.command("prepare")
@click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="PROBLEM|DATASET...",
    shell_complete=complete.names_of("dataset", "problem"),
)
@json_option
@common_options(data=True)
@click.pass_obj
def command(invocation: Invocation, names: tuple[str, ...], as_json: bool) -> None:
    """Fetch and check the data of problems.

    Files that are there with the right MD5 stay as they are; only what is missing or corrupt is
    downloaded.
    """
    from normbench.places import data_folder

    datasets = {dataset.name: dataset for dataset in datasets_of(invocation.catalogue, names)}
    folder = data_folder(invocation.data_dir)
    records = [prepare_dataset(dataset, folder) for dataset in datasets.values()]
    if as_json:
        output.print_json(records)
        return
    for record in records:
        click.echo(f"{record['dataset']}: {record['state']}")
        for file in record["files"]:
            click.echo(f"  {file['path']}  {output.size(file['bytes'])}")


def datasets_of(catalogue: Catalogue, names: tuple[str, ...]) -> list[Dataset]:
    """Return the dataset of each name, be it a problem's or a dataset's."""
    problems, datasets = catalogue.names(Problem), catalogue.names(Dataset)
    found = []
    for name in names:
        if name not in problems and name not in datasets:
            raise unknown_name("problem or dataset", name, {*problems, *datasets})
        wanted = name if name in datasets else catalogue.get(Problem, name).dataset
        found.append(catalogue.get(Dataset, wanted))
    return found


def prepare_dataset(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Fetch what *dataset* lacks and return what there is then."""
    from normbench.data import check_files, missing_files

    missing = missing_files(dataset, folder)
    if missing:
        _download(dataset, folder)
        check_files(dataset, folder)
    state = f"fetched {len(missing)} of {len(dataset.files)} files" if missing else "complete"
    files = [folder / file.path for file in dataset.files]
    return {
        "dataset": dataset.name,
        "state": state if files else "needs no files",
        "files": [{"path": str(file), "bytes": file.stat().st_size} for file in files],
    }


def _download(dataset: Dataset, folder: Path) -> None:
    from normbench.data import DataRequest

    if dataset.download_size:
        click.echo(f"{dataset.name}: fetching {output.size(dataset.download_size)}", err=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        dataset.load()(DataRequest(folder, download=True))
    except (OSError, RuntimeError) as error:
        raise NormbenchError(
            f"dataset {dataset.name} could not be fetched into {folder}: {error}. Try again, or "
            "copy the files there from a machine that has them."
        ) from error
