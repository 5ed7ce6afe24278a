"""Tables in the width of a terminal: nothing is broken, cut or lost."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.cli import output
from normbench.cli.layout import Table, lay_out, wrapped

WORDS = st.text(alphabet="abcdef_=.0123456789", min_size=1, max_size=12)
CELLS = st.lists(WORDS, max_size=5).map(" ".join)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def lines_of(table: Table, width: float) -> list[str]:
    return [line for part in lay_out(table, width) for line in (*part.head, *part.body)]


@st.composite
def tables(draw) -> Table:
    headings = draw(st.lists(CELLS.filter(bool), min_size=1, max_size=6, unique=True))
    row = st.tuples(*(CELLS for _ in headings))
    rows = draw(st.lists(row, min_size=1, max_size=5))
    some = st.sets(st.sampled_from(headings)).map(tuple)
    return Table(headings, rows, draw(some), draw(some))


@given(tables(), st.integers(10, 120))
@settings(max_examples=60, deadline=None)
def test_every_word_is_there_unbroken(table, width):
    """However narrow, each word of each cell stands whole in some line."""
    found = " ".join(lines_of(table, width)).split()
    wanted = [word for row in table.rows for cell in row for word in cell.split()]

    assert all(found.count(word) >= wanted.count(word) for word in wanted)


@given(tables(), st.integers(60, 160))
@settings(max_examples=60, deadline=None)
def test_no_line_is_too_wide_for_words(table, width):
    """A line is wider than the terminal only where a cell that may not be broken is."""
    longest = max(len(cell) for row in (table.headings, *table.rows) for cell in row)

    if 2 * longest + 10 <= width:
        assert all(len(line) <= width for line in lines_of(table, width))


@given(tables())
@settings(max_examples=30, deadline=None)
def test_without_a_terminal_each_row_is_a_line(table):
    """A table that goes into a pipe has one line for its headings and one for each row."""
    (part,) = lay_out(table, float("inf"))

    assert (1, len(table.rows)) == (len(part.head), len(part.body))
    for row, line in zip(table.rows, part.body, strict=True):
        assert all(cell in line for cell in row)


@pytest.mark.parametrize(
    "text",
    ["88.81 ± 1.82 %", "+2.46 [1.71, 3.21]", "12 345 678", "1 h 02 min", "3 finished", "--dry-run"],
)
def test_what_belongs_together_stays_in_a_line(text):
    """Numbers keep their units, intervals their ends, options their hyphens."""
    parts = wrapped(f"a {text} b", 6).splitlines()
    kept = ["+2.46", "[1.71, 3.21]"] if "[" in text else [text]

    assert all(any(part in line for line in parts) for part in kept)


def test_headings_take_lines_before_cells_do():
    """Where room is short for headings only, each row stays one line."""
    table = Table(("a long heading", "another one"), [("x", "y"), ("z", "w")])

    assert ["a long     another", "heading    one", "x          y", "z          w"] == lines_of(
        table, 20
    )


def test_columns_go_into_parts_with_what_a_row_is():
    """A table of numbers that is too wide is shown part by part, each with the names of rows."""
    heads = ("norm", *(f"number{i}" for i in range(6)))
    rows = [(f"norm_{i}", *(f"{i}.{j}00000000" for j in range(6))) for i in range(3)]
    parts = lay_out(Table(heads, rows, heads[1:], ("norm",)), 50)

    assert [["norm", *heads[i : i + 3]] for i in (1, 4)] == [p.head[0].split() for p in parts]
    assert all(["norm_0", "norm_1", "norm_2"] == [b.split()[0] for b in p.body] for p in parts)


def test_rows_are_numbered_where_their_names_leave_no_room():
    """Names that fill a line alone are followed by parts that count the rows."""
    rows = [("n" * 30 + str(i), "o" * 30, f"{i}.5") for i in range(2)]
    first, second = lay_out(
        Table(("norm", "optimizer", "mean"), rows, (), ("norm", "optimizer")), 45
    )

    assert ["#", "norm"] == first.head[0].split()
    assert ["1", "2"] == [line.split()[0] for line in second.body]
    assert [rows[0][2], rows[1][2]] == [line.split()[-1] for line in second.body]


def test_a_single_row_that_is_too_wide_becomes_a_list():
    """Of one row, or where one column is too wide, each value stands behind its name."""
    heads, row = ("norm", "a mean"), ("n" * 40, "o" * 30)

    assert [f"norm    {row[0]}", f"a mean  {row[1]}"] == lines_of(Table(heads, [row]), 60)


def shown(capsys, columns, rows, **more) -> list[str]:
    output.print_table(columns, rows, **more)
    return capsys.readouterr().out.splitlines()


def test_what_all_rows_share_stands_above_once(capsys):
    """Names that do not vary are lifted, numbers are not, and a single row keeps its columns."""
    columns = ("problem", "norm", "mean")
    rows = [("digits", "none", "1.0"), ("digits", "batch_norm", "1.0")]

    assert ["Title", "problem digits"] == shown(capsys, columns, rows, title="Title")[:2]
    assert ["norm", "mean"] == shown(capsys, columns, rows)[1].split()
    assert [list(columns), [*rows[0]]] == [
        line.split() for line in shown(capsys, columns, rows[:1])
    ]
    assert [*columns] == shown(capsys, columns, rows, names=())[0].split()


def test_alike_rows_keep_something_to_show(capsys):
    """Where every column could be lifted none is, so that each row still has its line."""
    assert 3 == len(shown(capsys, ("problem", "norm"), [("digits", "none")] * 2))


def on_terminal(columns: int, *words: str, **environment: str) -> list[str]:
    """Return the lines that a command prints on a terminal of that width."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "normbench", *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm", **environment},
    )
    os.close(theirs)
    said = b""
    while chunk := _read(ours):
        said += chunk
    os.close(ours)
    assert 0 == process.wait(), said
    return said.decode().replace("\r", "").splitlines()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the other side has closed it
        return b""


def test_a_real_terminal_gets_whole_words(filler):
    """``status`` fits 80 columns, with headings in bold, and breaks no name or number."""
    for optimizer in ("sgd", "schedule_free_adamw"):
        filler.ended(seeds=2, optimizer=optimizer, norm="batch_norm")
    lines = on_terminal(80, "status", "--store", filler.root)
    plain = on_terminal(80, "status", "--store", filler.root, NO_COLOR="1")

    assert all(len(COLOUR.sub("", line)) <= 80 for line in lines if str(filler.root) not in line)
    assert any("schedule_free_adamw  " in line for line in lines)
    assert [COLOUR.sub("", line) for line in lines] == plain != lines
    assert "problem digits_cnn, norm batch_norm, protocol standard" in plain[0]
    assert all(not (a.endswith("-") and b) for a, b in pairwise(plain))
