"""Datasets: what they return, and how they refuse missing, truncated and corrupt files."""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10, CIFAR100

from normbench import DataError, DataFile, DataRequest, Dataset
from normbench_problems.datasets import official_files, table
from normbench_problems.datasets.digits import digits
from normbench_problems.datasets.digits import test_indices as indices_of_test
from normbench_problems.datasets.fmnist import FashionMNIST

CONTENT = b"six images"


@pytest.fixture(scope="module")
def digit_data(tmp_path_factory):
    """Return the digits."""
    return digits(DataRequest(tmp_path_factory.mktemp("empty")))


def test_digits_parts(digit_data):
    """Digits are uint8 in steps of 15, with int64 targets and the sizes of the table."""
    for part, size in ((digit_data.train, 1438), (digit_data.test, 359)):
        assert (size, 8, 8, 1) == part.inputs.shape
        assert (np.uint8, np.int64) == (part.inputs.dtype, part.targets.dtype)
        assert list(range(0, 241, 15)) == np.unique(part.inputs).tolist()


def test_digits_are_scikit_learns(digit_data):
    """Image by image, though its file is read without importing it."""
    images, labels = load_digits(return_X_y=True)
    test = indices_of_test(labels)

    assert (15 * images[test] == digit_data.test.inputs.reshape(-1, 64)).all()
    assert (labels[test] == digit_data.test.targets).all()
    assert (15 * np.delete(images, test, 0) == digit_data.train.inputs.reshape(-1, 64)).all()


def test_digits_split_is_stratified(digit_data):
    """The test part holds a fifth of each digit, rounded, and shares no image with train."""
    train, test = (np.bincount(part.targets) for part in (digit_data.train, digit_data.test))

    assert [round(0.2 * total) for total in train + test] == test.tolist()


def test_digits_split_is_fixed(digit_data):
    """The split is the same for good."""
    digest = hashlib.sha256(digit_data.test.inputs.tobytes() + digit_data.test.targets.tobytes())
    assert "e98651f0c8b18bb6" == digest.hexdigest()[:16]


def test_digits_statistics(digit_data):
    """The table's mean and standard deviation are those of the train pixels."""
    pixels = digit_data.train.inputs / 255
    assert pytest.approx(table.DIGITS.mean[0], abs=5e-5) == pixels.mean()
    assert pytest.approx(table.DIGITS.std[0], abs=5e-5) == pixels.std()


@pytest.mark.parametrize(("dataset", "reader"), [("CIFAR10", CIFAR10), ("CIFAR100", CIFAR100)])
def test_checksums_are_torchvisions(dataset, reader):
    """The table lists the files of torchvision's class with their checksums."""
    meta = [reader.meta["filename"], reader.meta["md5"]]
    expected = {
        f"{reader.base_folder}/{name}": md5
        for name, md5 in [*reader.train_list, *reader.test_list, meta]
    }
    assert expected == {file.path: file.md5 for file in getattr(table, dataset).files}


def _dataset(content: bytes = CONTENT) -> Dataset:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    files = (DataFile(path="toy/data", md5=md5, size=len(content)),)
    return Dataset(name="toy", summary="", shape=(1, 2, 1), files=files)


class _Reader:
    """Reads toy files as torchvision's classes do; fetching writes them, or fails."""

    failure: Exception | None = None

    def __init__(self, root: Path, *, train: bool, download: bool = False) -> None:
        file = root / "toy/data"
        if download and self.failure is not None:
            raise self.failure
        if download and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(CONTENT)
        count = 3 if train else 2
        self.data = np.zeros((count, 1, 2), dtype=np.uint8)
        self.targets = list(range(count))


def _write(folder: Path, content: bytes) -> Path:
    file = folder / "toy/data"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return file


def test_parts_have_the_datasets_shape(tmp_path):
    """Parts come as (N, height, width, channels) with int64 targets."""
    _write(tmp_path, CONTENT)

    data = official_files.read(_dataset(), DataRequest(tmp_path), _Reader, "toy.org")

    assert ((3, 1, 2, 1), (2, 1, 2, 1)) == (data.train.inputs.shape, data.test.inputs.shape)
    assert np.int64 == data.train.targets.dtype
    assert [0, 1] == data.test.targets.tolist()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "is missing"), (CONTENT[:4], "4 bytes instead of 10"), (b"SIX images", "is corrupt")],
)
def test_bad_files_are_refused(content, reason, tmp_path):
    """A missing, truncated or corrupt file is named with its checksum and the command to run."""
    if content is not None:
        _write(tmp_path, content)

    with pytest.raises(DataError, match=reason) as caught:
        official_files.read(_dataset(), DataRequest(tmp_path), _Reader, "toy.org")

    message = str(caught.value)
    assert str(tmp_path / "toy/data") in message
    assert _dataset().files[0].md5 in message
    assert f"normbench prepare toy --data-dir {tmp_path}" in message


