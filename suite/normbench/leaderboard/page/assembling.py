"""A page put together: heads and sentences, tables and figures, what was tested, and the foot."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from string import Template

from normbench.leaderboard.board import Board
from normbench.leaderboard.conclusion import conclusion
from normbench.leaderboard.formats import Section
from normbench.leaderboard.overall import Overall
from normbench.leaderboard.page.filters import filters
from normbench.leaderboard.page.foot import foot
from normbench.leaderboard.page.markup import Markup, element, joined, prose
from normbench.leaderboard.page.pictures import Picture, pictures_of
from normbench.leaderboard.page.tables import (
    Links,
    detail_table,
    listed,
    main_table,
    plain_table,
    scrolling,
    seed_table,
)

_FOLDED = ("Words", "What was tested", "What the test assumes")


def leaderboard_page(
    sections: Sequence[Section],
    links: Links | None = None,
    *,
    title: str = "Leaderboard",
    intro: Sequence[str] = (),
    pictures: Mapping[str, Sequence[Picture]] | None = None,
    draw: bool = True,
    contents: bool = False,
) -> str:
    """Return one HTML file that shows *sections* and loads nothing else.

    Without JavaScript it is plain tables; with it they are sorted by a click on a heading and
    filtered by the words and choices above. Its content security policy allows its own script and
    style by their hashes and nothing else, no request among it.

    Args:
        sections: What it shows, such as those of
            :func:`normbench.leaderboard.sections.report_sections`; figures, a sentence on who wins
            and the foot are made of what they are about.
        links: Addresses by the fingerprint of a row or a run; those of the web become links.
        title: Title of the page.
        intro: Sentences below it.
        pictures: Figures beside those that sections have by themselves, by the section's title.
        draw: Whether those of their own are drawn; else all are among *pictures*.
        contents: Whether a list of the sections stands above them.
    """
    more = pictures or {}
    problems = problems_of(sections)
    shown = (
        _section(
            section,
            problem,
            links or {},
            [*(pictures_of(section.about) if draw else ()), *more.get(section.title, ())],
            f"part-{number}",
        )
        for number, (section, problem) in enumerate(zip(sections, problems, strict=True), 1)
    )
    body = [
        element("header", element("h1", title), *(element("p", prose(line)) for line in intro)),
        _contents(sections) if contents else Markup(""),
        filters(sections, problems),
        element("main", *shown),
        foot([section.about for section in sections]),
    ]
    return Template(_file("page.html")).substitute(
        title=element("title", title),
        policy=_policy(),
        style=_file("page.css"),
        script=_file("page.js"),
        body=joined(body),
    )


def problems_of(sections: Sequence[Section]) -> list[str]:
    """Return the problem of each section, empty for those of several.

    A section that stands below a board, such as published numbers, has a title that begins with the
    board's.
    """
    boards = [section.about for section in sections if isinstance(section.about, Board)]
    return [
        next((b.problem for b in boards if f"{section.title}: ".startswith(f"{b.title}: ")), "")
        for section in sections
    ]


def _contents(sections: Sequence[Section]) -> Markup:
    entries = (
        element("li", element("a", section.title, href=f"#part-{number}"))
        for number, section in enumerate(sections, 1)
    )
    return element("nav", element("ol", *entries), aria_label="Contents")


def _section(
    section: Section, problem: str, links: Links, pictures: Sequence[Picture], name: str
) -> Markup:
    board = section.about if isinstance(section.about, Board) else None
    first, *rest = _tables(section, board, links) or [Markup("")]
    return element(
        "section",
        element("h2", section.heading),
        element("p", prose(conclusion(board)), class_="conclusion") if board else Markup(""),
        *(element("p", prose(line)) for line in section.head),
        first,
        element("div", *map(_figure, pictures), class_="figures") if pictures else Markup(""),
        *rest,
        *(
            _lines(introduction, lines, folded=not isinstance(section.about, Overall))
            for introduction, lines in section.lines.items()
            if lines
        ),
        element("pre", "\n".join(section.commands)) if section.commands else Markup(""),
        id=name,
        data_problem=problem or None,
    )


def _tables(section: Section, board: Board | None, links: Links) -> list[Markup]:
    """Return the tables of a section; of a board, those below the first are folded."""
    if board is None:
        return [plain_table(sheet) for sheet in section.shown]
    first, *others = section.shown
    seeds = seed_table(board, links)
    return [
        main_table(board, first, links),
        *(_folded("Details of each row", detail_table(board, sheet, links)) for sheet in others),
        _folded("Every seed", seeds),
    ]


def _figure(picture: Picture) -> Markup:
    drawn = scrolling(Markup(picture.svg), picture.caption)
    return element("figure", drawn, element("figcaption", picture.caption))


def _lines(introduction: str, lines: Sequence[str], *, folded: bool) -> Markup:
    """Return sentences; what was tested over problems is what is to be said, so it never folds."""
    if introduction in _FOLDED and folded:
        return _folded(introduction, listed(lines))
    return joined([element("h3", introduction), listed(lines)])


def _folded(summary: str, content: Markup) -> Markup:
    return element("details", element("summary", summary), content)


@lru_cache(maxsize=1)
def _policy() -> str:
    """Return the content security policy: this script and this style, no request, no form."""
    script, style = (_digest(_file(name)) for name in ("page.js", "page.css"))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
