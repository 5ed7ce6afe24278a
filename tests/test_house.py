"""What holds for the tree as a whole: imports point one way, documents tell the truth."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from normbench import hookspecs
from normbench.cli import cli
from normbench.cli.group import COMMANDS

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for root in ("suite", "plugins", "problems", "baselines")
    for path in (ROOT / root).rglob("*.py")
)
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def uses(path: Path, *packages: str) -> set[str]:
    """Return which of *packages* a file imports."""
    return {name.split(".")[0] for name in imported(path)} & set(packages)


def inside(path: Path, *parts: str) -> bool:
    """Whether a source lies under one of the folders or files named."""
    return any(path.is_relative_to(ROOT / part) for part in parts)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    """The harness knows no plugin, plugins know the public API alone, and only tracking MLflow."""
    suite = inside(path, "suite")
    if suite:
        assert not uses(path, "normbench_plugins", "normbench_problems", "normbench_baselines")
    else:
        private = {name for name in imported(path) if name.startswith("normbench.")}
        assert set() == private
    if not inside(path, "suite/normbench/tracking"):
        assert not uses(path, "mlflow")
    if path.name == "table.py" or inside(path, "baselines", "suite/normbench/store"):
        assert not uses(path, "torch", "numpy", "torchvision", "sklearn")


@pytest.mark.parametrize("package", ["engine", "store"])
def test_engine_and_store_do_not_know_each_other(package):
    """The engine writes to a sink; the store keeps what it is given."""
    other = {"engine": "normbench.store", "store": "normbench.engine"}[package]
    files = (ROOT / "suite" / "normbench" / package).glob("*.py")

    assert not [path for path in files for name in imported(path) if name.startswith(other)]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_states_its_fact(path):
    """Each test function has a docstring that ends like a sentence."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            docstring = ast.get_docstring(node) or ""
            assert docstring.endswith("."), node.name


def command_lines() -> list[str]:
    """Return the command lines of all fenced blocks of the documents."""
    blocks = [
        block
        for path in DOCUMENTS
        for block in re.findall(r"```\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    ]
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("normbench ")]


@pytest.mark.parametrize("line", command_lines())
def test_documented_command_line_is_understood(line):
    """Every command line in the documents has a command and options that exist."""
    _, name, *words = shlex.split(line)
    command = cli.get_command(click.Context(cli), name)

    assert command is not None
    with command.make_context(name, words, resilient_parsing=True) as context:
        assert name == context.info_name


def test_every_command_is_in_the_readme():
    """A command that the README does not mention is not found by anyone."""
    readme = DOCUMENTS[0].read_text(encoding="utf-8")
    visible = [name for name, entry in COMMANDS.items() if not entry.hidden]

    assert [] == [name for name in visible if f"normbench {name}" not in readme]


def test_every_hook_is_typed_and_documented():
    """The page of hooks is the contract: each returns something and says what it must be."""
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("normbench_")}

    assert len(hooks) >= 8
    for name, hook in hooks.items():
        assert "return" in hook.__annotations__, name
        assert len((hook.__doc__ or "").split()) > 5, name


def test_example_package_is_the_one_that_contributing_names():
    """The package to copy is where the documents say."""
    named = re.search(r"examples/[\w-]+", DOCUMENTS[1].read_text(encoding="utf-8"))

    assert named is not None
    assert (ROOT / named[0] / "pyproject.toml").is_file()


def test_no_file_mentions_a_place_of_its_authors():
    """Nothing in the tree names folders outside it or a package registry's host."""
    hosts = "|".join((r"pypi\.org", r"pythonhosted", r"npmjs\.", r"deb\.debian"))
    pattern = re.compile(rf"/work/|/root/|{hosts}")
    tracked = [
        *SOURCES,
        *DOCUMENTS,
        ROOT / "Makefile",
        ROOT / "pyproject.toml",
        ROOT / "CHANGELOG.md",
    ]

    assert [] == [str(p) for p in tracked if pattern.search(p.read_text(encoding="utf-8"))]
