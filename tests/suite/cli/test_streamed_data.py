"""Commands on texts and on folders of image files, whose checksums nobody knows."""

from __future__ import annotations

import pytest


def test_prepare_says_how_to_get_imagenet(invoke, tmp_path):
    """What cannot be fetched ends with what to do by hand, and claims no download."""
    result = invoke("prepare", "imagenet", "--data-dir", tmp_path)

    assert 0 != result.exit_code
    assert "image-net.org" in result.stderr
    assert "fetching" not in result.stderr


def test_prepare_finds_imagenet(invoke, tmp_path):
    """With both folders there, nothing is left to do."""
    for part in ("train", "val"):
        (tmp_path / "imagenet" / part).mkdir(parents=True)

    result = invoke("prepare", "imagenet_resnet18", "--data-dir", tmp_path)

    assert (0, "imagenet: complete") == (result.exit_code, result.stdout.splitlines()[0])


def test_describe_shows_no_checksum_where_none_is_known(invoke):
    """Folders and files without MD5 are listed by their paths alone."""
    shown = invoke("describe", "imagenet").stdout + invoke("describe", "tolstoi").stdout

    assert all(path in shown for path in ("imagenet/train/", "imagenet/val/", "tolstoi/test.npy"))
    assert "MD5" not in shown


@pytest.mark.parametrize("problem", ["tolstoi_char_rnn", "imagenet_resnet18"])
def test_bench_refuses_what_its_plain_loop_cannot_read(problem, invoke, tmp_path):
    """Texts and files have no counterpart in the plain loop."""
    result = invoke("bench", problem, "--data-dir", tmp_path)

    assert 0 != result.exit_code
    assert "Time another problem" in result.stderr


@pytest.mark.parametrize(
    ("problem", "path", "mend"),
    [
        ("tolstoi_char_rnn", "tolstoi/train.npy", "normbench prepare tolstoi_char_rnn"),
        ("imagenet_resnet18", "imagenet/train", "Get ILSVRC2012_img_train.tar"),
    ],
)
def test_missing_data_ends_before_a_run_starts(problem, path, mend, invoke, tmp_path):
    """A missing text or folder is named with what helps, and no store is made."""
    words = ("--data-dir", tmp_path, "--store", tmp_path / "store")
    result = invoke("run", problem, "sgd", *words)

    assert 0 != result.exit_code
    assert f"{tmp_path / path} is missing" in result.stderr
    assert mend in result.stderr
    assert not list((tmp_path / "store").glob("**/spec.json"))
