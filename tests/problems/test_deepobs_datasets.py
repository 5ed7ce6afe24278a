"""Datasets whose files are not at hand, read from small files of the same format."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from torchvision import datasets

from normbench import DataError, DataFile, DataRequest, check_files
from normbench_problems.datasets import streamed_table, table, tolstoi
from normbench_problems.datasets.imagenet import imagenet
from normbench_problems.datasets.mnist import mnist
from normbench_problems.datasets.svhn import svhn
from normbench_problems.datasets.tolstoi import cut, encode

GENERATOR = np.random.default_rng(0)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _replaced(name, folder, monkeypatch, **changes):
    """Let the table describe the files in *folder* by their own checksums."""
    dataset = getattr(table, name)
    files = [
        DataFile(path=file.path, md5=_md5((folder / file.path).read_bytes()))
        for file in dataset.files
    ]
    dataset = replace(dataset, files=tuple(files), **changes)
    monkeypatch.setattr(table, name, dataset)
    return dataset


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def test_mnist_reads_idx_files(tmp_path, monkeypatch):
    """The four raw files give uint8 images with one channel and their digits."""
    images = GENERATOR.integers(0, 256, (4, 28, 28), dtype=np.uint8)
    for file in table.MNIST.files:
        count = 4 if "train" in file.path else 3
        values = images[:count] if "images" in file.path else np.arange(count, dtype=np.uint8)
        header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
        _write(tmp_path / file.path, header + values.tobytes())
    _replaced("MNIST", tmp_path, monkeypatch)

    data = mnist(DataRequest(tmp_path))

    assert np.array_equal(images[..., None], data.train.inputs)
    assert [0, 1, 2] == data.test.targets.tolist()
    assert (np.uint8, np.int64) == (data.test.inputs.dtype, data.test.targets.dtype)


def test_svhn_reads_matlab_files(tmp_path, monkeypatch):
    """Images come with channels last, and the label 10 is the digit 0."""
    images = GENERATOR.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    labels = np.array([[1], [10], [9], [10], [3]], dtype=np.uint8)
    (tmp_path / "SVHN").mkdir()
    for file, count in zip(table.SVHN.files, (5, 3), strict=True):
        content = {"X": images[:count].transpose(1, 2, 3, 0), "y": labels[:count]}
        scipy.io.savemat(tmp_path / file.path, content)
    dataset = _replaced("SVHN", tmp_path, monkeypatch)
    parts = zip(("train", "test"), dataset.files, strict=True)
    known = {part: ["", Path(file.path).name, file.md5] for part, file in parts}
    monkeypatch.setattr(datasets.SVHN, "split_list", known)

    data = svhn(DataRequest(tmp_path))

    assert np.array_equal(images, data.train.inputs)
    assert [1, 0, 9, 0, 3] == data.train.targets.tolist()
    assert (3, 3) == (len(data.test), len(data.test.targets))


def test_svhn_checksums_are_torchvisions():
    """The table lists train and test file of torchvision's class, and not the extra one."""
    lists = [datasets.SVHN.split_list[part] for part in ("train", "test")]
    expected = {f"SVHN/{name}": md5 for _, name, md5 in lists}
    assert expected == {file.path: file.md5 for file in table.SVHN.files}


def _write_folder(folder: Path, train: int = 3, test: int = 2, classes: str = "ab") -> None:
    for part, count in (("train", train), ("val", test)):
        for name in classes:
            for number in range(count):
                _write(folder / "imagenet" / part / name / f"{name}_{number}.JPEG", b"")
    _write(folder / "imagenet/train/a/notes.txt", b"not an image")


@pytest.fixture
def two_classes(monkeypatch):
    """Let ImageNet have two classes of three train and two test images."""
    small = replace(streamed_table.IMAGENET, classes=2, train_size=6, test_size=4)
    monkeypatch.setattr(streamed_table, "IMAGENET", small)


def test_imagenet_lists_files_by_class(two_classes, tmp_path):
    """Paths come in the order of their names, classes are numbered by their folders' names."""
    _write_folder(tmp_path)

    data = imagenet(DataRequest(tmp_path))

    names = [Path(path).name for path in data.train.inputs]
    assert [f"{name}_{number}.JPEG" for name in "ab" for number in range(3)] == names
    assert [0, 0, 0, 1, 1, 1] == data.train.targets.tolist()
    assert [0, 0, 1, 1] == data.test.targets.tolist()
    assert all(Path(path).is_file() for path in data.test.inputs)
    assert "U" == data.train.inputs.dtype.kind


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"train": 2}, "train holds 4 images; expected 6"),
        ({"test": 1}, "val holds 2 images; expected 4"),
        ({"classes": "abc"}, "train holds 3 classes; expected 2"),
    ],
)
def test_incomplete_imagenet_is_refused(counts, message, two_classes, tmp_path):
    """Another number of images or classes is named, with where to get the archives."""
    _write_folder(tmp_path, **counts)

    with pytest.raises(DataError, match=message) as caught:
        imagenet(DataRequest(tmp_path))
    assert "ILSVRC2012_img_train.tar" in str(caught.value)


def test_imagenet_of_other_classes_is_refused(two_classes, tmp_path):
    """Train and validation images must be of the same classes."""
    _write_folder(tmp_path)
    (tmp_path / "imagenet/val/b").rename(tmp_path / "imagenet/val/c")

    with pytest.raises(DataError, match="folders of different names"):
        imagenet(DataRequest(tmp_path))


