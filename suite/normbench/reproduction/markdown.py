"""A report as Markdown that GitHub renders, its figures in files beside it.

What a page draws of a board by itself is a figure among the others here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from normbench.leaderboard.board import Board
from normbench.leaderboard.conclusion import conclusion
from normbench.leaderboard.formats import Section, markdown_table, markdown_text
from normbench.leaderboard.page.pictures import pictures_of
from normbench.reproduction.document import Chapter, Document, Figure, file_name

FIGURES = "figures"
_VIEW_BOX = re.compile(r'<svg [^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>')
_FOLDED = ("Words", "What was tested", "What the test assumes")


def to_markdown(document: Document) -> str:
    """Return the text; figures are expected as ``figures/NAME.svg`` beside it.

    Args:
        document: The report, see :func:`illustrated`.
    """
    parts = [f"# {_text(document.title)}", *map(_text, document.intro)]
    for each in document.chapters:
        parts += _chapter(each.section, each.figures)
    return "\n\n".join(parts) + "\n"


def illustrated(document: Document) -> Document:
    """Return *document* with the figures that a page draws of its boards by itself."""
    chapters = tuple(replace(each, figures=tuple(_figures(each))) for each in document.chapters)
    return replace(document, chapters=chapters, illustrated=True)


def _figures(chapter: Chapter) -> list[Figure]:
    """Return the figures of a chapter, those of its board or of all problems first."""
    name = file_name(chapter.section.title)
    own = [
        Figure(name=f"{name}-{number:02d}-table", caption=picture.caption, svg=picture.svg)
        for number, picture in enumerate(pictures_of(chapter.section.about), 1)
    ]
    return [*own, *chapter.figures]


def standalone(svg: str) -> str:
    """Return *svg* as a file: with a size, and on white, whatever the colour of the page."""
    found = _VIEW_BOX.search(svg)
    if found is None:
        return svg
    width, height = found[1], found[2]
    head = found[0].replace("<svg ", f'<svg width="{width}pt" height="{height}pt" ', 1)
    paper = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return f"{svg[: found.start()]}{head}{paper}{svg[found.end() :]}\n"


def _chapter(section: Section, figures: Sequence[Figure]) -> Iterator[str]:
    yield f"## {_text(section.heading)}"
    if isinstance(section.about, Board):
        yield _text(conclusion(section.about))
    yield from map(_text, section.head)
    yield from map(markdown_table, section.shown)
    yield from map(_figure, figures)
    for introduction, lines in section.lines.items():
        if lines:
            yield _lines(introduction, lines)
    if section.commands:
        yield _commands(section.commands)


def _figure(figure: Figure) -> str:
    caption = _text(figure.caption)
    short = caption.partition(": ")[0]
    return f"![{short}]({FIGURES}/{figure.name}.svg)\n\n{caption}"


def _lines(introduction: str, lines: Sequence[str]) -> str:
    listed = "\n".join(f"- {_text(line)}" for line in lines)
    name = _text(introduction)
    if introduction in _FOLDED:
        return f"<details><summary>{name}</summary>\n\n{listed}\n\n</details>"
    return f"### {name}\n\n{listed}"


def _commands(commands: Sequence[str]) -> str:
    lines = [" ".join(command.split("\n")) for command in commands]
    # A fence longer than any run of backticks inside cannot be closed by one of them.
    longest = max(len(run) for line in lines for run in re.findall("`*", line))
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence, *lines, fence])


def _text(text: str) -> str:
    """Return *text* on one line, where no part of it can begin a heading or a list."""
    return markdown_text(" ".join(text.splitlines()))
