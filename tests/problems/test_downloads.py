"""Data that is fetched: torchvision's own code, over HTTP, from a server on this machine."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from normbench import DataError, DataFile, DataRequest, Dataset
from normbench_problems.datasets import official_files

FOLDER = CIFAR10.base_folder


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


PIXELS = np.random.default_rng(0).integers(0, 256, (6, 2, 3072), dtype=np.uint8)


def _files() -> dict[str, bytes]:
    """Return tiny files in CIFAR-10's format: five batches of two images, a test batch, names."""
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    batches = {name: {"data": PIXELS[i], "labels": [i, 9 - i]} for i, name in enumerate(names)}
    contents = batches | {"batches.meta": {"label_names": list("0123456789")}}
    return {name: pickle.dumps(content) for name, content in contents.items()}


def _archive(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path):
    """Serve a folder on this machine; gives the folder and its address."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # torchvision hangs up on its first request
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz"
        server.shutdown()


def _reader(url: str, files: dict[str, bytes], archive: bytes) -> type[CIFAR10]:
    """Return torchvision's class for *files* at *url*; nothing of its code is replaced."""
    sums = [[name, _md5(content)] for name, content in files.items()]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums[-1][1]}
    parts = {"train_list": sums[:5], "test_list": sums[5:6], "meta": meta}
    return type("Tiny", (CIFAR10,), {"url": url, "tgz_md5": _md5(archive), **parts})


def _described(files: dict[str, bytes]) -> Dataset:
    described = tuple(
        DataFile(path=f"{FOLDER}/{name}", md5=_md5(content), size=len(content))
        for name, content in files.items()
    )
    return Dataset(name="tiny", summary="", shape=(32, 32, 3), files=described)


def test_missing_files_are_fetched_unpacked_and_checked(site, tmp_path):
    """What is fetched over HTTP is read image by image as it was packed."""
    folder, url = site
    files = _files()
    archive = _archive(files)
    (folder / "cifar-10-python.tar.gz").write_bytes(archive)

    request = DataRequest(tmp_path / "data", download=True)
    data = official_files.read(_described(files), request, _reader(url, files, archive), url)

    assert (10, 2) == (len(data.train), len(data.test))
    assert [5, 4] == data.test.targets.tolist()
    planes = PIXELS[5].reshape(2, 3, 32, 32)
    np.testing.assert_array_equal(planes.transpose(0, 2, 3, 1), data.test.inputs)


def test_files_that_are_there_are_not_fetched_again(site, tmp_path):
    """With every file in place nothing is asked of a server, here one that has nothing."""
    _, url = site
    files = _files()
    target = tmp_path / "data" / FOLDER
    target.mkdir(parents=True)
    for name, content in files.items():
        (target / name).write_bytes(content)

    request = DataRequest(tmp_path / "data", download=True)
    data = official_files.read(_described(files), request, _reader(url, files, b""), url)

    assert 10 == len(data.train)


@pytest.mark.parametrize("served", [None, b"an error page"])
def test_what_a_server_gives_instead_is_no_data(served, site, tmp_path):
    """A missing archive, or another one, ends in an error that names the address."""
    folder, url = site
    files = _files()
    if served is not None:
        (folder / "cifar-10-python.tar.gz").write_bytes(served)
    reader = _reader(url, files, _archive(files))

    with pytest.raises(DataError, match="fetching its files") as caught:
        official_files.read(_described(files), DataRequest(tmp_path, download=True), reader, url)

    assert url in str(caught.value)
    assert isinstance(caught.value.__cause__, HTTPError | RuntimeError)
