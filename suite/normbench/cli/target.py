"""Where a leaderboard goes, and in which format: ``--format`` and ``--output``."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normbench.cli.logs import check_folder
from normbench.errors import NormbenchError, UsageError

if TYPE_CHECKING:
    from normbench.leaderboard.formats import Section

_F = TypeVar("_F", bound=Callable[..., Any])
_FORMATS = ("table", "md", "latex", "csv", "json", "html")
_BRIEF = ("table", "md")
_OTHER_NAMES = {"tex": "latex"}
_SUFFIXES: Mapping[str, str] = {
    ".html": "html",
    ".md": "md",
    ".tex": "latex",
    ".csv": "csv",
    ".json": "json",
    ".txt": "table",
}


class _Format(click.Choice[str]):
    """A format, by either of its names where it has two."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the format that *value* names."""
        return super().convert(_OTHER_NAMES.get(value, value), param, ctx)


@dataclass(frozen=True)
class Target:
    """What ``--format`` and ``--output`` said.

    Attributes:
        shape: The format.
        file: Where to write to; None for standard output.
        brief: Whether notes are left out.
    """

    shape: str
    file: Path | None = None
    brief: bool = False


def target_options(function: _F) -> _F:
    """Add ``--format`` and ``--output``, passed to the command as *target*."""

    @wraps(function)
    def command(*args: Any, shape: str | None, output: Path | None, **choices: Any) -> Any:
        return function(*args, target=target_of(shape, output), **choices)

    shape_option = click.option(
        "--format",
        "shape",
        type=_Format(_FORMATS),
        help="Default table, or what the ending of --output says; json and csv have every number "
        "unrounded, html is a page with figures.",
    )
    output_option = click.option(
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"Write to this file; its ending, {', '.join(_SUFFIXES)}, decides the format.",
    )
    return shape_option(output_option(command))  # type: ignore[return-value]


def brief_option(function: _F) -> _F:
    """Add ``--brief``, which becomes part of *target*."""

    @wraps(function)
    def command(*args: Any, target: Target, brief: bool, **choices: Any) -> Any:
        if brief and target.shape not in _BRIEF:
            raise UsageError(
                f"--brief leaves notes out, which {target.shape} always has: expected --format "
                f"{' or '.join(_BRIEF)}. Leave --brief out, or choose one of these."
            )
        return function(*args, target=replace(target, brief=brief), **choices)

    option = click.option(
        "--brief",
        is_flag=True,
        help="Only the tables and what each comes to in a sentence, without notes.",
    )
    return option(command)  # type: ignore[return-value]


def target_of(shape: str | None, output: Path | None) -> Target:
    """Return where to and how to write, checked before anything is computed.

    Raises:
        UsageError: If the ending of *output* says no format and *shape* is none, or *output* is a
            folder or in a missing one.
    """
    if output is None:
        return Target(shape or "table")
    if output.is_dir():
        raise UsageError(f"--output {output} is a folder: expected a file, such as board.html.")
    if shape is None and output.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"--output {output}: expected a name that ends in {', '.join(_SUFFIXES)}, or --format "
            "beside it."
        )
    check_folder("--output", output)
    return Target(shape or _SUFFIXES[output.suffix.lower()], output)


@dataclass(frozen=True)
class Drawn:
    """Sections in one format.

    Attributes:
        shape: The format.
        text: The whole text; for a table, its parts as JSON, for they are laid out where they go.
    """

    shape: str
    text: str

    def print(self) -> None:
        """Print it, tables in the width of the terminal."""
        if self.shape == "table":
            _print_parts(json.loads(self.text))
        else:
            click.echo(self.text)


def draw(
    sections: Sequence[Section], target: Target, links: Mapping[str, str] | None = None
) -> Drawn:
    """Return *sections* in a format.

    Args:
        sections: What to show.
        target: The format, and whether notes are left out.
        links: Addresses by the fingerprint of a row or a run, for formats that have links.
    """
    from normbench.leaderboard.formats import FORMATS, LINKING

    shape = target.shape
    if target.brief:
        from normbench.leaderboard.brief import brief_sections

        sections = brief_sections(sections)
    if shape != "table":
        more = {"links": links or {}} if shape in LINKING else {}
        return Drawn(shape, FORMATS[shape](sections, **more))
    parts = [
        {
            "head": each.head,
            "sheets": [vars(sheet) for sheet in each.sheets if sheet.rows],
            "lines": dict(each.lines),
        }
        for each in sections
    ]
    return Drawn(shape, json.dumps(parts, ensure_ascii=False))


def deliver(drawn: Drawn, target: Target) -> None:
    """Print what was *drawn*, or write it to the file and print where it is.

    Raises:
        NormbenchError: If the file cannot be written; then it is as it was.
    """
    from normbench.cli.output import size

    if target.file is None:
        drawn.print()
        return
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        drawn.print()
    content = stream.getvalue().encode()
    _write(target.file, content)
    click.echo(f"{target.file}: {target.shape}, {size(len(content))}")


def _write(path: Path, content: bytes) -> None:
    """Let a file appear whole; what is no file, such as a pipe, is written to as it is."""
    from normbench.store.files import open_folder, write_whole

    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        # The file that a link leads to is replaced, not the link.
        whole = path.resolve()
        with open_folder(whole.parent) as folder:
            write_whole(whole.name, content, folder=folder)
    except OSError as error:
        raise NormbenchError(
            f"{path} cannot be written: {os.strerror(error.errno or 0)}. Write elsewhere with "
            "--output FILE."
        ) from error


def _print_parts(parts: Sequence[Mapping[str, Any]]) -> None:
    """Print sections as tables for people."""
    from normbench.cli.output import print_table, print_text

    for number, part in enumerate(parts):
        click.echo("\n" if number else "", nl=False)
        for sentence in part["head"]:
            print_text(sentence)
            click.echo()
        for sheet in part["sheets"]:
            print_table(**sheet)
            click.echo()
        for introduction, lines in part["lines"].items():
            _print_lines(introduction, lines)


def _print_lines(introduction: str, lines: Sequence[str]) -> None:
    from normbench.cli.output import print_text

    if lines:
        click.echo(introduction)
    for line in lines:
        print_text(line, first="- ", rest="  ")
