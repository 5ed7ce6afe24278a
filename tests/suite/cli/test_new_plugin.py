"""``normbench new-plugin``: which names it takes, and that it never writes over anything."""

from __future__ import annotations

import ast
import tomllib

import pytest

from normbench.plugins import load_catalogue
from normbench.scaffold import KINDS

over_kinds = pytest.mark.parametrize("kind", KINDS)


@over_kinds
def test_every_file_is_filled_in(kind, invoke, tmp_path):
    """Python parses, TOML parses, and no template word is left."""
    done = invoke("new-plugin", "of_mine", f"--{kind}", "--to", tmp_path / "new")

    assert 0 == done.exit_code, done.stderr
    files = [path for path in (tmp_path / "new" / "normbench-of-mine").rglob("*") if path.is_file()]
    assert len(files) >= 6
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert "$" not in f"{file}{text}"
        if file.suffix == ".py":
            ast.parse(text)
        if file.suffix == ".toml":
            assert "normbench-of-mine" == tomllib.loads(text)["project"]["name"]


@over_kinds
def test_description_is_free_of_torch_and_offers_the_name(kind, invoke, tmp_path, monkeypatch):
    """What is asked at every listing imports only normbench, and offers what was asked for."""
    invoke("new-plugin", "of_mine", f"--{kind}", "--to", tmp_path)
    file = tmp_path / "normbench-of-mine" / "src" / "normbench_of_mine" / "plugin.py"
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    catalogue = load_catalogue([file])

    assert {"__future__", "collections.abc", "normbench"} == imported
    assert all("of_mine" in catalogue.names(offered) for offered in KINDS[kind])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("Of-Mine", "--norm"), "no name for a norm"),
        (("class", "--norm"), "no name for a norm"),
        (("batch_norm", "--norm"), "norm 'batch_norm' exists already"),
        (("adam", "--optimizer"), "optimizer 'adam' exists already"),
        (("digits", "--problem"), "dataset 'digits' exists already"),
        (("plugins", "--norm"), "would hide an installed one"),
        (("of_mine",), "expected one of --norm, --optimizer, --problem"),
    ],
)
def test_unfit_name_is_refused(words, message, invoke, tmp_path):
    """A name that is none, or taken, ends with 2 and the reason, and writes nothing."""
    done = invoke("new-plugin", *words, "--to", tmp_path / "new")

    assert 2 == done.exit_code
    assert message in done.stderr
    assert not (tmp_path / "new").exists()


def test_existing_folder_is_left_alone(invoke, tmp_path):
    """A second call changes no file of the first."""
    invoke("new-plugin", "of_mine", "--norm", "--to", tmp_path)
    readme = tmp_path / "normbench-of-mine" / "README.md"
    readme.write_text("mine")
    done = invoke("new-plugin", "of_mine", "--optimizer", "--to", tmp_path)

    assert 2 == done.exit_code
    assert "nothing in it was changed" in done.stderr
    assert "mine" == readme.read_text()
    assert ["normbench-of-mine"] == [path.name for path in tmp_path.iterdir()]
