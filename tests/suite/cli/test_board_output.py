"""``--output`` of the commands that show leaderboards, and ``plot`` of leaderboards."""

from __future__ import annotations

import json
import os

import pytest

from normbench import plots
from normbench.cli.target import Target, target_of
from normbench.errors import UsageError
from normbench.leaderboard.records import board_record


@pytest.fixture(scope="module")
def trained(make_filler, tmp_path_factory):
    """A store of three norms by two optimizers, five seeds each."""
    filler = make_filler(tmp_path_factory.mktemp("trained"))
    for norm in ("none", "batch_norm", "group_norm"):
        for optimizer in ("sgd", "momentum"):
            filler.ended("finished", 5, optimizer, norm=norm, problem="digits_cnn")
    return filler.root


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("b.html", "<!doctype html>"),
        ("b.md", "## digits_cnn"),
        ("b.tex", "% "),
        ("b.csv", "board,rank,"),
        ("b.json", "["),
        ("b.txt", "digits_cnn "),
        ("B.MD", "## digits_cnn"),
    ],
)
def test_the_ending_decides_the_format(invoke, trained, tmp_path, name, begin):
    """Each ending writes the format of its name, and standard output says where it is."""
    out = tmp_path / name
    done = invoke("leaderboard", "--store", trained, "--output", out)

    assert (0, 1) == (done.exit_code, len(done.stdout.splitlines())), done.stderr
    assert done.stdout.startswith(f"{out}: ")
    assert out.read_text(encoding="utf-8").startswith(begin)


@pytest.mark.parametrize("command", ["leaderboard", "norms"])
@pytest.mark.parametrize("shape", ["table", "md"])
def test_brief_leaves_out_notes_and_says_how_many(invoke, trained, command, shape):
    """Tables and the sentence of the page are there; the last line counts what is not."""
    words = (command, "--store", trained, "--format", shape)
    record = json.loads(invoke(*words[:-1], "json").stdout)[-1]
    whole, brief = (invoke(*words, *more).stdout for more in ((), ("--brief",)))
    lines = [line for line in whole.splitlines() if line.startswith(("digits_cnn", "1", "|"))]
    last = " ".join(brief.split("- ")[-1].split())
    count = len(record["notes"] if command == "leaderboard" else record["left_out"])
    told = f"{count} notes, what" if count > 1 else f"{count} note, what" if count else "What"

    assert lines
    assert set(lines) <= set(brief.splitlines())
    assert f"{told} the words mean and what was tested: without --brief." == last
    assert "What was tested" in whole
    assert "What was tested" not in brief
    assert ("No row is shown to be better" in brief) == (command == "leaderboard")


@pytest.mark.parametrize(
    "words",
    [("--base", "none"), ("--alpha", "0.2"), ("--correction", "bh")],
    ids=" ".join,
)
def test_brief_says_that_p_are_exploratory(invoke, trained, words):
    """What was chosen when the table was asked for is told with it, notes or not."""
    asked = ("norms", "--store", trained, "--brief")
    plain, chosen = (" ".join(invoke(*asked, *more).stdout.split()) for more in ((), words))

    assert "exploratory" not in plain
    assert "Its p are exploratory." in chosen


def test_brief_is_for_people(invoke, trained):
    """Formats that always have the notes are refused, by option or by ending."""
    for words, shape in ((("--format", "json"), "json"), (("--output", "a.html"), "html")):
        done = invoke("leaderboard", "--store", trained, "--brief", *words)
        assert 2 == done.exit_code
        assert f"notes out, which {shape} always has: expected --format table or md" in done.stderr


def test_latex_has_two_names(invoke, trained):
    """``--format tex`` is ``--format latex``, as the ending .tex is."""
    words = ("norms", "--store", trained, "--format")
    short, long = (invoke(*words, name) for name in ("tex", "latex"))

    assert (0, long.stdout) == (short.exit_code, short.stdout)


def test_a_row_alone_is_told_what_it_lacks(invoke, trained):
    """``compare`` with one row says what the other one is, and which rows there are."""
    done = invoke("compare", "none+sgd", "--store", trained)

    assert 2 == done.exit_code
    assert "B is missing, the row to compare with" in done.stderr
    assert "(digits_cnn group_norm momentum standard" in done.stderr


