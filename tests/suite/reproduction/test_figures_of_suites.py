"""Which figures the axes of a suite call for."""

from __future__ import annotations

import pytest

from normbench.plots import FIGURES
from normbench.reproduction.choosing import MOST_CURVES, wishes
from normbench.reproduction.drawing import CAPTIONS
from normbench.resolve import Request, resolve

KINDS = {
    "group_norm_study": {"curves", "batch_size"},
    "beyond_batchnorm": {"curves", "batch_size"},
    "dissect_bn": {"curves", "ablations", "masks"},
    "bn_init": {"curves"},
    "spherical": {"curves"},
    "deepobs_small": {"curves"},
    "deepobs_large": {"curves"},
}


def asked(specs):
    problems = dict.fromkeys(spec.problem.name for spec in specs)
    return [w for p in problems for w in wishes([s for s in specs if s.problem.name == p])]


@pytest.mark.parametrize("suite", KINDS)
def test_axes_of_a_suite_choose_its_figures(specs_of, suite):
    """Batch sizes, masks and ablations have their figure where a suite varies them."""
    found = asked([specs[0] for specs in specs_of(suite)])

    assert KINDS[suite] == {wish.figure for wish in found}
    assert all(wish.figure in FIGURES and wish.figure in CAPTIONS for wish in found)


@pytest.mark.parametrize("suite", KINDS)
def test_no_row_is_left_out_of_curves_unseen(specs_of, suite):
    """Every row is drawn somewhere, and no figure of curves holds more than fits."""
    specs = [specs[0] for specs in specs_of(suite)]
    found = asked(specs)

    assert {spec.row for spec in specs} == {spec.row for wish in found for spec in wish.rows}
    assert MOST_CURVES >= max(len(w.rows) for w in found if w.figure == "curves")


def test_learning_rates_have_figures(catalogue):
    """Rows that differ in the learning rate alone are drawn by it, one figure for each method."""
    specs = [
        resolve(Request(problem="digits_cnn", optimizer=o, words=(f"lr={lr}",), seeds=1), catalogue)
        for o in ("sgd", "adam")
        for lr in (0.1, 0.01)
    ]
    found = asked([spec for (spec,) in specs])
    drawn = {(wish.figure, wish.about): len(wish.rows) for wish in found}

    assert drawn["learning_rates", "none with sgd"] == 2
    assert drawn["sensitivity", "standard"] == 4
