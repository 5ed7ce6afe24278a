"""Tests of a precision: ``STORE/verified/<id>.json``, and what tables have to know of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import normbench
from normbench.errors import DamagedFileError
from normbench.store.files import explained, open_folder, read_versioned, to_json, write_whole
from normbench.store.layout import VERIFIED_FOLDER, list_names

SCHEMA = 1
TESTED = "bf16"  # the precision whose rows are labelled until a test is passed
_ENDING = ".json"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """A test that was carried out whole.

    Attributes:
        id: Its name in the store.
        table: What rows share that it speaks of, see :func:`normbench.comparable.comparable`.
        precision: The one in question.
        against: The one it was held against.
        verdict: ``equivalent``, ``different`` or ``no evidence``.
        small: Whether it was smaller than the full test.
        norm: The norm of its runs, as tables show it.
        optimizers: Their optimizers, by name.
        hardware: Number of its runs by device.
        versions: Number of its runs by versions of packages.
        content: All that is stored.
    """

    id: str
    table: str
    precision: str
    against: str
    verdict: str
    small: bool
    norm: str
    optimizers: tuple[str, ...]
    hardware: Mapping[str, int]
    versions: Mapping[str, int]
    content: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """Whether it is a passed full test."""
        return self.verdict == "equivalent" and not self.small


def write_verification(root: Path, name: str, content: Mapping[str, Any]) -> Path:
    """Write a test to the store in the folder *root*, in the place of an older one of its name.

    Raises:
        StoreError: If it cannot be written.
    """
    path = root / VERIFIED_FOLDER / f"{name}{_ENDING}"
    whole = {"schema": SCHEMA, "written_by": normbench.__version__, "id": name, **content}
    with explained("write", path):
        path.parent.mkdir(exist_ok=True)
        with open_folder(path.parent) as folder:
            write_whole(path.name, to_json(whole), folder=folder)
    return path


def read_verifications(root: Path) -> list[Verification]:
    """Return all tests of the store in the folder *root*, by name.

    Raises:
        StoreError: If one is damaged or cannot be read, or a newer normbench wrote it.
    """
    folder = root / VERIFIED_FOLDER
    names = sorted(name for name in list_names(folder) if name.endswith(_ENDING))
    found = (_read(folder / name) for name in names if not name.startswith("."))
    return [each for each in found if each is not None]


def precision_in(table: str) -> str:
    """Return the precision of rows if it is ``bf16``; else that or nothing.

    Args:
        table: What the rows share, see :func:`normbench.comparable.comparable`.
    """
    if TESTED not in table:
        return ""  # thousands of rows need not be parsed for it
    return str(json.loads(table).get("protocol", {}).get("precision", ""))


def precision_label(table: str, tests: Iterable[Verification]) -> str:
    """Return what a table puts beside a row; empty unless it is bf16 without a passed full test.

    Args:
        table: What the row shares with others, see :func:`normbench.comparable.comparable`.
        tests: Those of the store.
    """
    if precision_in(table) != TESTED or any(t.passed for t in tests if t.table == table):
        return ""
    return f"{TESTED} not verified"


def _read(path: Path) -> Verification | None:
    content = read_versioned(path, SCHEMA)
    if content is None:
        return None
    try:
        return Verification(
            **{name: str(content[name]) for name in ("id", "table", "precision", "against")},
            verdict=str(content["verdict"]),
            small=bool(content["small"]),
            norm=str(content["norm"]),
            optimizers=tuple(content["optimizers"]),
            hardware=dict(content["hardware"]),
            versions=dict(content["versions"]),
            content=content,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(
            f"{path} is damaged ({type(error).__name__}: {error}). Delete it, and test again: the "
            "runs are kept.",
            path,
        ) from error
