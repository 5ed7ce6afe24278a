"""The report of a study: what its tables and files say, and what its figures draw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from normbench.descriptions import Metric
from normbench.errors import NormbenchError, UsageError
from normbench.parameters import Search
from normbench.plots.budget import budget_figure
from normbench.plots.hyperparameters import hyperparameter_figure
from normbench.tuning.cells import Table
from normbench.tuning.record import _score
from normbench.tuning.report import budget_tables, report_tables, write_report
from normbench.tuning.space import Axis, Space
from normbench.tuning.study import Study, Trial
from normbench.tuning.summary import summarize
from normbench.tuning.tables import aligned

SPACE = Space(
    (
        Axis(word="lr", search=Search(scale="log", low=0.001, high=10.0)),
        Axis(word="kind", search=Search(scale="choice", choices=("a", "b"))),
    )
)
ACCURACY = Metric(name="test_accuracy", direction="max", worst=0.1, smallest_difference=0.005)
LOSS = Metric(name="test_loss", direction="min", worst=2.3, smallest_difference=0.02)


def trial(number: int, score: float | None, **changes) -> Trial:
    """Return a trial of one run that finished, or diverged where it has no score."""
    made = Trial(
        number=number,
        values={"lr": 0.001 * 1.5**number, "kind": "ab"[number % 2]},
        runs={100000: f"{number:032x}"},
        scores={} if score is None else {100000: score},
        tests={} if score is None else {100000: score - 0.01},
        diverged=frozenset() if score is not None else frozenset({100000}),
    )
    return replace(made, **changes)


def study(scores: Sequence[float | None], *, default: float | None = 0.5, **changes) -> Study:
    """Return a study with a trial for each score."""
    made = Study(
        id="0123456789abcdef",
        problem="digits_cnn",
        norm="batch_norm",
        norm_label="batch_norm",
        optimizer="sgd",
        protocol="quick",
        space=SPACE,
        method="sobol",
        tuning_seeds=(100000,),
        metric=ACCURACY,
        trials=tuple(trial(number, score) for number, score in enumerate(scores, 1)),
        default=trial(0, default, values={}),
    )
    return replace(made, **changes)


RISING = tuple(0.5 + 0.02 * number for number in range(20))


def in_lines(found: Sequence[Table]) -> list[str]:
    """Return tables as text."""
    return [
        line
        for table in found
        for line in (
            table.title,
            *aligned([table.columns, *table.rows], table.columns, table.right).splitlines(),
            *table.notes,
        )
    ]


def report_lines(made: Study) -> list[str]:
    return in_lines(report_tables(made))


def budget_lines(made: Study) -> list[str]:
    return in_lines(budget_tables(made))


def row(lines: Sequence[str], begin: str) -> list[str]:
    """Return the cells of the line that begins so."""
    line = next(line for line in lines if line.strip().startswith(begin))
    return [cell for cell in line.split("  ") if cell]


def test_budgets_stand_beside_the_default_setting():
    """One table has the default setting and 5, 10 and all trials: expected, and as drawn."""
    lines = budget_lines(
        study((0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5), default=0.6)
    )

    assert ["default setting", "60.00 %", "59.00 %"] == [
        cell.strip() for cell in row(lines, "default setting")
    ]
    assert "68.18 %" == row(lines, "5 ")[1].strip()
    assert "90.00 % to 90.00 %" == row(lines, "11 ")[2].strip()
    assert "90.00 %" == row(lines, "5 ")[-1].strip()
    assert "expected to take 3." in lines[-1]
    assert [5] == [budget.trials for budget in summarize(study(RISING[:5])).budgets]


def test_a_diverged_trial_counts_as_the_worst_score():
    """Of one that scored 0.9 and one that diverged, one trial is expected to find 50 %."""
    summary = summarize(study((0.9, None)))

    assert [pytest.approx(0.5), pytest.approx(0.9)] == [b.validation for b in summary.curve]
    assert [pytest.approx(0.495), pytest.approx(0.89)] == [b.test for b in summary.curve]
    assert (1, 2) == (summary.diverged.count, summary.diverged.total)


def test_a_finished_trial_never_counts_as_worse_than_a_diverged_one():
    """A loss beyond the worst score is taken as the worst score."""
    summary = summarize(study((5.0, None, 1.0), metric=LOSS))

    assert pytest.approx((2.3 + 2.3 + 1.0) / 3) == summary.curve[0].validation
    assert pytest.approx(1.0) == summary.curve[-1].validation
    assert 2.3 == _score({"validation": {"loss": 5.0}}, "validation", LOSS, "a run")


def test_trials_without_results_are_left_out_and_counted():
    """The curve rests on what has ended; a study without any result says so."""
    unfinished = study((0.9, 0.8), trials=(trial(1, 0.9), trial(2, 0.8, scores={}, tests={})))
    summary = summarize(unfinished)

    assert (1, 1, 1) == (len(summary.trials), summary.missing, len(summary.curve))
    assert "as drawn" in budget_lines(study((0.9, 0.8)))[1]
    assert "as drawn" not in budget_lines(unfinished)[1]
    empty = study((), trials=(trial(1, 0.9, scores={}, tests={}),))
    assert [] == budget_lines(empty)
    with pytest.raises(UsageError, match=r"none of the 1 trials of study 01234567.* has ended"):
        report_lines(empty)


def test_a_sequential_study_shows_the_best_so_far():
    """Its curve follows the order of trials and has no interval, which the report says."""
    summary = summarize(study((0.5, 0.9, 0.7), method="tpe", default=0.9))
    lines = budget_lines(summary.study)

    assert [0.5, 0.9, 0.9] == [budget.validation for budget in summary.curve]
    assert 2 == summary.trials_to_default
    assert not any("middle" in line for line in lines)
    assert "the best so far, trial after trial" in " ".join(lines)


def test_without_test_scores_there_are_none():
    """A finished trial without test score leaves test columns and panel out."""
    bare = study((0.9, 0.8), trials=(trial(1, 0.9, tests={}), trial(2, 0.8)))

    assert summarize(bare).curve[0].test is None
    assert "test" not in budget_lines(bare)[1].replace("test_", "")
    assert 1 == len(budget_figure(summarize(bare)).axes)


def test_report_says_what_too_few_trials_cannot():
    """Ten trials have a correlation but no share of variance; twenty have both."""
    few, many = (" ".join(report_lines(study(RISING[:n]))) for n in (10, 20))

    assert "too few trials (10 of 16)" in few
    assert "too few" not in many
    assert "no order" in few


def test_divergence_has_a_table_only_where_there_is_some():
    """Thirds and bounds are shown where a trial diverged, and not otherwise."""
    some = report_lines(study((*RISING[:5], None)))

    assert "Where trials diverged" in some
    assert "0.01139" in " ".join(some)
    assert "Where trials diverged" not in report_lines(study(RISING[:5]))


def test_every_study_of_trials_has_a_report(tmp_path):
    """One trial, all diverged, and a diverged default setting all have text, files and figures."""
    for number, scores in enumerate([(0.9,), (None, None), (*RISING, None)]):
        made = study(scores, default=None)
        paths = write_report(made, tmp_path / str(number))

        assert ["report.md", "report.json", "budget.png", "hyperparameters.png"] == [
            path.name for path in paths
        ]
        assert all(path.stat().st_size > 500 for path in paths)
        assert report_lines(made)


def test_json_has_what_the_tables_show(tmp_path):
    """The JSON is strict, and holds curve, default setting, divergence and sensitivities."""
    _, path, *_ = write_report(study((*RISING, None)), tmp_path)
    content = json.loads(path.read_text(), parse_constant=pytest.fail)

    assert (21, [5, 10, 20, 21]) == (len(content["curve"]), content["budgets"])
    assert 0.5 == content["default_budget"]["validation"]
    assert {"count": 1, "total": 21} == {
        key: content["diverged_share"][key] for key in ("count", "total")
    }
    assert ["kind", "lr"] == [each["name"] for each in content["sensitivities"]]


def test_markdown_is_of_whole_tables(tmp_path):
    """Every table row has as many cells as its heading, and the figures are named."""
    path = write_report(study((*RISING, None)), tmp_path)[0]
    blocks = path.read_text().split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]

    assert 4 == len(tables)
    for lines in tables:
        assert 1 == len({line.count("|") for line in lines})
    assert "![Score against each hyper-parameter](hyperparameters.png)" in blocks


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    """A file where the folder should be is named, without a traceback."""
    (tmp_path / "taken").write_text("")

    with pytest.raises(NormbenchError, match=r"taken.*cannot be written"):
        write_report(study((0.9,)), tmp_path / "taken")


def test_budget_figure_draws_curve_band_and_default():
    """Each panel has the expected scores in percent, a band, and the default setting as a line."""
    figure = budget_figure(summarize(study((0.5, 0.9))))

    assert ["validation accuracy [%]", "test accuracy [%]"] == [a.get_ylabel() for a in figure.axes]
    curve, default = figure.axes[0].lines
    assert [[1, 70.0], [2, 90.0]] == curve.get_xydata().round(9).tolist()
    assert [50.0, 50.0] == list(default.get_ydata())
    assert 1 == len(figure.axes[0].collections)


def test_sequential_budget_figure_marks_trials():
    """The best so far is a line in steps without a band, and every finished trial a mark."""
    axis = budget_figure(summarize(study((0.5, 0.9, None, 0.7), method="tpe"))).axes[0]
    marks = [line.get_xydata()[0].tolist() for line in axis.lines if line.get_marker() == "+"]

    assert [50, 90, 90, 90] == axis.lines[0].get_ydata().tolist()
    assert [[1, 50], [2, 90], [4, 70]] == marks
    assert 0 == len(axis.collections)


def test_hyperparameter_figure_has_a_panel_each():
    """Scores stand against values on their scale; diverged trials at the worse edge, good apart."""
    figure = hyperparameter_figure(summarize(study((0.5, 0.9, 0.9, None))))
    kind, lr = figure.axes
    others, good, diverged, _ = lr.lines

    assert ("log", "lr", "kind") == (lr.get_xscale(), lr.get_xlabel(), kind.get_xlabel())
    assert ["a", "b"] == [label.get_text() for label in kind.get_xticklabels()]
    assert ([50.0], [90.0, 90.0]) == (others.get_ydata().tolist(), good.get_ydata().tolist())
    assert [0.02] == list(diverged.get_ydata())
    assert [pytest.approx(0.001 * 1.5**4)] == list(diverged.get_xdata())
