"""War and Peace by Leo Tolstoi in English, as one long text of characters.

DeepOBS: A Deep Learning Optimizer Benchmark Suite. Schneider, Balles, Hennig. ICLR 2019,
arXiv:1903.05499. The text is Project Gutenberg's number 2600.
"""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

from normbench import Data, DataError, DataRequest, Dataset, Part, check_files
from normbench_problems.datasets import streamed_table

ADDRESS = (
    "https://github.com/AllenDowney/fluent-python-notebooks/raw/master/attic/sequences/"
    "war-and-peace.txt"
)
TEXT = "tolstoi/input.txt"
TEST_SHARE = 0.2
# What DeepOBS cuts out, in lines from 1, each after the cuts before it: the licence at the front,
# the table of contents, the licence at the end.
CUTS = ((1, 29), (5, 775), (63_850, 64_207))

Codes = NDArray[np.int64]


def tolstoi(request: DataRequest) -> Data:
    """Return train and test part as codes of characters, and the codes that follow, int64 (N,).

    A text of N + 1 characters gives N examples. The files are DeepOBS's own, ``tolstoi/train.npy``
    and ``tolstoi/test.npy``. With ``request.download`` they are made where they are missing: from
    ``tolstoi/input.txt``, the book as DeepOBS cuts it, or from the book fetched and cut.

    Raises:
        DataError: If a file is missing, or holds another text.
    """
    dataset: Dataset = streamed_table.TOLSTOI
    if request.download:
        _prepare(dataset, request.folder)
    check_files(dataset, request.folder)
    train, test = (_read(request.folder / file.path) for file in dataset.files)
    _check(dataset, request.folder, train, test)
    return Data(train=_part(train), test=_part(test))


def encode(text: str) -> tuple[Codes, Codes]:
    """Return the codes of the train and of the test part, the last fifth of *text*.

    The most frequent character is 0, the next one 1; of equally frequent ones the first that occurs
    comes first.
    """
    ranked = [character for character, _ in Counter(text).most_common()]
    code = {character: number for number, character in enumerate(ranked)}
    codes = np.fromiter((code[character] for character in text), np.int64, len(text))
    first = int(np.ceil((1.0 - TEST_SHARE) * len(codes)))
    return codes[:first], codes[first:]


def cut(text: str) -> str:
    """Return the book without what is not Tolstoi's, by DeepOBS's line numbers."""
    lines = text.split("\n")
    for first, last in CUTS:
        del lines[first - 1 : last]
    return "\n".join(lines)


def _prepare(dataset: Dataset, folder: Path) -> None:
    try:
        check_files(dataset, folder)
    except DataError:
        file = folder / TEXT
        # Line ends stay as they are in the file: the carriage return is one of the 83 characters.
        text = file.read_bytes().decode() if file.is_file() else cut(_fetch(dataset, folder))
        parts = encode(text)
        _check(dataset, folder, *parts)
        for part, codes in zip(dataset.files, parts, strict=True):
            _write(folder / part.path, codes)


def _fetch(dataset: Dataset, folder: Path) -> str:
    try:
        with urlopen(ADDRESS) as answer:
            content: bytes = answer.read()
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"dataset {dataset.name}: fetching {ADDRESS} failed: {type(error).__name__}: {error}. "
            f"Without a network, put DeepOBS's input.txt at {folder / TEXT}, or its train.npy and "
            f"test.npy beside it, and try again."
        ) from error


def _write(file: Path, codes: Codes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, codes)
    part = file.with_suffix(".part")
    part.write_bytes(buffer.getvalue())
    part.replace(file)


def _read(file: Path) -> Codes:
    try:
        codes = np.load(file)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{file} is corrupt: {error}. Delete it, then: normbench prepare tolstoi --data-dir "
            f"{file.parents[1]}"
        ) from error
    return np.asarray(codes, dtype=np.int64).reshape(-1)


def _check(dataset: Dataset, folder: Path, train: Codes, test: Codes) -> None:
    """Refuse a text of another length or alphabet, whose results would not compare."""
    found = (len(train), len(test), len(np.union1d(train, test)))
    expected = (dataset.train_size + 1, dataset.test_size + 1, dataset.classes)
    if found != expected:
        raise DataError(
            f"dataset {dataset.name}: the text in {folder / TEXT} or its train.npy and test.npy "
            f"has {found[0]} train and {found[1]} test characters, {found[2]} different ones; "
            f"expected {expected[0]}, {expected[1]} and {expected[2]}. Delete these files, then: "
            f"normbench prepare tolstoi --data-dir {folder}"
        )


def _part(codes: Codes) -> Part:
    return Part(codes[:-1], codes[1:])
