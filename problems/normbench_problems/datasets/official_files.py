"""Reading a dataset's official files through torchvision, checked before they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from normbench import Data, DataError, DataRequest, Dataset, Part, check_files


def read(dataset: Dataset, request: DataRequest, reader: Callable[..., Any], source: str) -> Data:
    """Return the train and test parts that torchvision reads.

    Args:
        dataset: Describes the files expected in the request's folder.
        request: Where they are, and whether torchvision may fetch what is missing.
        reader: A torchvision dataset class with ``root``, ``train`` and ``download``.
        source: Address of the official files, for the message when fetching fails.

    Raises:
        DataError: If a file is missing or corrupt, or cannot be fetched.
    """
    if request.download:
        _remove_corrupt(dataset, request.folder)
        _fetch(dataset, request.folder, reader, source)
    check_files(dataset, request.folder)
    parts = (reader(root=request.folder, train=train) for train in (True, False))
    train, test = (_part(part, dataset.shape) for part in parts)
    return Data(train=train, test=test)


def _remove_corrupt(dataset: Dataset, folder: Path) -> None:
    """Remove files that are not the official ones; torchvision would take some for complete."""
    for file in dataset.files:
        try:
            check_files(replace(dataset, files=(file,)), folder)
        except DataError:
            (folder / file.path).unlink(missing_ok=True)


def _fetch(dataset: Dataset, folder: Path, reader: Callable[..., Any], source: str) -> None:
    try:
        reader(root=folder, train=True, download=True)
    except (OSError, RuntimeError, HTTPException) as error:
        first = folder / dataset.files[0].path
        raise DataError(
            f"dataset {dataset.name}: fetching its files into {folder} failed: "
            f"{type(error).__name__}: {error}. Without a network, unpack the files from {source} "
            f"by hand, so that {first} and its neighbours exist."
        ) from error


def _part(read_part: Any, shape: tuple[int, ...]) -> Part:
    images = np.ascontiguousarray(read_part.data).reshape(-1, *shape)
    return Part(images, np.asarray(read_part.targets, dtype=np.int64))
