"""A report as values: chapters of tables, sentences, figures and commands. No format yet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normbench.leaderboard.formats import Section
from normbench.leaderboard.sheets import Sheet

_LONGEST_NAME = 120


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawn figure.

    Attributes:
        name: Name of its file, without ending.
        caption: What it shows, in a sentence or two.
        svg: The drawing, see :func:`normbench.plots.svg`.
    """

    name: str
    caption: str
    svg: str


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part of a report.

    Attributes:
        section: Its heading, tables, sentences and commands.
        figures: What it shows beside those that pages draw of what the section is about.
    """

    section: Section
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole report.

    Attributes:
        title: What stands above all.
        intro: Sentences below the title.
        chapters: What follows.
        illustrated: Whether the chapters have the figures that pages draw of sections, too.
    """

    title: str
    intro: tuple[str, ...]
    chapters: tuple[Chapter, ...]
    illustrated: bool = False


def file_name(text: str) -> str:
    """Return *text* as the name of a file: letters, digits, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:_LONGEST_NAME]


def chapter(
    title: str,
    sheets: Sequence[Sheet] = (),
    lines: Mapping[str, Sequence[str]] | None = None,
    *,
    figures: Sequence[Figure] = (),
    commands: Sequence[str] = (),
) -> Chapter:
    """Return a chapter of tables and sentences of its own; captions of the tables are kept."""
    told = {name: texts for name, texts in (lines or {}).items() if texts}

    def record() -> dict[str, Any]:
        tables = [{"columns": sheet.columns, "rows": sheet.rows} for sheet in sheets]
        return {"title": title, "tables": tables, "lines": told}

    def flat() -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        return (sheets[0].columns, sheets[0].rows) if sheets else ((), ())

    # A section is headed by its first table's title, which would no longer be a caption.
    head = Sheet((), (), title=title)
    section = Section(
        title=title,
        sheets=(head, *sheets),
        lines=told,
        record=record,
        flat=flat,
        commands=tuple(commands),
    )
    return Chapter(section=section, figures=tuple(figures))
