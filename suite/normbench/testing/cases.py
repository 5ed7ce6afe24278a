"""A problem with all its parts at hand, and a batch of examples for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from normbench.descriptions import Dataset, Network, Problem
from normbench.parameters import Value, checked
from normbench.places import data_folder
from normbench.plugins import Catalogue, load_catalogue
from normbench.tasks import Batch, Task
from normbench.testing.datasets import DatasetCase

BATCH = 2


@dataclass(frozen=True)
class ProblemCase:
    """A problem with its dataset and network looked up."""

    problem: Problem
    dataset: Dataset
    network: Network
    folder: Path

    @property
    def parameters(self) -> Mapping[str, Value]:
        """All parameters of the network, as the problem sets them."""
        owner = f"problem {self.problem.name}"
        return checked(self.network.parameters, self.problem.network_parameters, owner)

    def task(self) -> Task:
        """Return the task."""
        task: Task = self.problem.load()()
        return task


def problem_case(
    problem: Problem, catalogue: Catalogue | None = None, folder: Path | None = None
) -> ProblemCase:
    """Return *problem* together with its dataset and network.

    Args:
        problem: The description.
        catalogue: Where they are looked up; None for all that is installed.
        folder: Where data files may lie; None for the default data folder.

    Raises:
        UsageError: If there is no dataset or network of the name.
    """
    known = load_catalogue() if catalogue is None else catalogue
    return ProblemCase(
        problem,
        known.get(Dataset, problem.dataset),
        known.get(Network, problem.network),
        data_folder(folder),
    )


def batch_of(case: ProblemCase) -> Batch | None:
    """Return a batch of real examples where they are at hand, else of made-up ones, or nothing."""
    dataset = case.dataset
    if not dataset.files and dataset.content != "tokens":
        return _real_batch(case)
    if not dataset.classes:
        return None
    if dataset.content == "tokens":
        inputs, targets = torch.randint(dataset.classes, (2, BATCH, *dataset.shape))
        return Batch(inputs, targets)
    targets = torch.randint(dataset.classes, (BATCH,))
    values = torch.randn(BATCH, *dataset.shape)
    return Batch(values if dataset.content == "table" else values.permute(0, 3, 1, 2), targets)


def _real_batch(case: ProblemCase) -> Batch | None:
    data = DatasetCase(case.dataset, case.folder).load()
    if data is None:
        return None
    inputs = torch.from_numpy(data.train.inputs[:BATCH])
    targets = torch.from_numpy(data.train.targets[:BATCH])
    if case.dataset.content == "table":
        return Batch(inputs, targets)
    mean, std = torch.tensor(case.dataset.mean), torch.tensor(case.dataset.std)
    return Batch(((inputs / 255 - mean) / std).permute(0, 3, 1, 2), targets)
