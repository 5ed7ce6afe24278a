"""What datasets hand to the engine, and where they look for their files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normbench.descriptions import DataFile, Dataset
from normbench.errors import DataError


@dataclass(frozen=True)
class Part:
    """Examples and what is to be predicted of them.

    Attributes:
        inputs: uint8 (N, height, width, channels) for images, float (N, features) for tables, int64
            (N,) for the tokens of a text, str (N,) for the paths of files.
        targets: int64 (N,) classes, or whatever the task expects, first dimension N. For a text the
            token that follows.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.inputs)

    def take(self, indices: NDArray[np.int64]) -> Part:
        """Return the examples at *indices*, in their order."""
        return Part(self.inputs[indices], self.targets[indices])


@dataclass(frozen=True)
class Data:
    """The official parts of a dataset."""

    train: Part
    test: Part


@dataclass(frozen=True)
class DataRequest:
    """Where a dataset's files are, and whether they may be fetched.

    Attributes:
        folder: The data folder; each dataset's files lie below it as torchvision lays them out.
        download: Whether missing files may be downloaded.
    """

    folder: Path
    download: bool = False


def check_files(dataset: Dataset, folder: Path, problem: str = "") -> None:
    """Check that every file of *dataset* lies in *folder* with its expected MD5.

    Raises:
        DataError: Naming the first file that is missing or corrupt, the MD5 expected, and the
            command that fetches it.
    """
    for file in dataset.files:
        reason = _defect(folder / file.path, file)
        if reason:
            expected = f"; expected MD5 {file.md5}" if file.md5 else ""
            fetch = f"Fetch it with: normbench prepare {problem or dataset.name}"
            raise DataError(
                f"dataset {dataset.name}: {folder / file.path} {reason}{expected}. "
                f"{dataset.by_hand or f'{fetch} --data-dir {folder}'}"
            )


def missing_files(dataset: Dataset, folder: Path) -> Sequence[Path]:
    """Return the files of *dataset* that are missing or corrupt in *folder*."""
    return [folder / file.path for file in dataset.files if _defect(folder / file.path, file)]


def absent_files(dataset: Dataset, folder: Path) -> Sequence[Path]:
    """Return the files of *dataset* that are not in *folder* at their size; reads none of them."""
    return [folder / file.path for file in dataset.files if not _is_there(folder / file.path, file)]


def _is_there(path: Path, file: DataFile) -> bool:
    if file.path.endswith("/"):
        return path.is_dir()
    return path.is_file() and file.size in (0, path.stat().st_size)


def _defect(path: Path, file: DataFile) -> str:
    """Return what is wrong with a data file, or nothing."""
    if file.path.endswith("/"):
        return "" if path.is_dir() else "is missing, a folder"
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if file.size and size != file.size:
        return f"is corrupt: {size} bytes instead of {file.size}"
    if not file.md5:
        return ""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
    return "" if digest.hexdigest() == file.md5 else f"is corrupt: MD5 {digest.hexdigest()}"