@pytest.mark.parametrize("dataset", [table.FMNIST, table.CIFAR10, table.CIFAR100])
def test_official_datasets_check_their_folder(dataset, tmp_path):
    """Each official dataset names the first file missing from an empty folder."""
    with pytest.raises(DataError, match="is missing") as caught:
        dataset.load()(DataRequest(tmp_path))
    assert str(tmp_path / dataset.files[0].path) in str(caught.value)


@pytest.mark.parametrize("content", [None, CONTENT[:4], CONTENT])
def test_download_replaces_what_is_bad(content, tmp_path):
    """Fetching writes what is missing and replaces what is corrupt."""
    if content is not None:
        _write(tmp_path, content)

    data = official_files.read(_dataset(), DataRequest(tmp_path, download=True), _Reader, "toy.org")

    assert 3 == len(data.train)
    assert CONTENT == (tmp_path / "toy/data").read_bytes()


@pytest.mark.parametrize("failure", [URLError("no route to host"), RuntimeError("no mirror left")])
def test_failed_download_names_cause_and_remedy(failure, tmp_path, monkeypatch):
    """Without a network the error gives the cause and what to do by hand."""
    monkeypatch.setattr(_Reader, "failure", failure)

    with pytest.raises(DataError, match=r"no (route to host|mirror left)") as caught:
        official_files.read(_dataset(), DataRequest(tmp_path, download=True), _Reader, "toy.org")

    assert "by hand" in str(caught.value)
    assert "toy.org" in str(caught.value)
    assert str(tmp_path / "toy/data") in str(caught.value)


def _idx(values: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


def test_fmnist_reads_idx_files(tmp_path):
    """Fashion-MNIST's raw files are read by torchvision, and old unchecked copies are not."""
    images = np.arange(2 * 28 * 28).reshape(2, 28, 28) % 256
    files = []
    for file in table.FMNIST.files:
        path = tmp_path / file.path
        content = _idx(images if "images" in file.path else images[:, 0, 0])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        files.append(DataFile(path=file.path, md5=md5))
    for old in ("training.pt", "test.pt"):
        (tmp_path / "FashionMNIST/processed").mkdir(exist_ok=True)
        (tmp_path / "FashionMNIST/processed" / old).write_bytes(b"not a tensor")

    data = official_files.read(
        replace(table.FMNIST, files=tuple(files)), DataRequest(tmp_path), FashionMNIST, ""
    )

    assert np.array_equal(images[..., None], data.test.inputs)
    assert np.uint8 == data.test.inputs.dtype
    assert images[:, 0, 0].tolist() == data.train.targets.tolist()


@pytest.fixture(scope="module")
def official() -> Path:
    """Return the folder of the official files."""
    folder = os.environ.get("NORMBENCH_DATA")
    if not folder:
        pytest.skip("NORMBENCH_DATA does not name a folder with the official files")
    return Path(folder)


def _statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel in [0, 1], from counts of grey levels."""
    channels = np.moveaxis(images, -1, 0).reshape(images.shape[-1], -1)
    shares = np.stack([np.bincount(values, minlength=256) for values in channels]) / len(
        channels[0]
    )
    levels = np.arange(256) / 255
    mean = shares @ levels
    return mean, np.sqrt(shares @ levels**2 - mean**2)


@pytest.mark.real_data
@pytest.mark.parametrize("dataset", [table.FMNIST, table.CIFAR10, table.CIFAR100])
def test_official_parts(dataset, official):
    """The official files give the sizes of the table, balanced classes and its statistics."""
    data = dataset.load()(DataRequest(official))

    sizes = {"train": dataset.train_size, "test": dataset.test_size}
    for name, size in sizes.items():
        part = getattr(data, name)
        assert (size, *dataset.shape) == part.inputs.shape
        assert (np.uint8, np.int64) == (part.inputs.dtype, part.targets.dtype)
        assert [size // dataset.classes] * dataset.classes == np.bincount(part.targets).tolist()
    if dataset.name != "fmnist":
        mean, std = _statistics(data.train.inputs)
        assert pytest.approx(dataset.mean, abs=1e-8) == mean
        assert pytest.approx(dataset.std, abs=1e-8) == std


@pytest.mark.real_data
def test_worst_score_of_the_autoencoder(official):
    """The autoencoder's worst score is the test loss of decoding every pixel to 1/2."""
    from normbench_problems.table import FMNIST_VAE

    images = table.FMNIST.load()(DataRequest(official)).test.inputs / 255
    grey = ((images - 0.5) ** 2).sum((1, 2, 3)).mean()

    assert pytest.approx(FMNIST_VAE.metric.worst, abs=1e-3) == grey