def test_a_file_holds_what_standard_output_would(invoke, trained, tmp_path):
    """``--format`` wins over the ending, and the words are the same to the last byte."""
    out = tmp_path / "board.html"
    for shape in ("table", "json"):
        printed = invoke("leaderboard", "--store", trained, "--format", shape).stdout
        invoke("leaderboard", "--store", trained, "--format", shape, "--output", out)

        assert printed == out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words",
    [("compare", "batch_norm+sgd", "none+sgd"), ("norms",), ("optimizers",)],
    ids=lambda words: words[0],
)
def test_other_commands_write_files_too(invoke, trained, tmp_path, words):
    """Comparisons of two rows, of norms and of optimizers are pages with the protocol's rules."""
    out = tmp_path / "page.html"
    done = invoke(*words, "--store", trained, "--output", out)

    assert 0 == done.exit_code, done.stderr
    assert "Protocol standard" in out.read_text(encoding="utf-8")


def test_a_file_is_replaced_whole(invoke, trained, tmp_path):
    """What was there goes at once, nothing is left beside it, and a link stays a link."""
    out, link = tmp_path / "real" / "board.csv", tmp_path / "board.csv"
    out.parent.mkdir()
    out.write_text("before", encoding="utf-8")
    link.symlink_to(out)
    invoke("leaderboard", "--store", trained, "--output", link)

    assert link.is_symlink()
    assert out.read_text(encoding="utf-8").startswith("board,rank,")
    assert [out] == list(out.parent.iterdir())


def test_a_pipe_is_written_to(invoke, trained, tmp_path):
    """What is no file, such as a named pipe, is left what it is."""
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    done = invoke("leaderboard", "--store", trained, "--output", pipe)

    assert 0 == done.exit_code, done.stderr
    assert os.read(reading, 1 << 16).startswith(b"board,rank,")
    os.close(reading)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("board.pdf", "expected a name that ends in .html, .md, .tex, .csv, .json, .txt"),
        ("board", "or --format beside it"),
        ("missing/board.html", "there is no folder .*missing. Make it first: mkdir -p "),
        ("", "is a folder: expected a file, such as board.html"),
    ],
)
def test_a_wrong_file_is_said_before_anything_is_read(tmp_path, name, said):
    """An unknown ending, a missing folder and a folder are refused with the fix."""
    with pytest.raises(UsageError, match=said):
        target_of(None, tmp_path / name)


def test_any_name_will_do_beside_a_format(tmp_path):
    """With ``--format`` the ending is free; with neither there is a table on standard output."""
    assert Target("csv", tmp_path / "board") == target_of("csv", tmp_path / "board")
    assert Target("table") == target_of(None, None)


def test_a_file_that_cannot_be_written_is_one_sentence(invoke, trained, tmp_path, monkeypatch):
    """The reason and the fix, no traceback; what was there stays."""
    out = tmp_path / "board.csv"
    out.write_text("before", encoding="utf-8")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("normbench.store.files.write_whole", full)
    done = invoke("leaderboard", "--store", trained, "--output", out)

    assert 1 == done.exit_code
    assert f"{out} cannot be written: No space left on device." in done.stderr
    assert "before" == out.read_text(encoding="utf-8")


def test_links_need_an_address(invoke, trained):
    """An address without its scheme is refused with the form that is expected."""
    done = invoke("leaderboard", "--store", trained, "--links", "localhost:5000")

    assert 2 == done.exit_code
    assert "expected the form http://127.0.0.1:5000" in done.stderr


def drawn(invoke, trained, tmp_path, *words) -> str:
    done = invoke("plot", "--store", trained, "--out", tmp_path / "f.svg", *words)
    assert 0 == done.exit_code, done.stderr
    return done.stdout.partition(": ")[2].strip()


