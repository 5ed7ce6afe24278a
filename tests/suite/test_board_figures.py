"""Figures of leaderboards: legible at any number of rows, true to the board, safe in a page."""

from __future__ import annotations

import importlib.util
import random
import re
import sys
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from normbench.errors import UsageError
from normbench.leaderboard.across import performance_profile
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.new_problems import friedman
from normbench.leaderboard.overall import LEVELS, Overall, Standing
from normbench.leaderboard.verdicts import Verdict
from normbench.plots import critical_difference, draw_board_figure, forest, heatmap, profiles, svg
from normbench.plots.critical_difference import _groups
from normbench.plots.marks import MARKS, differences, limits
from normbench.plots.time_to_target import time_to_target
from normbench.plugins import load_catalogue

PROBLEMS = (
    *("digits_cnn", "cifar10_3c3d", "fmnist_2c2d", "mnist_mlp", "svhn_3c3d", "cifar100_3c3d"),
    *("mnist_2c2d", "fmnist_mlp"),
)
EVIL = "<b>$x_1$&\"'\x01\u202e"


def _rows():
    """Return the module that makes rows as a store would give them."""
    path = Path(__file__).with_name("leaderboard") / "conftest.py"
    spec = importlib.util.spec_from_file_location("rows_of_figures", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MADE = _rows()


def boards_of(norms, optimizers=("momentum", "sgd"), problems=("digits_cnn",), **row):
    """Return boards of norms by optimizers with scores around their means."""
    chance = random.Random(2)
    rows = [
        MADE.made_row(
            norm,
            optimizer,
            [0.8 + mean + chance.gauss(0, 0.004) for _ in range(6)],
            problem=problem,
            diverged=(0,) if (norm, optimizer) == ("wild", "sgd") else (),
            **row,
        )
        for problem in problems
        for norm, mean in norms.items()
        for optimizer in optimizers
    ]
    return make_boards(MADE.Rows(rows), load_catalogue(), Wanted())


NORMS = {"none": 0.0, "batch_norm": 0.03, "layer_norm": -0.02, "wild": 0.01}


def overall_of_many(methods: int) -> Overall:
    """Return so many methods over eight problems."""
    chance = np.random.default_rng(methods)
    table = 1 + chance.normal(0, 0.01, (methods, 1)) + chance.normal(0, 0.005, (methods, 8))
    names = [(f"norm_{i}", "momentum") for i in range(methods)]
    standings = [
        Standing(
            norm=norm,
            optimizer=optimizer,
            problems=8,
            mean=float(scores.mean()),
            interval=(float(scores.min()), float(scores.max())),
            improvement=0.5,
            p=None,
            rank=None,
            profile=tuple(performance_profile([scores], np.array(LEVELS))),
        )
        for (norm, optimizer), scores in zip(names, table, strict=True)
    ]
    return Overall(
        protocol="standard version 1, tf32",
        problems=PROBLEMS,
        standings=tuple(standings),
        test=friedman(table),
        tested=tuple(names),
        left_out=(),
    )


def texts_of(figure) -> list:
    """Return the texts that show, after the figure was laid out."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    found = [text for text in figure.findobj(Text) if text.get_text().strip()]
    beyond = [
        label
        for panel in figure.axes
        for axis, limits_ in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim()))
        for place, label in zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=False)
        if not min(limits_) <= place <= max(limits_)
    ]
    return [text for text in found if text.get_visible() and text not in beyond]


def overlapping(figure) -> list[tuple[str, str]]:
    """Return the pairs of texts that overlap by more than a pixel, or leave the figure."""
    texts = [(text.get_text(), text.get_window_extent()) for text in texts_of(figure)]
    whole = figure.bbox
    outside = [
        (name, "edge")
        for name, box in texts
        if box.x0 < -1 or box.y0 < -1 or box.x1 > whole.x1 + 1 or box.y1 > whole.y1 + 1
    ]
    pairs = [
        (first, second)
        for (first, one), (second, other) in combinations(texts, 2)
        if min(one.x1, other.x1) - max(one.x0, other.x0) > 1
        and min(one.y1, other.y1) - max(one.y0, other.y0) > 1
    ]
    return outside + pairs


def test_curves_to_the_target_rise_when_a_seed_reaches_it():
    """Not before: between two times the share is that of the earlier one; missed seeds count."""
    row = MADE.made_row("none", "momentum", [0.9] * 4)
    missed = {"target": 0.8, "reached": False, "epochs": None, "seconds": None}
    details = {
        run.fingerprint: {
            "outcome": "finished",
            "train_seconds": 1.0,
            "time_to_target": missed
            if seed == 3
            else {**missed, "reached": True, "epochs": seed + 2},
        }
        for seed, run in row.runs.items()
    }
    figure = time_to_target(make_boards(MADE.Rows([row], details), load_catalogue(), Wanted())[0])
    (line,) = figure.axes[0].lines

    assert "steps-post" == line.get_drawstyle()
    assert [(0.0, 0.0), (2, 0.25), (3, 0.5), (4, 0.75)] == list(zip(*line.get_data(), strict=True))[
        :4
    ]
    assert [text.get_text() for text in texts_of(figure) if "(3, 3/4)" in text.get_text()]


@pytest.mark.parametrize("rows", [2, 16, 60])
@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
def test_labels_of_a_forest_never_overlap(rows, long):
    """From two to sixty rows, of short names and of very long ones."""
    more = " scale_init=0.1 scale_lr_divisor=10 train=fixed_gamma" if long else ""
    norms = {"none": 0.0} | {f"norm_{i}{more}": i / 1000 for i in range(1, rows // 2)}
    (board,) = boards_of(norms)

    assert rows == len(board.entries)
    assert [] == overlapping(forest(board))


@pytest.mark.parametrize("more", ["", " [num_groups=4, fixed_gamma, sites 0,1,1]"])
@pytest.mark.parametrize(("norms", "optimizers"), [(2, 2), (4, 4), (5, 12), (12, 5)])
def test_labels_of_a_heatmap_never_overlap(norms, optimizers, more):
    """Short and long names, wide and high; what was changed of a norm can be read in full."""
    named = [f"a_norm_with_a_name_{i}{more}" for i in range(1, norms)]
    others = ["momentum", *(f"an_optimizer_{i}" for i in range(1, optimizers))]
    figure = heatmap(boards_of({"none": 0.0} | dict.fromkeys(named, 0.01), others)[0])
    shown = {text.get_text().replace("\n", " ") for text in texts_of(figure)}

    assert [] == overlapping(figure)
    assert {*named} <= shown


@pytest.mark.parametrize("methods", [3, 16, 60])
def test_labels_of_a_critical_difference_figure_never_overlap(methods):
    """From three to sixty methods over eight problems."""
    overall = overall_of_many(methods)

    assert [] == overlapping(critical_difference(overall))
    assert [] == overlapping(profiles(overall))


def test_a_forest_says_what_the_table_says():
    """Difference, interval and verdict of every row but the reference, in the table's order."""
    (board,) = boards_of(NORMS)
    texts = [text.get_text() for text in texts_of(forest(board))]
    rows = [entry for entry in board.entries if entry.comparison]
    names = [f"{entry.row.norm_label} {entry.row.optimizer}" for entry in rows]
    words = [f"{MARKS[entry.verdict].sign} {entry.verdict.value}" for entry in rows]

    assert names == [text for text in texts if text in names]
    assert sorted(words) == sorted(
        text.removesuffix(", 1 div") for text in texts if text[0] in "▲▼■○◇✕"
    )
    assert sum(", 1 div" in text for text in texts) == 1


def test_a_forest_is_the_same_way_round_as_the_table():
    """For a loss the better row is on the left, and the axis says so."""
    (board,) = boards_of({"none": 0.0, "batch_norm": -0.1}, ("momentum",), metric=MADE.LOSS)
    figure = forest(board)
    drawn = [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() == "^"]

    assert Verdict.BETTER is board.entries[0].verdict
    assert drawn[0][0] == pytest.approx(-board.entries[0].comparison.difference)
    assert "to the left is better" in figure.axes[0].get_xlabel()


def test_one_row_far_out_leaves_room_for_the_others():
    """The axis holds the calm rows; what lies beyond ends in an arrow at its edge."""
    (board,) = boards_of({**NORMS, "lost": -0.6}, ("momentum", "sgd"))
    low, high = limits(differences(board), 0.5)
    markers = [line.get_marker() for line in forest(board).axes[0].lines]

    assert -30 < low < -2
    assert high < 30
    assert "<" in markers


def test_rows_that_diverged_do_not_stretch_the_axis():
    """Of two rows, one calm and one with a diverged seed, the calm one decides the range."""
    (board,) = boards_of({"none": 0.0, "wild": 0.01})
    row = next(row for row in differences(board) if not row.entry.row.diverged)
    low, high = limits([row], 0.0)

    assert (low, high) == limits([*differences(board)[-1:], row], 0.0)
    assert high - low < 10


def test_tiles_are_blue_where_a_row_is_better():
    """For a loss too, where better is less."""
    (board,) = boards_of({"none": 0.0, "batch_norm": -0.1}, metric=MADE.LOSS)
    tiles = [patch.get_facecolor() for patch in heatmap(board).axes[0].patches if patch.get_fill()]
    better = [e for e in board.entries if e.verdict is Verdict.BETTER]

    assert len(better) <= sum(red < blue for red, _, blue, _ in tiles) < 4
    assert better


def test_verdicts_differ_by_more_than_colour():
    """Every verdict has a marker and a sign that no other has."""
    assert set(Verdict) == set(MARKS)
    assert len(MARKS) == len({mark.marker for mark in MARKS.values()})
    assert len(MARKS) == len({mark.sign for mark in MARKS.values()})


def test_a_heatmap_shows_cells_without_runs_and_seeds_that_diverged():
    """Each tile has its difference and verdict; the reference its mean; a missing cell says so."""
    (board,) = boards_of(NORMS)
    kept = [entry for entry in board.entries if entry.row.norm != "layer_norm"]
    kept += [e for e in board.entries if (e.row.norm, e.row.optimizer) == ("layer_norm", "sgd")]
    texts = [
        t.get_text()
        for t in texts_of(heatmap(board.__class__(**{**vars(board), "entries": tuple(kept)})))
    ]

    assert 1 == texts.count("no runs")
    assert 1 == sum(text.endswith("reference") and "%" in text for text in texts)
    assert 1 == sum(text.endswith("1 div") for text in texts)


def test_a_cell_of_several_settings_is_no_choice_of_the_best():
    """Where no setting stands for the cell, the tile says how many there are."""
    rows = [
        MADE.made_row(norm, optimizer, [0.8, 0.82, 0.81, 0.83, 0.8], origin=origin, setting=setting)
        for norm in ("none", "batch_norm")
        for optimizer in ("momentum", "sgd")
        for origin, setting in (
            [("given", {"lr": 1}), ("given", {"lr": 2})]
            if (norm, optimizer) == ("batch_norm", "sgd")
            else [("default", {})]
        )
    ]
    (board,) = make_boards(MADE.Rows(rows), load_catalogue(), Wanted())

    assert "2 settings" in [text.get_text() for text in texts_of(heatmap(board))]


def test_a_tile_says_which_of_several_settings_it_shows():
    """The tuned row stands for the cell, whatever its scores; the figure names the other."""
    rows = [
        MADE.made_row(norm, optimizer, scores, origin=origin, setting=setting)
        for norm in ("none", "batch_norm")
        for optimizer in ("momentum", "sgd")
        for origin, setting, scores in (
            [("known", {"lr": 1}, (0.6, 0.62, 0.61)), ("default", {}, (0.9, 0.92, 0.91))]
            if (norm, optimizer) == ("batch_norm", "sgd")
            else [("default", {}, (0.8, 0.82, 0.84))]
        )
    ]
    (board,) = make_boards(MADE.Rows(rows), load_catalogue(), Wanted())
    texts = [text.get_text() for text in texts_of(heatmap(board))]
    below = " ".join(next(text for text in texts if "Of several settings" in text).split())

    assert ["-21.00", "lr=1, 1 of 2"] == next(t for t in texts if "1 of 2" in t).split("\n")[::2]
    assert "batch_norm sgd: lr=1 (known), not untuned. Choose with --setting" in below
    assert "1 row tuned, 3 rows untuned" in below
    assert 3 == sum(text.endswith("\nuntuned") for text in texts)


@pytest.mark.parametrize("rows", [2, 20])
def test_times_to_the_target_are_censored(rows):
    """A line rises by one seed's share at its time, and seeds that miss the target never count."""
    made = [MADE.made_row(f"norm_{i}", "sgd", [0.8, 0.82, 0.81, 0.83]) for i in range(rows)]
    epochs = {0: 2, 1: 5, 2: None, 3: 5}
    details = {
        run.fingerprint: {
            "outcome": "finished",
            "train_seconds": 1.0,
            "time_to_target": {
                "target": 0.8,
                "reached": bool(epochs[seed] and row is not made[1]),
                "epochs": epochs[seed],
                "seconds": 1.0,
            },
        }
        for row in made
        for seed, run in row.runs.items()
    }
    (board,) = make_boards(MADE.Rows(made, details), load_catalogue(), Wanted())
    lines = draw_board_figure("time_to_target", [board]).axes[0].get_lines()
    shares = {tuple(line.get_ydata()) for line in lines}

    assert {(0, 0.25, 0.5, 0.75, 0.75), (0, 0)} == shares
    assert [0, 2, 5, 5, 5.25] == pytest.approx(list(lines[-1].get_xdata()))
    assert rows == len(lines)
    with pytest.raises(UsageError, match="has no target"):
        draw_board_figure("time_to_target", boards_of(NORMS))


def test_groups_of_ranks_are_the_longest_ones():
    """Ranks closer than the width are joined; a group within another is not drawn."""
    assert [(0, 2), (2, 3)] == _groups([1.0, 1.5, 2.4, 3.5], 1.5)
    assert [] == _groups([1.0, 3.0, 5.0], 1.5)


def test_svg_is_safe_and_takes_the_pages_colours():
    """Names are text, black is the page's colour, others have classes; no style, script or font."""
    (board,) = boards_of({**NORMS, EVIL: 0.02})
    text = svg(forest(board), label=EVIL.replace("\x01", ""))
    root = ElementTree.fromstring(text)  # noqa: S314 - ours
    names = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")]

    assert any("<b>$x_1$&\"'\ufffd\ufffd" in name for name in names)
    assert {"stroke-0072b2", "fill-0072b2"} <= set(re.findall(r"[\w-]+-0072b2", text))
    assert 'fill="currentColor"' in text
    assert not re.search(r"<script|<style| style=|font-family: |<metadata|#000000", text)
    assert text == svg(forest(board), label=EVIL.replace("\x01", ""))


def test_two_figures_share_no_id():
    """Several figures of one kind stand in one page; ids are each its own, and all are used."""
    texts = [svg(forest(board)) for board in boards_of(NORMS, problems=PROBLEMS[:2])]
    first, second = (set(re.findall(r' id="([^"]+)"', text)) for text in texts)

    assert first
    assert not first & second
    assert first == set(re.findall(r'(?:href="#|url\(#)([^")]+)', texts[0]))


def test_what_cannot_be_drawn_is_said_with_the_fix():
    """Too few problems, norms or boards, an unknown name: each error says what there is."""
    boards = boards_of({"none": 0.0, "batch_norm": 0.1}, ("momentum",), PROBLEMS[:2])

    with pytest.raises(UsageError, match="takes 8 problems and 3 methods"):
        draw_board_figure("critical_difference", boards)
    with pytest.raises(UsageError, match=r"these runs are of 2: .* --problem cifar10_3c3d"):
        draw_board_figure("forest", boards)
    with pytest.raises(UsageError, match="takes two problems or more"):
        draw_board_figure("profiles", boards[:1])
    with pytest.raises(UsageError, match="has 2 norms and 1 optimizers"):
        draw_board_figure("heatmap", boards[:1])
    with pytest.raises(UsageError, match="Did you mean 'forest'"):
        draw_board_figure("forst", boards)
