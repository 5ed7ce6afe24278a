"""Which tables of a store have been shown with verdicts: ``shown.jsonl``.

A reference, or more seeds, may be chosen after looking. What a store can know of that is when a
table or report first gave a row a verdict, from how many pairs, and against which reference. One
line is written for each that shows something new, so showing it again writes nothing. Whoever
cannot write the store leaves no line, and nothing fails.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from normbench.store.fields import LATEST
from normbench.store.files import from_json, read_bytes, to_json

SHOWN_FILE = "shown.jsonl"
SCHEMA = 1


class Shown(NamedTuple):
    """A table that gave a row its first verdict.

    Attributes:
        at: When, in Unix seconds.
        name: What the table was asked for by: a problem, or a suite.
        reference: Row that it was compared with.
        pairs: Seeds that both had; of the reference itself all that it had.
    """

    at: float
    name: str
    reference: str
    pairs: int


def add_shown(root: Path, at: float, name: str, reference: str, rows: Mapping[str, int]) -> bytes:
    """Write that a table was shown, and return what was added to the file.

    Args:
        root: Folder of the store.
        at: When, in Unix seconds.
        name: What it was asked for by.
        reference: Row that it was compared with.
        rows: Pairs of each row that had not been shown before.
    """
    content = {"schema": SCHEMA, "at": at, "name": name, "reference": reference, "rows": rows}
    # The first line break ends what a process left that died while it wrote.
    line = b"\n" + to_json(content, indent=None)
    # A store that only others may write is read without leaving a trace.
    with contextlib.suppress(OSError):
        descriptor = os.open(root / SHOWN_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            return line[: os.write(descriptor, line)]
        finally:
            os.close(descriptor)
    return b""


def read_shown(root: Path) -> dict[str, tuple[Shown, ...]]:
    """Return by which tables each row was shown, the oldest first.

    Lines that are torn, or hold something else, are left out.

    Raises:
        StoreError: If the file cannot be read.
    """
    found: dict[str, list[Shown]] = {}
    for line in _lines(read_bytes(root / SHOWN_FILE) or b""):
        for row, pairs in line["rows"].items():
            shown = Shown(float(line["at"]), line["name"], line["reference"], int(pairs))
            found.setdefault(row, []).append(shown)
    return {row: tuple(sorted(tables)) for row, tables in found.items()}


def bring_shown(source: Path, target: Path) -> None:
    """Add the lines of another store that *target* lacks."""
    here = {to_json(line) for line in _lines(read_bytes(target / SHOWN_FILE) or b"")}
    for line in _lines(read_bytes(source / SHOWN_FILE) or b""):
        if to_json(line) not in here:
            add_shown(target, line["at"], line["name"], line["reference"], line["rows"])


def _lines(data: bytes) -> Iterable[dict[str, Any]]:
    for line in data.split(b"\n"):
        try:
            content = from_json(line)
        except ValueError:
            continue
        if content.get("schema") == SCHEMA and _whole(content):
            yield content


def _whole(line: Mapping[str, Any]) -> bool:
    """Whether a *line* has all that :func:`add_shown` writes."""
    at, rows = line.get("at"), line.get("rows")
    return (
        isinstance(at, int | float)
        and 0 <= at < LATEST
        and all(isinstance(line.get(name), str) for name in ("name", "reference"))
        and isinstance(rows, dict)
        and all(isinstance(pairs, int) for pairs in rows.values())
    )
