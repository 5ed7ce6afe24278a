"""A report without its notes: the tables, and what each comes to in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from normbench.leaderboard.ablation_notes import EXPLORATORY
from normbench.leaderboard.board import Board
from normbench.leaderboard.conclusion import conclusion
from normbench.leaderboard.formats import Section
from normbench.leaderboard.sheets import APART
from normbench.quantities import counted

_NOTES = "Notes"
_LEFT_OUT = frozenset({"Words", "What was tested"})


def brief_sections(sections: Sequence[Section]) -> list[Section]:
    """Return *sections* without notes; the last one says how many there are, and how to see them.

    What else stands below a table, such as that published numbers are not paired, stays; so do
    notes without which a table says too much: what a mark means, and that p are exploratory.
    """
    brief = [_brief(section) for section in sections]
    notes = _notes(sections) - _notes(brief)
    more = f"{counted(notes, 'note')}, what" if notes else "What"
    told = f"{more} the words mean and what was tested: without --brief."
    return [*brief[:-1], *(_ending_with(section, told) for section in brief[-1:])]


def _notes(sections: Sequence[Section]) -> int:
    return sum(len(section.lines.get(_NOTES, ())) for section in sections)


def _brief(section: Section) -> Section:
    kept = {key: lines for key, lines in section.lines.items() if key not in _LEFT_OUT}
    kept[_NOTES] = [note for note in kept.pop(_NOTES, ()) if _must_stay(section, note)]
    head = section.head
    if isinstance(section.about, Board):
        head = (conclusion(section.about), *head)
    return replace(section, lines=kept, head=head)


def _must_stay(section: Section, note: str) -> bool:
    # A leaderboard's verdicts say themselves that they are exploratory.
    return note.startswith(APART) or (EXPLORATORY in note and not isinstance(section.about, Board))


def _ending_with(section: Section, told: str) -> Section:
    return replace(section, lines={**section.lines, "Left out": [told]})
