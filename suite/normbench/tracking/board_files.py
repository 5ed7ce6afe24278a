"""The files of a published leaderboard: the same object in every format, its inputs, its figures.

Links work in the Markdown file alone: MLflow's pages show HTML in a frame that follows none.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.errors import UsageError
from normbench.leaderboard.board import Board
from normbench.leaderboard.formats import Section, as_csv, as_json, as_markdown
from normbench.leaderboard.overall import Overall
from normbench.leaderboard.page import leaderboard_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "leaderboard"
MARKDOWN = f"{FOLDER}/leaderboard.md"
_PAIRS = (
    *("board", "row", "norm", "optimizer", "seed", "state", "value", "reference", "difference"),
    "fingerprint",
)
_IMAGES = (".svg", ".png")


def write_files(
    folder: Path, title: str, sections: Sequence[Section], links: Mapping[str, str]
) -> None:
    """Write all files of a leaderboard into *folder*.

    Args:
        folder: Where to; it exists.
        title: What the leaderboard is called.
        sections: What it shows.
        links: Addresses of rows by fingerprint, within MLflow's pages.
    """
    boards = [section.about for section in sections if isinstance(section.about, Board)]
    texts = {
        "leaderboard.md": as_markdown(sections, links),
        "leaderboard.html": leaderboard_page(sections, title=title),
        "leaderboard.csv": as_csv(sections),
        "table.json": _table(sections[0]),
        "full.json": as_json(sections),
    }
    for name, text in texts.items():
        (folder / name).write_text(f"{text}\n", encoding="utf-8")
    if boards:
        _write_pairs(folder / "pairs.csv", boards)
    for section in sections:
        _draw(folder, section)


def _table(section: Section) -> str:
    """Return the first table in the form that MLflow's pages show as one."""
    sheet = section.sheets[0].without_empty()
    content = {"columns": list(sheet.columns), "data": [list(row) for row in sheet.rows]}
    return json.dumps(content, indent=1, ensure_ascii=False)


def _write_pairs(path: Path, boards: Sequence[Board]) -> None:
    """Write every value that the boards are made of, beside the reference's of the same seed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_PAIRS)
        for board in boards:
            writer.writerows(_pairs(board))


def _pairs(board: Board) -> Iterator[list[Any]]:
    base = board.reference.row.row if board.reference.row else ""
    reference = next((e.values for e in board.entries if e.row.row == base), {})
    for entry in board.entries:
        row = entry.row
        for seed, run in row.runs.items():
            value, other = entry.values.get(seed), reference.get(seed)
            difference = None if value is None or other is None else value - other
            yield [
                *(board.title, row.row, row.norm_label, row.optimizer, seed, run.state.value),
                *(value, other, difference, run.fingerprint),
            ]


def _draw(folder: Path, section: Section) -> None:
    """Draw what the section's board allows."""
    from normbench import plots

    several = {Board: ("forest", "heatmap"), Overall: ("profiles", "critical_difference")}
    for name in several.get(type(section.about), ()):
        # A figure that the board has too few rows or problems for is left out.
        with suppress(UsageError):
            figure: Figure = getattr(plots, name)(section.about)
            for ending in _IMAGES:
                plots.save(figure, folder / f"{_file_name(section.title, name)}{ending}")


def _file_name(title: str, figure: str) -> str:
    words = "".join(char if char.isalnum() or char in "-_." else "-" for char in title)
    return f"{figure}-{words[:80]}"
