"""Boards as sections of a report, the same in every format."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from normbench.leaderboard.board import Board
from normbench.leaderboard.formats import Section
from normbench.leaderboard.legend import legend_of
from normbench.leaderboard.overall import overall_of
from normbench.leaderboard.overall_sheets import overall_section
from normbench.leaderboard.published import published_section
from normbench.leaderboard.records import board_record, flat_records
from normbench.leaderboard.sheets import detail_sheet, main_sheet
from normbench.leaderboard.tested import what_was_tested
from normbench.plugins import Catalogue


def report_sections(boards: Sequence[Board], published: Catalogue | None = None) -> list[Section]:
    """Return each board, what others published of its problem, and all problems together.

    Args:
        boards: The boards.
        published: Where published numbers are known; None to leave them out.
    """
    sections = []
    for board in boards:
        sections.append(board_section(board))
        others = published_section(board, published) if published else None
        if others is not None:
            sections.append(others)
    return sections + [overall_section(found) for found in overall_of(boards)]


def board_section(board: Board) -> Section:
    """Return a board with its detailed rows, what its words mean, its notes and what was tested."""
    sheets = (main_sheet(board), detail_sheet(board))
    return Section(
        title=board.title,
        sheets=sheets,
        lines={
            "Words": legend_of(board, sheets),
            "Notes": board.notes,
            "What was tested": what_was_tested(board),
        },
        record=partial(board_record, board),
        flat=partial(flat_records, board),
        about=board,
        head=board.head,
    )
