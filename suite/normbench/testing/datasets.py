"""Checks of datasets: what they say of themselves, and what they load."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from normbench.data import Data, DataRequest, Part, missing_files
from normbench.descriptions import Dataset
from normbench.parameters import defaults
from normbench.places import data_folder
from normbench.testing import ranges
from normbench.testing.checking import Check, ContractError, Finding, findings, require


@dataclass(frozen=True)
class DatasetCase:
    """A dataset and the folder that its files may lie in."""

    dataset: Dataset
    folder: Path

    def load(self) -> Data | None:
        """Return the data, or None where files are missing."""
        if missing_files(self.dataset, self.folder):
            return None
        values = defaults(self.dataset.parameters)
        data = self.dataset.load()(DataRequest(self.folder), **values)
        if not isinstance(data, Data):
            raise ContractError(
                f"the factory returned {type(data).__name__}.",
                "a normbench.Data with the parts train and test.",
                "return Data(train=Part(inputs, targets), test=Part(inputs, targets)).",
            )
        return data


def describes_itself(case: DatasetCase) -> None:
    """A description has a name, a summary, the shape of an example and the sizes of both parts."""
    dataset = case.dataset
    ranges.describes_itself(dataset)
    ranges.takes_its_parameters(dataset)
    require(
        dataset.shape and dataset.train_size > 0 and dataset.test_size > 0,
        f"shape={dataset.shape}, train_size={dataset.train_size}, test_size={dataset.test_size}.",
        "the shape of one example and the official sizes.",
        "fill them in: plans and batches are made of them before data are read.",
    )
    channels = dataset.shape[-1] if dataset.content in ("images", "files") else 1
    require(
        len(dataset.mean) in (1, channels) and len(dataset.std) == len(dataset.mean),
        f"mean has {len(dataset.mean)} numbers, std {len(dataset.std)}, an example {channels} "
        "channels.",
        "one number for each channel, or one for all.",
        "give mean and std for each channel, in units of [0, 1].",
    )


def loads_what_it_says(case: DatasetCase) -> str | None:
    """Both parts have the sizes, shapes, types and classes that the description says."""
    data = case.load()
    if data is None:
        return f"its files are not in {case.folder}"
    dataset = case.dataset
    for name, part, size in (
        ("train", data.train, dataset.train_size),
        ("test", data.test, dataset.test_size),
    ):
        _require_part(dataset, name, part, size)
    return None


def loads_the_same_again(case: DatasetCase) -> str | None:
    """Two loads give the same examples in the same order."""
    if case.dataset.files:
        return "it reads files, which do not change"
    first, second = case.load(), case.load()
    same = (
        first is not None
        and second is not None
        and np.array_equal(first.train.inputs, second.train.inputs)
        and np.array_equal(first.test.targets, second.test.targets)
    )
    require(
        same,
        "two loads differ.",
        "the same examples in the same order: splits and orders refer to them by number.",
        "draw generated data from a generator with a fixed seed.",
    )
    return None


def _require_part(dataset: Dataset, name: str, part: Part, size: int) -> None:
    require(
        len(part.inputs) == len(part.targets) == size,
        f"the {name} part has {len(part.inputs)} inputs and {len(part.targets)} targets.",
        f"{size} of each, as the description says.",
        "correct the description, or what is read.",
    )
    if dataset.content in ("images", "table"):
        _require_inputs(dataset, name, part.inputs)
    if dataset.classes:
        low, high = int(part.targets.min()), int(part.targets.max())
        require(
            part.targets.dtype == np.int64 and low >= 0 and high < dataset.classes,
            f"the {name} targets are {part.targets.dtype} from {low} to {high}.",
            f"int64 from 0 to {dataset.classes - 1}.",
            "number the classes from 0: targets.astype(numpy.int64).",
        )


def _require_inputs(dataset: Dataset, name: str, inputs: Any) -> None:
    right = inputs.shape[1:] == dataset.shape
    right = right and (
        inputs.dtype == np.uint8 if dataset.content == "images" else inputs.dtype == np.float32
    )
    require(
        right,
        f"the {name} inputs have shape {inputs.shape} and type {inputs.dtype}.",
        f"(N, {', '.join(map(str, dataset.shape))}) of "
        f"{'uint8' if dataset.content == 'images' else 'float32'}.",
        "images are (N, height, width, channels) of uint8, tables (N, features) of float32.",
    )


DATASET_CHECKS: tuple[Check[DatasetCase], ...] = (
    Check(describes_itself),
    Check(loads_what_it_says),
    Check(loads_the_same_again),
)


def dataset_checks() -> tuple[Check[DatasetCase], ...]:
    """Return all checks of datasets, to call with a :class:`DatasetCase`."""
    return DATASET_CHECKS


def check_dataset(
    dataset: Dataset, folder: Path | None = None, *, skip: Collection[str] = ()
) -> list[Finding]:
    """Return what every check makes of *dataset*.

    Args:
        dataset: The description.
        folder: Where its files may lie; None for the default data folder.
        skip: Names of checks to leave out.

    Raises:
        UsageError: If a name to skip is none of the checks'.
    """
    case = DatasetCase(dataset, data_folder(folder))
    return findings(DATASET_CHECKS, case, dataset.kind, dataset.name, skip)
