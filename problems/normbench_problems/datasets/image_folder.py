"""Reading a dataset that is a folder of images, with a subfolder for each class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from normbench import Data, DataError, DataRequest, Dataset, Part, check_files

SUFFIXES = (".jpeg", ".jpg", ".png")


def read(dataset: Dataset, request: DataRequest) -> Data:
    """Return the paths of the images below *dataset*'s two folders, and their classes.

    Classes are numbered in the order of their folders' names, images come in the order of theirs.

    Args:
        dataset: Its files are the folders of the train and of the test part; it says how many
            classes and images there are.
        request: Where they are. Nothing is fetched.

    Raises:
        DataError: If a folder is missing, or holds other numbers of classes or images.
    """
    if request.download:
        raise DataError(f"dataset {dataset.name} cannot be fetched by normbench. {dataset.by_hand}")
    check_files(dataset, request.folder)
    train, test = (request.folder / file.path for file in dataset.files)
    classes = _classes(train)
    for folder in (train, test):
        _check(dataset, folder, "classes", len(_classes(folder)), dataset.classes)
        if _classes(folder) != classes:
            raise DataError(
                f"dataset {dataset.name}: {folder} and {train} hold folders of different names; "
                f"expected one for each class, of the same names. {dataset.by_hand}"
            )
    parts = _part(train, classes), _part(test, classes)
    for folder, part, size in zip(
        (train, test), parts, (dataset.train_size, dataset.test_size), strict=True
    ):
        _check(dataset, folder, "images", len(part), size)
    return Data(*parts)


def _check(dataset: Dataset, folder: Path, what: str, found: int, expected: int) -> None:
    if found != expected:
        raise DataError(
            f"dataset {dataset.name}: {folder} holds {found} {what}; expected {expected}. "
            f"{dataset.by_hand}"
        )


def _classes(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())


def _part(folder: Path, classes: list[str]) -> Part:
    paths: list[str] = []
    targets: list[int] = []
    for number, name in enumerate(classes):
        images = _images(folder / name)
        paths += images
        targets += [number] * len(images)
    return Part(np.array(paths, dtype=str), np.array(targets, dtype=np.int64))


def _images(folder: Path) -> list[str]:
    names = (entry.name for entry in os.scandir(folder) if entry.is_file())
    return [str(folder / name) for name in sorted(names) if name.lower().endswith(SUFFIXES)]