def test_figures_of_leaderboards_are_drawn_of_the_rows_chosen(invoke, trained, tmp_path):
    """The words of other figures choose rows; the reference is there in any case."""
    assert "1 table, 6 rows" == drawn(invoke, trained, tmp_path, "--figure", "forest")
    assert "1 table, 6 rows" == drawn(invoke, trained, tmp_path, "--figure", "heatmap")
    words = ("--figure", "forest", "norm=batch_norm", "optimizer=sgd")
    assert "1 table, 2 rows" == drawn(invoke, trained, tmp_path, *words)
    assert (tmp_path / "f.svg").read_bytes().startswith(b"<?xml")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A suite whose rows with the word protocol.epochs=3 the store has, and their reference."""
    path = tmp_path_factory.mktemp("suite") / "mine.yaml"
    path.write_text(
        "problem: digits_cnn\nnorms: [none, batch_norm]\noptimizers: [sgd, momentum]\n"
        "reference: {norm: batch_norm, optimizer: sgd}\n",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize(
    "command",
    [("leaderboard",), ("norms",), ("optimizers",), ("compare", "none+sgd", "batch_norm+sgd")],
    ids=lambda command: command[0],
)
def test_tables_of_a_suite_take_the_words_of_its_run(invoke, trained, suite, command):
    """With them its rows are found; without them the message says how they are."""
    place = ("--store", trained, "--suite", suite)
    found = invoke(*command, "protocol.epochs=3", *place, "--format", "csv")
    lost = invoke(*command, *place)
    loose = invoke(*command, "protocol.epochs=3", "--store", trained)

    assert 0 == found.exit_code, found.stderr
    assert "group_norm" not in found.stdout
    assert [2, 2] == [lost.exit_code, loose.exit_code]
    assert "give the words of the suite run, such as protocol.epochs=1, here, too" in lost.stderr
    assert "there is no --suite. Add --suite NAME_OR_FILE" in loose.stderr


def test_a_figure_is_of_the_same_table(invoke, trained, suite, tmp_path, monkeypatch):
    """Suite, words, filters, reference and terms mean the same to ``plot`` as to the table."""
    words = ("protocol.epochs=3", "--suite", suite, "--norm", "none", "--reference", "none+sgd")
    seen = []

    def remember(name, boards):
        seen.extend(boards)
        return draw(name, boards)

    draw = plots.draw_board_figure
    monkeypatch.setattr(plots, "draw_board_figure", remember)
    said = drawn(invoke, trained, tmp_path, "--figure", "forest", "--alpha", "0.1", *words)
    shown = invoke("leaderboard", *words, "--alpha", 0.1, "--store", trained, "--format", "json")

    assert "1 table, 2 rows" == said
    assert json.loads(shown.stdout)[0] == json.loads(json.dumps(board_record(seen[0])))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--figure", "curves", "--norm", "none"), "--norm is for figures of leaderboards (forest"),
        (("--figure", "time_to_target"), "has no target"),
        (("--figure", "profiles"), "takes two problems or more"),
        (("--figure", "critical_difference"), "takes two problems or more"),
        (("--figure", "forest", "--publish"), "normbench leaderboard --publish"),
        (("--figure", "forst"), "Did you mean 'forest'"),
        (
            ("--figure", "heatmap", "norm=none", "optimizer=momentum"),
            "expected two or more of each",
        ),
    ],
)
def test_what_cannot_be_drawn_is_said(invoke, trained, tmp_path, words, said):
    """Every figure that cannot be drawn says why, and nothing is written."""
    done = invoke("plot", "--store", trained, "--out", tmp_path / "f.png", *words)

    assert 0 != done.exit_code
    assert said in done.stderr
    assert not (tmp_path / "f.png").exists()


def test_all_figures_are_listed(invoke):
    """Figures of runs and of leaderboards stand in one list."""
    listed = invoke("plot", "--list").stdout

    assert "curves " in listed
    assert "critical_difference " in listed


def test_a_page_is_the_same_again(invoke, trained, tmp_path):
    """A page names neither where nor when it was made: the same values make the same page."""
    pages = []
    for name in ("one.html", "two.html"):
        invoke("leaderboard", "--store", trained, "--output", tmp_path / name)
        pages.append((tmp_path / name).read_text(encoding="utf-8"))

    assert pages[0] == pages[1]
    assert str(trained) not in pages[0]
