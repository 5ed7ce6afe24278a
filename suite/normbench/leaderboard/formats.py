"""Leaderboards as Markdown, LaTeX, CSV, JSON and HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from normbench.leaderboard.sheets import APART, Sheet
from normbench.leaderboard.strict_json import indented, strict

_TEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    APART: r"\textdagger{}",
}

# Columns that lead to a row where its address is known, the first that a table has.
_LINKED = ("row", "norm")

Lines = tuple[Sequence[str], Sequence[Sequence[Any]]]


@dataclass(frozen=True)
class Section:
    """A part of a report: a heading, its tables, and what stands below them.

    Attributes:
        title: Heading.
        sheets: Tables of text.
        lines: Sentences below, by what introduces them.
        record: Returns the same as plain values, unrounded.
        flat: Returns headings and lines of the same for CSV.
        about: What it shows, such as a board; pages draw figures of it.
        commands: Command lines to copy, which reports show below the rest.
        head: Sentences above the tables.
    """

    title: str
    sheets: tuple[Sheet, ...]
    lines: Mapping[str, Sequence[str]]
    record: Callable[[], Mapping[str, Any]]
    flat: Callable[[], Lines]
    about: object = None
    commands: tuple[str, ...] = ()
    head: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """Title of the first table, which says more than the section's own."""
        return self.sheets[0].title or self.title

    @property
    def shown(self) -> list[Sheet]:
        """The tables that have rows, without empty columns; the heading is not said twice."""
        filled = [sheet.without_empty() for sheet in self.sheets if sheet.rows]
        return [replace(s, title="") if s.title == self.heading else s for s in filled]


def as_json(sections: Sequence[Section]) -> str:
    """Return all numbers as strict JSON."""
    records = [strict(section.record()) for section in sections]
    return indented(records)


def as_csv(sections: Sequence[Section]) -> str:
    """Return one line for each row; missing numbers are empty, text that a sheet would run is not.

    The sections of one report share their headings; a section of others follows an empty line.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    headings: Sequence[str] = ()
    for section in sections:
        own, lines = section.flat()
        if own != headings:
            stream.write("\n" if headings else "")
            writer.writerow(own)
            headings = own
        writer.writerows([_tame(value) for value in line] for line in lines)
    return stream.getvalue().rstrip("\n")


def _tame(value: Any) -> Any:
    """Return *value*; a name that a spreadsheet would take for a formula gets a quote before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def as_markdown(sections: Sequence[Section], links: Mapping[str, str] | None = None) -> str:
    """Return headings, tables and lists in Markdown.

    Args:
        sections: The sections.
        links: Addresses of rows by fingerprint; the tables of boards lead to them.
    """
    parts = []
    for section in sections:
        rows = [entry.row.row for entry in getattr(section.about, "entries", ())]
        addresses = [(links or {}).get(row, "") for row in rows]
        parts.append(f"## {markdown_text(section.heading)}")
        parts += map(markdown_text, section.head)
        parts += [markdown_table(sheet, addresses) for sheet in section.shown]
        for introduction, lines in section.lines.items():
            if lines:
                listed = "\n".join(f"- {markdown_text(line)}" for line in lines)
                parts.append(f"{introduction}:\n\n{listed}")
    return "\n\n".join(parts)


def markdown_table(sheet: Sheet, addresses: Sequence[str] = ()) -> str:
    """Return a table in Markdown, its title above.

    Args:
        sheet: The table.
        addresses: Where each line leads, if all do; empty where one leads nowhere.
    """
    rule = ["---:" if column in sheet.right else "---" for column in sheet.columns]
    lines = [[markdown_text(cell) for cell in line] for line in (sheet.columns, *sheet.rows)]
    at = next((sheet.columns.index(name) for name in _LINKED if name in sheet.columns), None)
    if at is not None and len(addresses) == len(sheet.rows):
        for line, address in zip(lines[1:], addresses, strict=True):
            line[at] = f"[{line[at]}]({address})" if address else line[at]
    lines.insert(1, rule)
    caption = [f"{markdown_text(sheet.title)}\n"] if sheet.title else []
    return "\n".join([*caption, *(f"| {' | '.join(line)} |" for line in lines)])


def markdown_text(text: str) -> str:
    """Escape what Markdown would take for its own or for HTML."""
    plain = text.replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    for char in "|*[]":
        plain = plain.replace(char, f"\\{char}")
    return plain


def as_latex(sections: Sequence[Section]) -> str:
    r"""Return tables for ``booktabs``, what stands below as comments and notes."""
    return "\n\n".join(
        _latex_table(sheet, section) for section in sections for sheet in section.shown
    )


def _latex_table(sheet: Sheet, section: Section) -> str:
    spec = "".join("r" if column in sheet.right else "l" for column in sheet.columns)
    body = [" & ".join(map(_latex, line)) + r" \\" for line in (sheet.columns, *sheet.rows)]
    notes = [*section.head, *(line for lines in section.lines.values() for line in lines)]
    return "\n".join(
        [
            *(f"% {note}" for note in notes),
            r"\begin{table}",
            rf"\caption{{{_latex(sheet.title or section.heading)}}}",
            rf"\begin{{tabular}}{{{spec}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par {{\footnotesize {_latex(note)}}}" for note in _footnotes(sheet, notes)),
            r"\end{table}",
        ]
    )


def _footnotes(sheet: Sheet, notes: Sequence[str]) -> list[str]:
    """Return those of the *notes* that explain a mark in the cells of *sheet*."""
    marked = any(APART in cell for row in sheet.rows for cell in row)
    return [note for note in notes if marked and note.startswith(APART)]


def _latex(text: str) -> str:
    return "".join(_TEX.get(char, char) for char in text)


def as_html(sections: Sequence[Section], links: Mapping[str, str] | None = None) -> str:
    """Return a whole page, see :func:`normbench.leaderboard.page.leaderboard_page`."""
    # Imported here: the page shows sections.
    from normbench.leaderboard.page import leaderboard_page

    title = sections[0].title if len(sections) == 1 else "Leaderboard"
    return leaderboard_page(sections, links, title=title, contents=len(sections) > 2)


# Formats whose functions take addresses by the fingerprint of a row or a run, as ``links``.
LINKING = frozenset({"md", "html"})
FORMATS: Mapping[str, Callable[..., str]] = {
    "md": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
    "json": as_json,
    "html": as_html,
}
