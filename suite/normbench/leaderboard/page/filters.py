"""The words and choices above the tables; without JavaScript they do not show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from normbench.leaderboard.board import Board
from normbench.leaderboard.formats import Section
from normbench.leaderboard.page.markup import Markup, element
from normbench.leaderboard.page.tables import FACETS


def filters(sections: Sequence[Section], problems: Sequence[str]) -> Markup:
    """Return the form: words to search for, and a choice for what there are several of.

    Where there is nothing to choose there is no form.
    """
    values: dict[str, set[str]] = {"problem": set(filter(None, problems))}
    for section in sections:
        for facet, value in _known(section):
            values.setdefault(facet, set()).add(value)
    choices = [_choice(facet, names) for facet, names in values.items() if len(names) > 1]
    if not choices:
        return Markup("")
    search = element("input", type="search", name="words", placeholder="words in a row")
    return element(
        "form",
        element("label", "Search", search),
        *choices,
        element("button", "Show all", type="reset"),
        element("output", role="status"),
        id="filters",
        hidden=True,
    )


def _choice(facet: str, values: Iterable[str]) -> Markup:
    options = [element("option", value, value=value) for value in sorted(values)]
    everything = element("option", "all", value="")
    return element("label", facet.capitalize(), element("select", everything, *options, name=facet))


def _known(section: Section) -> Iterator[tuple[str, str]]:
    """Yield facets of a section's rows with their values."""
    if isinstance(section.about, Board):
        for entry in section.about.entries:
            yield "norm", entry.row.norm_label
            yield "optimizer", entry.row.optimizer
            if entry.verdict is not None:
                yield "verdict", entry.verdict.value
        return
    for sheet in section.shown:
        for column in FACETS:
            if column in sheet.columns:
                place = sheet.columns.index(column)
                yield from ((column, row[place]) for row in sheet.rows if row[place])
