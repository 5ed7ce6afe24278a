"""Leaderboards as Markdown, LaTeX, CSV, JSON and HTML."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from normbench.leaderboard.records import strict
from normbench.leaderboard.sheets import Sheet

_TEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


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
    """

    title: str
    sheets: tuple[Sheet, ...]
    lines: Mapping[str, Sequence[str]]
    record: Callable[[], Mapping[str, Any]]
    flat: Callable[[], Lines]

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
    return json.dumps(records, indent=1, allow_nan=False, ensure_ascii=False)


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


def as_markdown(sections: Sequence[Section]) -> str:
    """Return headings, tables and lists in Markdown."""
    parts = []
    for section in sections:
        parts.append(f"## {_markdown(section.heading)}")
        parts += map(_markdown_table, section.shown)
        for introduction, lines in section.lines.items():
            if lines:
                listed = "\n".join(f"- {_markdown(line)}" for line in lines)
                parts.append(f"{introduction}:\n\n{listed}")
    return "\n\n".join(parts)


def _markdown_table(sheet: Sheet) -> str:
    rule = ["---:" if column in sheet.right else "---" for column in sheet.columns]
    lines = [[_markdown(cell) for cell in line] for line in (sheet.columns, *sheet.rows)]
    lines.insert(1, rule)
    caption = [f"{_markdown(sheet.title)}\n"] if sheet.title else []
    return "\n".join([*caption, *(f"| {' | '.join(line)} |" for line in lines)])


def _markdown(text: str) -> str:
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
    lines = [" & ".join(map(_latex, line)) + r" \\" for line in (sheet.columns, *sheet.rows)]
    notes = [line for lines_ in section.lines.values() for line in lines_]
    return "\n".join(
        [
            *(f"% {note}" for note in notes),
            r"\begin{table}",
            rf"\caption{{{_latex(sheet.title or section.heading)}}}",
            rf"\begin{{tabular}}{{{spec}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _latex(text: str) -> str:
    return "".join(_TEX.get(char, char) for char in text)


def as_html(sections: Sequence[Section]) -> str:
    """Return a whole page without scripts; every text is escaped."""
    body = "".join(_html_section(section) for section in sections)
    style = (
        "body{font-family:sans-serif;margin:1rem;color-scheme:light dark}"
        "table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}"
        "th,td{padding:.2rem .6rem;text-align:left;border-bottom:1px solid #8888}"
        ".r{text-align:right}"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>normbench leaderboard</title>'
        f"<style>{style}</style></head><body>{body}</body></html>"
    )


def _html_section(section: Section) -> str:
    tables = "".join(map(_html_table, section.shown))
    lists = "".join(
        f"<h3>{escape(introduction)}</h3><ul>{_html_items(lines)}</ul>"
        for introduction, lines in section.lines.items()
        if lines
    )
    return f"<section><h2>{escape(section.heading)}</h2>{tables}{lists}</section>"


def _html_items(lines: Sequence[str]) -> str:
    return "".join(f"<li>{escape(line)}</li>" for line in lines)


def _html_table(sheet: Sheet) -> str:
    def cells(tag: str, line: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{_html_class(sheet, column)}>{escape(cell)}</{tag}>"
            for column, cell in zip(sheet.columns, line, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in sheet.rows)
    caption = f"<caption>{escape(sheet.title)}</caption>" if sheet.title else ""
    head = f"<thead><tr>{cells('th', sheet.columns)}</tr></thead>"
    return f"<table>{caption}{head}<tbody>{body}</tbody></table>"


def _html_class(sheet: Sheet, column: str) -> str:
    return ' class="r"' if column in sheet.right else ""


FORMATS: Mapping[str, Callable[[Sequence[Section]], str]] = {
    "md": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
    "json": as_json,
    "html": as_html,
}
