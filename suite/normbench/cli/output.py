"""How commands print: tables for people, aligned text for pipes, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

_MOST_LAID_OUT = 500


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
) -> None:
    """Print a table; columns that are empty in every row are left out.

    Args:
        columns: Headings.
        rows: Cells, as many in each row as there are columns.
        title: Printed above.
        right: Headings of the columns to align on the right.
    """
    kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    headings = [columns[i] for i in kept]
    cells = [[row[i] for i in kept] for row in rows]
    # Laying out thousands of rows to fit takes longer than anyone reads.
    if sys.stdout.isatty() and len(cells) <= _MOST_LAID_OUT:
        _print_rich(headings, cells, title, right)
    else:
        _print_aligned(headings, cells, title, right)


def print_fields(fields: Mapping[str, str], indent: str = "") -> None:
    """Print name and value in two columns, leaving empty values out."""
    shown = {name: value for name, value in fields.items() if value}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        first, *rest = value.splitlines()
        click.echo(f"{indent}{name:<{width}}  {first}")
        for line in rest:
            click.echo(f"{indent}{'':<{width}}  {line}")


def _print_rich(
    headings: Sequence[str], rows: Sequence[Sequence[str]], title: str, right: Sequence[str]
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout).print(table)


def _print_aligned(
    headings: Sequence[str], rows: Sequence[Sequence[str]], title: str, right: Sequence[str]
) -> None:
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    if title:
        click.echo(title)
    for line in lines:
        cells = [
            f"{cell:>{width}}" if heading in right else f"{cell:<{width}}"
            for heading, cell, width in zip(headings, line, widths, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


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
