"""Writing a new plugin package: names checked, templates filled in, the folder put in its place."""

from __future__ import annotations

import keyword
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from string import Template

from normbench.descriptions import Component, Dataset, Network, Norm, Optimizer, Problem
from normbench.errors import UsageError
from normbench.plugins import Catalogue
from normbench.store.files import explained

# What the package of each kind offers under its name.
KINDS: Mapping[str, tuple[type[Component], ...]] = {
    "norm": (Norm,),
    "optimizer": (Optimizer,),
    "problem": (Problem, Network, Dataset),
}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ENDING = ".txt"


def write_package(
    kind: str, name: str, parent: Path, catalogue: Catalogue, *, checks: bool = False
) -> Path:
    """Write the package ``normbench-NAME`` into *parent* and return its folder.

    It appears whole or not at all.

    Args:
        kind: ``norm``, ``optimizer`` or ``problem``.
        name: What it offers, in lower case with underscores.
        parent: Folder to write it into; made if it does not exist.
        catalogue: What there is already.
        checks: Whether its tests call ``normbench check-plugin``.

    Raises:
        UsageError: If the name does not fit or is taken, or the folder exists.
        StoreError: If it cannot be written.
    """
    module = f"normbench_{name}"
    _check_name(kind, name, module, catalogue)
    folder = parent / module.replace("_", "-")
    if folder.exists():
        raise UsageError(
            f"{folder} exists, and nothing in it was changed. Give another name, or another folder "
            "with --to DIR."
        )
    class_name = "".join(word.capitalize() for word in name.split("_"))
    words = {"name": name, "module": module, "class_name": class_name, "package": folder.name}
    with explained("write", folder):
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=parent) as temporary:
            prepared = Path(temporary) / folder.name
            for path, text in _files(kind, words, checks=checks):
                (prepared / path).parent.mkdir(parents=True, exist_ok=True)
                (prepared / path).write_text(text, encoding="utf-8")
            shutil.move(prepared, folder)
    return folder


def _check_name(kind: str, name: str, module: str, catalogue: Catalogue) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} is no name for a {kind}: expected lower-case letters, digits and "
            "underscores, a letter first, such as my_norm."
        )
    for offered in KINDS[kind]:
        if name in catalogue.names(offered):
            raise UsageError(
                f"{offered.kind} {name!r} exists already. Give another name; see: normbench list "
                f"{offered.kind}s"
            )
    if find_spec(module) is not None:
        raise UsageError(
            f"the package {module} of {name!r} would hide an installed one. Give another name."
        )


def _files(kind: str, words: Mapping[str, str], *, checks: bool) -> Iterator[tuple[Path, str]]:
    """Yield path and content of each file; a template's path is a template too."""
    templates = files("normbench.scaffold") / "templates"
    for folder in ("common", kind):
        for template, path in _templates(templates / folder, Path()):
            if checks or not path.name.endswith("_checks.py"):
                yield (
                    Path(Template(str(path)).substitute(words)),
                    Template(template.read_text(encoding="utf-8")).substitute(words),
                )


def _templates(folder: Traversable, path: Path) -> Iterator[tuple[Traversable, Path]]:
    """Yield the templates below *folder*, each with its path and without its ending."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _templates(entry, path / entry.name)
        elif entry.name.endswith(_ENDING):
            yield entry, path / entry.name.removesuffix(_ENDING)