def test_missing_imagenet_folder(tmp_path):
    """The folder is named with what to do by hand."""
    with pytest.raises(DataError, match=r"Get ILSVRC2012_img_train\.tar") as caught:
        imagenet(DataRequest(tmp_path))
    assert f"{tmp_path / 'imagenet/train'} is missing" in str(caught.value)
    assert "MD5" not in str(caught.value)
    with pytest.raises(DataError, match=r"cannot be fetched.*image-net\.org"):
        imagenet(DataRequest(tmp_path, download=True))


TEXT = "abacabad\r\nbe é\r\n" * 25


@pytest.fixture
def short_text(monkeypatch):
    """Let War and Peace have 400 characters, nine different ones."""
    small = replace(streamed_table.TOLSTOI, classes=9, train_size=319, test_size=79)
    monkeypatch.setattr(streamed_table, "TOLSTOI", small)
    return small


def test_tolstoi_makes_its_files_from_the_text(short_text, tmp_path):
    """From input.txt come DeepOBS's arrays, and from them codes and the codes that follow."""
    _write(tmp_path / tolstoi.TEXT, TEXT.encode())
    data = tolstoi.tolstoi(DataRequest(tmp_path, download=True))

    stored = [np.load(tmp_path / f"tolstoi/{name}.npy") for name in ("train", "test")]
    assert [320, 80] == [len(codes) for codes in stored]
    for codes, part in zip(stored, (data.train, data.test), strict=True):
        assert codes[:-1].tolist() == part.inputs.tolist()
        assert codes[1:].tolist() == part.targets.tolist()
    assert np.array_equal(data.test.inputs, tolstoi.tolstoi(DataRequest(tmp_path)).test.inputs)


def test_codes_follow_frequency():
    """The most frequent character is 0; of equally frequent ones the first is lower."""
    train, test = encode("abacabad\r\n")

    assert [0, 1, 0, 2, 0, 1, 0, 3] == train.tolist()
    assert [4, 5] == test.tolist()


def test_test_part_of_the_real_length():
    """The last fifth of the book's 3 266 185 characters is the 653 237 of the references."""
    train, test = encode("x" * 3_266_185)

    assert (streamed_table.TOLSTOI.train_size + 1, streamed_table.TOLSTOI.test_size + 1) == (
        len(train),
        len(test),
    )
    assert 653_237 == len(test)
    assert 1045 == streamed_table.TOLSTOI.train_size // (50 * 50)


def test_cuts_are_deepobs_lines():
    """Lines 1-29, then 5-775 of the rest, then 63850-64207 of what remains are left out."""
    lines = cut("\r\n".join(str(number) for number in range(1, 65_100))).split("\r\n")

    assert ["30", "31", "32", "33", "805"] == lines[:5]
    assert (str(63_849 + 800), str(63_849 + 800 + 359)) == (lines[63_848], lines[63_849])


def test_fetched_book_is_cut(short_text, tmp_path, monkeypatch):
    """Without input.txt the book is fetched and cut before it is encoded."""
    book = tmp_path / "book.txt"
    book.write_bytes(
        ("licence\n" * 29 + "".join(f"{c}\n" for c in "abab") + "index\n" * 771).encode()
    )
    monkeypatch.setattr(tolstoi, "ADDRESS", book.as_uri())

    with pytest.raises(DataError, match="has 7 train and 1 test characters, 3 different ones"):
        tolstoi.tolstoi(DataRequest(tmp_path, download=True))
    assert not (tmp_path / "tolstoi/train.npy").exists()


def test_unreachable_book(short_text, tmp_path, monkeypatch):
    """Without a network the message says which files to put where."""
    monkeypatch.setattr(tolstoi, "ADDRESS", (tmp_path / "nowhere").as_uri())

    with pytest.raises(DataError, match=r"failed: .*put DeepOBS's input\.txt at") as caught:
        tolstoi.tolstoi(DataRequest(tmp_path, download=True))
    assert str(tmp_path / "tolstoi/input.txt") in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not an array"])
def test_corrupt_array_is_named(content, short_text, tmp_path):
    """A file that is no array is named with the command that makes it anew."""
    for name in ("train", "test"):
        _write(tmp_path / f"tolstoi/{name}.npy", content)

    with pytest.raises(DataError, match=r"train\.npy is corrupt") as caught:
        tolstoi.tolstoi(DataRequest(tmp_path))
    assert f"normbench prepare tolstoi --data-dir {tmp_path}" in str(caught.value)


def test_missing_arrays(tmp_path):
    """Without files the first is named, without a checksum as none is known."""
    with pytest.raises(DataError, match=r"train\.npy is missing\. Fetch it with") as caught:
        check_files(streamed_table.TOLSTOI, tmp_path)
    assert "MD5" not in str(caught.value)


@pytest.mark.parametrize("dataset", [table.MNIST, table.SVHN])
def test_official_files_are_checked(dataset, tmp_path):
    """MNIST and SVHN name the first file missing from an empty folder."""
    with pytest.raises(DataError, match="is missing; expected MD5") as caught:
        dataset.load()(DataRequest(tmp_path))
    assert str(tmp_path / dataset.files[0].path) in str(caught.value)


def test_unmeasured_datasets_say_so():
    """What no official file has been read from is marked in summary and deviations."""
    marked = {d.name for d in table.DATASETS if any("nmeasured" in x for x in d.source.deviations)}

    assert {"mnist", "svhn", "imagenet", "tolstoi"} == marked
    assert marked == {d.name for d in table.DATASETS if d.summary.endswith("unmeasured")}
