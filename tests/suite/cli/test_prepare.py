"""What ``normbench prepare`` fetches and checks, with a dataset that is made on the spot."""

from __future__ import annotations

import hashlib
import json

import pytest

CONTENT = b"all there is to learn"
PLUGIN = f"""
from normbench import DataError, DataFile, Dataset, hookimpl

FILE = DataFile(path="tiny/data.bin", md5="{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}", size={len(CONTENT)})

def load(request):
    path = request.folder / FILE.path
    if OUTAGE:
        raise OSError("the server is down")
    if not request.download:
        raise AssertionError("asked to read, not to fetch")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes({CONTENT!r})

@hookimpl
def normbench_datasets():
    return [
        Dataset(name="tiny", summary="one file", factory=load, files=(FILE,), download_size=21),
        Dataset(name="made_up", summary="no file", factory=load),
    ]
"""  # noqa: E501


@pytest.fixture
def tiny(plugin_file):
    """A plugin file with a dataset that can be fetched."""
    return plugin_file(f"OUTAGE = False\n{PLUGIN}")


def test_missing_files_are_fetched_once(invoke, tiny, tmp_path):
    """The first call fetches and shows path and size, the second finds everything there."""
    words = ("prepare", "tiny", "--data-dir", tmp_path / "data", "--plugin", tiny)
    first, second = invoke(*words), invoke(*words)
    path = tmp_path / "data" / "tiny" / "data.bin"

    assert f"tiny: fetched 1 of 1 files\n  {path}  21 B\n" == first.stdout
    assert f"tiny: complete\n  {path}  21 B\n" == second.stdout
    assert CONTENT == path.read_bytes()


def test_corrupt_file_is_fetched_again(invoke, tiny, tmp_path):
    """A file with another MD5 is replaced."""
    path = tmp_path / "tiny" / "data.bin"
    path.parent.mkdir()
    path.write_bytes(CONTENT[::-1])
    words = ("prepare", "tiny", "--data-dir", tmp_path, "--plugin", tiny, "--json")
    record = json.loads(invoke(*words).stdout)[0]

    assert CONTENT == path.read_bytes()
    assert {"path": str(path), "bytes": len(CONTENT)} == record["files"][0]


def test_dataset_without_files_needs_nothing(invoke, tiny, tmp_path):
    """A generated or embedded dataset is ready as it is."""
    done = invoke("prepare", "made_up", "--data-dir", tmp_path, "--plugin", tiny)

    assert "made_up: needs no files\n" == done.stdout


def test_problem_stands_for_its_dataset(invoke, tmp_path):
    """A problem's name prepares its dataset, once even if named twice."""
    done = invoke("prepare", "digits_cnn", "digits_cnn_bn", "--data-dir", tmp_path)

    assert "digits: needs no files\n" == done.stdout


def test_outage_is_explained(invoke, plugin_file, tmp_path):
    """A failed download ends with exit code 1, its reason and what to do."""
    file = plugin_file(f"OUTAGE = True\n{PLUGIN}")
    done = invoke("prepare", "tiny", "--data-dir", tmp_path, "--plugin", file)

    assert 1 == done.exit_code
    assert "the server is down" in done.stderr
    assert str(tmp_path) in done.stderr


def test_unknown_name_is_refused(invoke):
    """A name that is neither problem nor dataset is an error with the nearest one."""
    done = invoke("prepare", "digts")

    assert 2 == done.exit_code
    assert "Did you mean 'digits'?" in done.stderr
