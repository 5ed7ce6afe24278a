"""What ``normbench plot`` writes, and which runs it chooses."""

from __future__ import annotations

import struct

import pytest

from normbench.cli.selection import find_runs
from normbench.plots import gather


def size_of_png(path) -> tuple[int, int]:
    """Return width and height from the header of a PNG."""
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", header[16:24])


def test_png_has_a_panel_for_each_part_and_metric(invoke, filler, tmp_path):
    """Three parts and two metrics give a figure of 3.4 inches a column at 150 dots an inch."""
    filler.ended("finished", 3)
    out = tmp_path / "curves.png"
    done = invoke("plot", "--store", filler.root, "--out", out)
    width, height = size_of_png(out)

    assert (0, f"{out}: 1 row, 3 runs\n") == (done.exit_code, done.stdout)
    assert round(150 * (3 * 3.4 + 0.6)) == width
    assert 150 * 5.4 < height < 150 * 7


@pytest.mark.parametrize(
    ("ending", "begin"), [("svg", b"<?xml"), ("pdf", b"%PDF")], ids=["svg", "pdf"]
)
def test_ending_decides_the_format(invoke, filler, tmp_path, ending, begin):
    """The name's ending decides what is written."""
    filler.ended()
    out = tmp_path / f"curves.{ending}"
    invoke("plot", "--store", filler.root, "--out", out)

    assert out.read_bytes().startswith(begin)


def test_a_figure_without_a_name_is_called_by_its_kind(invoke, filler, tmp_path, monkeypatch):
    """Another figure does not take its place."""
    filler.ended("finished", 2)
    monkeypatch.chdir(tmp_path)

    for figure in ("curves", "ablations"):
        assert 0 == invoke("plot", "--figure", figure, "--store", filler.root).exit_code
    assert ["normbench-ablations.png", "normbench-curves.png"] == sorted(
        path.name for path in tmp_path.glob("*.png")
    )


def drawn(invoke, filler, tmp_path, *words: str) -> str:
    """Return what a plot says it has drawn."""
    done = invoke("plot", *words, "--store", filler.root, "--out", tmp_path / "curves.png")
    assert 0 == done.exit_code, done.stderr
    return done.stdout.partition(": ")[2].strip()


def test_runs_are_chosen_by_fingerprint_row_and_words(invoke, filler, tmp_path):
    """A prefix of a run, a prefix of a row, and words each choose what they name."""
    runs = filler.ended(seeds=2)
    filler.ended(seeds=3, norm="group_norm")

    assert "1 row, 1 run" == drawn(invoke, filler, tmp_path, runs[0].fingerprint[:12])
    assert "1 row, 2 runs" == drawn(invoke, filler, tmp_path, runs[0].spec.row[:12])
    assert "1 row, 3 runs" == drawn(invoke, filler, tmp_path, "norm=group_norm")
    assert "2 rows, 5 runs" == drawn(invoke, filler, tmp_path, "problem=digits_cnn")
    assert "2 rows, 5 runs" == drawn(invoke, filler, tmp_path)


def labels(filler, *words: str) -> list[str]:
    """Return the labels of the rows that *words* choose."""
    return [curves.label for curves in gather(find_runs(filler.store, words))]


def test_labels_tell_rows_apart_and_no_more(filler):
    """Setting and rules are part of a label only where rows differ in nothing else."""
    filler.ended()
    filler.ended(norm="group_norm")
    assert ["batch_norm, sgd", "group_norm, sgd"] == labels(filler)

    filler.ended(words=("lr=0.02",))
    assert {"batch_norm, sgd, lr=0.1", "batch_norm, sgd, lr=0.02"} == set(
        labels(filler, "norm=batch_norm")
    )
    filler.ended(words=("protocol.drop_last=false",))
    rules = "protocol.epochs=3"
    assert f"group_norm, sgd, standard {rules}, lr=0.1" in labels(filler)


def test_rows_of_several_problems_are_not_mixed(invoke, filler, tmp_path):
    """Without a choice between problems the command asks for one."""
    filler.ended()
    filler.ended(problem="fmnist_2c2d")
    out = tmp_path / "curves.png"
    done = invoke("plot", "--store", filler.root, "--out", out)

    assert 2 == done.exit_code
    assert "normbench plot problem=" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("abcdef",), "no run or row of"),
        (("curves.pdf",), "To draw into that file: --output curves.pdf"),
        (("norms=batch_norm",), "Did you mean 'norm'?"),
        (("norm=bach_norm",), "Did you mean 'batch_norm'?"),
        (("--out", "curves.bmp"), "--output curves.bmp: expected a name that ends in .png, .svg,"),
        (
            ("--out", "no/curves.png"),
            "--output no/curves.png: there is no folder no. Make it first: mk",
        ),
        (("--band", "sd"), "'sd' is not one of"),
        (
            ("optimizer=adam", "norm=batch_norm"),
            "no run in this store has both optimizer=adam and norm=batch_norm. With optimizer=adam "
            "there is: group_norm",
        ),
        (("optimizer=adam", "lr=0.1"), "With optimizer=adam there is: 0.001"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_request_is_refused(invoke, filler, words, message):
    """A choice that matches nothing ends with exit code 2 and what would match."""
    filler.ended()
    filler.ended(norm="group_norm", optimizer="adam")
    done = invoke("plot", *words, "--store", filler.root)

    assert 2 == done.exit_code
    assert message in " ".join(done.stderr.split())


def test_runs_without_points_cannot_be_drawn(invoke, filler):
    """A store whose runs have no curve yet is refused, not drawn empty."""
    filler.pending()
    done = invoke("plot", "--store", filler.root)

    assert 2 == done.exit_code
    assert "has a curve yet" in done.stderr
