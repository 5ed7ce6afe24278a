"""A report as one HTML file, in the style of a leaderboard's page."""

from __future__ import annotations

from normbench.leaderboard.page import Picture, leaderboard_page
from normbench.reproduction.document import Document


def to_html(document: Document) -> str:
    """Return the page; it needs no other file and no network."""
    pictures = {
        each.section.title: [Picture(figure.svg, figure.caption) for figure in each.figures]
        for each in document.chapters
    }
    sections = [each.section for each in document.chapters]
    return leaderboard_page(
        sections,
        title=document.title,
        intro=document.intro,
        pictures=pictures,
        draw=not document.illustrated,
        contents=True,
    )
