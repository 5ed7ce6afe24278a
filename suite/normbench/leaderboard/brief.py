"""A report without its notes: the tables, and what each comes to in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from normbench.leaderboard.board import Board
from normbench.leaderboard.conclusion import conclusion
from normbench.leaderboard.formats import Section
from normbench.quantities import counted

_NOTES = "Notes"
_LEFT_OUT = frozenset({"Words", _NOTES, "What was tested"})


def brief_sections(sections: Sequence[Section]) -> list[Section]:
    """Return *sections* without notes; the last one says how many there are, and how to see them.

    What else stands below a table, such as that published numbers are not paired, stays.
    """
    notes = sum(len(section.lines.get(_NOTES, ())) for section in sections)
    told = (
        f"{counted(notes, 'note')}, what the words mean and what was tested: they come without "
        "--brief."
    )
    brief = [_brief(section) for section in sections]
    return [*brief[:-1], *(_ending_with(section, told) for section in brief[-1:])]


def _brief(section: Section) -> Section:
    kept = {key: lines for key, lines in section.lines.items() if key not in _LEFT_OUT}
    head = section.head
    if isinstance(section.about, Board):
        head = (conclusion(section.about), *head)
    return replace(section, lines=kept, head=head)


def _ending_with(section: Section, told: str) -> Section:
    return replace(section, lines={**section.lines, "Left out": [told]})
