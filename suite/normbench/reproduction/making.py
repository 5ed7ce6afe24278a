"""From a suite and a store to a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from normbench.descriptions import Source, Suite
from normbench.errors import UsageError
from normbench.leaderboard.ablation_sheets import ablation_section
from normbench.leaderboard.ablations import NORM, OPTIMIZER, make_ablations
from normbench.leaderboard.board import Board, Terms
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.formats import Section
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.reading import Reader
from normbench.leaderboard.sections import report_sections
from normbench.leaderboard.showing import note_shown
from normbench.plugins import Catalogue
from normbench.reproduction.asked import Asked
from normbench.reproduction.beside import (
    beside_chapter,
    by_problem,
    in_words,
    lines_of,
    problem_chapter,
)
from normbench.reproduction.deviations import deviations_chapter
from normbench.reproduction.document import Chapter, Document, chapter
from normbench.reproduction.drawing import figure_chapters, gap_figures
from normbench.reproduction.grid import grid_chapter
from normbench.reproduction.machines import Trained, machines_chapter, read_trained
from normbench.reproduction.matching import match
from normbench.reproduction.planned import Held, Planned, changed_rows, planned
from normbench.reproduction.repeating import repeating_chapter, suite_chapter
from normbench.reproduction.standing import how_complete, standing_chapter
from normbench.store import RunStore
from normbench.suites import Plan


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a report is made of.

    Attributes:
        plan: The suite's cells.
        catalogue: What the plugins offer.
        reader: Where results are read; None if there is no store.
        store: Where curves and series lie; None if results are read elsewhere.
        asked: The words of the request.
        terms: How rows are compared.
    """

    plan: Plan
    catalogue: Catalogue
    reader: Reader | None
    store: RunStore | None
    asked: Asked
    terms: Terms = field(default_factory=Terms)


def make_document(given: Input) -> Document:
    """Return the report; that its verdicts were shown is noted in the store.

    Raises:
        UsageError: If a cell of the suite cannot be resolved.
    """
    everything = list(given.reader.rows()) if given.reader else []
    found = planned(given.plan, given.catalogue, everything)
    changed = changed_rows(found, everything)
    boards = _boards(found, given)
    if given.store is not None:
        note_shown(given.store, boards)
    matches = match([each.spec for each in found.rows], given.catalogue)
    lines = lines_of(matches, boards)
    trained = read_trained(found.with_results, given.reader) if given.reader else Trained()
    source = _source(given)
    intro = [*_about(given, source), how_complete(found)]
    if changed and not found.with_results:
        rows = sum(each.rows for each in changed)
        intro.append(f"{rows} rows of its cells were trained under other rules; see below.")
    chapters = [
        standing_chapter(found, changed, given.asked),
        grid_chapter(found, boards, lines),
        *(
            problem_chapter(problem, members, gap_figures(problem, members))
            for problem, members in by_problem(lines).items()
        ),
        beside_chapter(matches, lines),
        *(Chapter(section=section) for section in _sections(boards, found, given)),
        *figure_chapters(found, given.store, given.asked),
        deviations_chapter(found, given.plan.exclusions, given.catalogue),
        *([machines_chapter(trained, boards)] if trained.rows else []),
        repeating_chapter(found, given.asked, trained, given.catalogue),
        *suite_chapter(given.asked),
    ]
    title = f"Reproduction report: {given.asked.name}"
    return Document(title=title, intro=(*intro, in_words(lines)), chapters=tuple(chapters))


def _source(given: Input) -> Source:
    name = given.asked.suite
    if name not in given.catalogue.names(Suite):
        return Source(title="")
    return given.catalogue.get(Suite, name).source


def _about(given: Input, source: Source) -> Iterator[str]:
    if given.plan.title:
        yield f"{given.plan.title}."
    if source.title:
        told = f"Repeats: {source.title}, {source.reference}."
        yield told if source.reference else f"Source: {source.title}."
    if given.asked.words:
        yield (
            f"Asked for with words of the user's: {' '.join(given.asked.words)}. These rows are "
            "not the suite's own."
        )
    if given.asked.only:
        yield f"Only part of the suite: {' '.join(given.asked.only)}."


def _boards(found: Planned, given: Input) -> list[Board]:
    if given.reader is None or not found.with_results:
        return []
    return make_boards(Held(given.reader, found.trained), given.catalogue, _wanted(found, given))


def _wanted(found: Planned, given: Input) -> Wanted:
    suite = found.suite_rows(given.asked.suite, given.asked.words)
    own = given.asked.suite not in given.catalogue.names(Suite)
    return Wanted(suite=replace(suite, own=own), terms=given.terms)


def _sections(boards: Sequence[Board], found: Planned, given: Input) -> Iterator[Section]:
    """Yield our own tables, and for those with several norms and optimizers what each does."""
    yield from report_sections(boards)
    for board in boards:
        rows = [entry.row for entry in board.entries]
        norms, optimizers = {row.norm_label for row in rows}, {row.optimizer for row in rows}
        if len(norms) > 1 and len(optimizers) > 1:
            yield from _ablations(board, found, given)


def _ablations(board: Board, found: Planned, given: Input) -> Iterator[Section]:
    assert given.reader is not None  # noqa: S101 - there is a board
    reader = Held(given.reader, [entry.row for entry in board.entries])
    for factor in (NORM, OPTIMIZER):
        try:
            made = make_ablations(reader, given.catalogue, _wanted(found, given), factor, None)
        except UsageError as error:
            yield chapter(f"{board.title}: {factor}s", (), {"Not shown": [str(error)]}).section
            continue
        yield from (ablation_section(each, given.terms.correction) for each in made)
