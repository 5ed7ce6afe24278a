"""How commands print: tables for people, aligned text for pipes, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from normbench.cli import layout

NAMES = ("problem", "norm", "optimizer", "protocol", "setting")
_OFTEN_ALIKE = ("metric", "deviations", "epochs", "state", "origin")
_TEXT_WIDTH = 98


def print_json(content: Any) -> None:
    """Print *content* as strict JSON."""
    click.echo(json.dumps(plain(content), indent=1, allow_nan=False, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Return *value* in the types that JSON has; code is named by its place."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if callable(value):
        return f"{value.__module__}:{value.__qualname__}"
    return value


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    right: Sequence[str] = (),
    names: Sequence[str] = NAMES,
) -> None:
    """Print a table; columns that are empty in every row are left out.

    On a terminal it fits the width; elsewhere every row is one line.

    Args:
        columns: Headings.
        rows: Cells, as many in each row as there are columns.
        title: Printed above.
        right: Headings of the columns to align on the right.
        names: Headings of the columns that say what a row is, and stand in each part of a table
            that is too wide. What several rows all say stands above the table once, if it is
            of a cell or setting; without *names* nothing does.
    """
    width = _terminal_width()
    alike = _alike(columns, rows, (*NAMES, *_OFTEN_ALIKE) if names else ())
    kept = [i for i in range(len(columns)) if i not in alike and any(row[i] for row in rows)]
    shared = ", ".join(f"{columns[i]} {rows[0][i]}" for i in alike)
    for line in filter(None, (title, shared)):
        click.echo(line if math.isinf(width) else layout.wrapped(line, width, rest="  "))
    cells = [[row[i] for i in kept] for row in rows]
    table = layout.Table([columns[i] for i in kept], cells, right, names)
    for number, part in enumerate(layout.lay_out(table, width)):
        lines = [*(styled(line, bold=True) for line in part.head), *part.body]
        click.echo("\n".join(["", *lines] if number else lines))


def print_text(text: str, *, first: str = "", rest: str = "", err: bool = False) -> None:
    """Print sentences in lines that are not too long to read.

    Args:
        text: The sentences.
        first: Before the first line.
        rest: Before each other line.
        err: Whether to standard error.
    """
    click.echo(layout.wrapped(text, text_width(), first=first, rest=rest), err=err)


def text_width() -> int:
    """Return the longest line of sentences."""
    return int(min(_terminal_width(), _TEXT_WIDTH))


def print_fields(fields: Mapping[str, str], indent: str = "") -> None:
    """Print name and value in two columns, leaving empty values out."""
    filled = {name: value for name, value in fields.items() if value}
    width = max(map(len, filled), default=0)
    rest = f"{indent}{'':<{width}}  "
    for name, value in filled.items():
        print_text(value, first=f"{indent}{name:<{width}}  ", rest=rest)


def _alike(
    columns: Sequence[str], rows: Sequence[Sequence[str]], lifted: Sequence[str]
) -> list[int]:
    """Return which of the *lifted* columns say the same in each of several rows."""
    filled = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    same = [i for i in filled if columns[i] in lifted and len({row[i] for row in rows}) == 1]
    return same if len(rows) > 1 and len(same) < len(filled) else []


def _terminal_width() -> float:
    """Return how wide the terminal is; infinite if standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf


def styled(text: str, **style: Any) -> str:
    """Return *text* in bold or in colour for terminals that want it; elsewhere click undoes it."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else click.style(text, **style)


def shown(value: Any) -> str:
    """Return a value as it would be typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(shown(item) for item in value)
    return str(value)


def size(count: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
