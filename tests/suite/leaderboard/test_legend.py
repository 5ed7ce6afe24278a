"""A table explains the words that it uses, and no others."""

from __future__ import annotations

import pytest

from normbench.leaderboard.board import Terms
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.formats import FORMATS
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.sections import report_sections
from normbench.leaderboard.verdicts import Verdict

BASE = (0.91, 0.93, 0.92, 0.94, 0.90, 0.92)
NOISE = (0.0005, -0.0004, 0.0002, -0.0003, 0.0004, -0.0002)
UP = tuple(0.04 + each for each in NOISE)
VARIED = (0.01, -0.02, 0.015, -0.012, 0.02, -0.01)
ROWS = {
    Verdict.BETTER: {"scores": UP},
    Verdict.WORSE: {"scores": tuple(-each for each in UP)},
    Verdict.EQUIVALENT: {"scores": NOISE},
    Verdict.NO_EVIDENCE: {"scores": VARIED},
    Verdict.EXPLORATORY: {"scores": VARIED[:4]},
    Verdict.TOO_FEW: {"scores": VARIED[:2]},
    Verdict.UNSTABLE: {"scores": VARIED, "diverged": (1,)},
    Verdict.DETERMINISTIC: {"scores": (0.01,) * 6},
}


def only_board(make_row, reader, catalogue, verdicts, terms=None):
    """Return the section of a board with a row of each of *verdicts*, and what it says."""
    rows = [make_row("none", scores=BASE)]
    for verdict in verdicts:
        changes = dict(ROWS[verdict])
        scores = [b + d for b, d in zip(BASE, changes.pop("scores"), strict=False)]
        rows.append(make_row(f"norm_{verdict.name.lower()}", scores=scores, **changes))
    wanted = Wanted(terms=terms or Terms())
    boards = make_boards(reader(rows), catalogue, wanted)
    (section,) = report_sections(boards)
    return boards[0], section


def explained(section) -> list[str]:
    """Return the words that a section explains, in their order."""
    return [line.partition(": ")[0] for line in section.lines["Words"]]


@pytest.mark.parametrize("verdict", ROWS)
def test_every_verdict_is_explained_where_it_appears(make_row, reader, catalogue, verdict):
    """A board explains its own verdicts, and none that it does not give."""
    board, section = only_board(make_row, reader, catalogue, [verdict])
    given = {entry.verdict for entry in board.entries}

    assert {verdict, Verdict.REFERENCE} == given
    assert given == {word for word in explained(section) if word in set(Verdict)}


def test_columns_are_explained_if_they_are_shown(make_row, reader, catalogue):
    """What stands in a heading is explained once, a column that is empty is not."""
    _, calm = only_board(make_row, reader, catalogue, [Verdict.BETTER])
    _, rough = only_board(make_row, reader, catalogue, [Verdict.UNSTABLE, Verdict.EXPLORATORY])

    assert {"=", "wins", "sign flip", "d/0.50 %", "MDD %", "corr."} <= {*explained(calm)}
    assert not {"n", "div"} & {*explained(calm)}
    assert {"n", "div"} <= {*explained(rough)}
    assert len(explained(rough)) == len(set(explained(rough)))


def test_legend_follows_the_terms(make_row, reader, catalogue):
    """The level and the interval of equivalence are those of the table."""
    verdicts = [Verdict.BETTER, Verdict.EQUIVALENT]
    _, section = only_board(make_row, reader, catalogue, verdicts, Terms(alpha=0.01))
    words = dict(line.split(": ", 1) for line in section.lines["Words"])

    assert "is below 1 %." in words["better"]
    assert "the 98 % interval of the difference lies within ± 0.50 %" in words["equivalent"]


@pytest.mark.parametrize("shape", ["md", "latex", "html"])
def test_every_format_has_the_legend(make_row, reader, catalogue, shape):
    """Markdown, LaTeX and the page explain the same words as the terminal."""
    _, section = only_board(make_row, reader, catalogue, [Verdict.NO_EVIDENCE])

    assert "no evidence: none of better, worse and equivalent is shown" in FORMATS[shape]([section])
