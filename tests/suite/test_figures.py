"""Each kind of figure: what it draws of which runs, and what it says of runs that do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from normbench.errors import UsageError
from normbench.plots import FIGURES, Look, draw_figure, save
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.specs import RunSpec
from normbench.store import RunState

CATALOGUE = load_catalogue()


@dataclass
class Run:
    """A finished run, as figures read it."""

    spec: RunSpec
    loss: float = 1.0
    score: float | None = 0.9
    epochs: int = 3

    @property
    def fingerprint(self) -> str:
        return self.spec.fingerprint

    def state(self) -> RunState:
        return RunState.FINISHED

    def result(self) -> dict[str, Any] | None:
        return None if self.score is None else {"score": self.score}

    def points(self) -> list[dict[str, Any]]:
        parts = {"loss": self.loss, "accuracy": 0.5}
        return [{"epoch": epoch, "train": parts} for epoch in range(1, self.epochs + 1)]


def specs(*words: str, seeds: int = 1, problem: str = "digits_cnn", **options: Any):
    """Return the specs of a request."""
    request = Request(problem=problem, optimizer="sgd", words=words, seeds=seeds, **options)
    return resolve(request, CATALOGUE)


def labels(figure) -> list[str]:
    """Return the entries of the legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines(axis) -> list[list[tuple[float, float]]]:
    """Return the points of each line of a panel."""
    return [list(map(tuple, line.get_xydata().tolist())) for line in axis.lines]


def modes(**options: Any) -> list[Run]:
    """Return a run of each ablation of batch norm, at losses 1, 2, 3 and 4."""
    names = ("trained", "fixed", "fixed_gamma", "fixed_beta")
    return [
        Run(specs(norm="batch_norm", ablation=name, **options)[0], loss=float(number))
        for number, name in enumerate(names, start=1)
    ]


def test_ablations_come_in_one_order_with_loss_beside_accuracy():
    """The network without norm comes first, then the modes; losses and accuracies have a panel."""
    figure = draw_figure("ablations", [*reversed(modes()), Run(specs()[0], loss=9.0)])

    assert [
        "no norm: n=1",
        "γ and β train: n=1",
        "neither trains: n=1",
        "β trains: n=1",
        "γ trains: n=1",
    ] == labels(figure)
    assert [9.0, 1.0, 2.0, 3.0, 4.0] == [points[0][1] for points in lines(figure.axes[0])]
    assert ["loss (mean per example)", "accuracy [%]"] == [a.get_ylabel() for a in figure.axes]


def test_masks_have_a_panel_each_with_dashed_references():
    """Every panel shows its own mask's curves, and the two references dashed."""
    full = modes()[0]
    runs = [*modes(sites=(1, 0, 0)), *modes(sites=(0, 1, 1)), full, Run(specs()[0], loss=9.0)]
    figure = draw_figure("masks", runs)

    assert ["sites 100", "sites 011"] == [axis.get_title() for axis in figure.axes]
    for axis in figure.axes:
        dashed = [line for line in axis.lines if line.get_linestyle() == "--"]
        assert 6 == len(axis.lines)
        assert [9.0, 1.0] == [line.get_ydata()[0] for line in dashed]


def test_learning_rates_are_sorted_and_named():
    """One curve for each learning rate, from small to large."""
    runs = [Run(specs(f"lr={rate}")[0], loss=rate) for rate in (0.5, 0.01, 0.1)]

    assert ["η = 0.01: n=1", "η = 0.1: n=1", "η = 0.5: n=1"] == labels(
        draw_figure("learning_rates", runs)
    )


def test_sensitivity_marks_every_seed_around_the_mean():
    """The line passes through the means in percent, and each seed has a mark."""
    runs = [
        Run(spec, score=score)
        for rate, scores in (("0.1", (0.8, 0.9)), ("1", (0.4, 0.6)))
        for spec, score in zip(specs(f"lr={rate}", seeds=2), scores, strict=True)
    ]
    axis = draw_figure("sensitivity", runs).axes[0]

    assert [[0.1, pytest.approx(85)], [1.0, pytest.approx(50)]] == axis.lines[
        0
    ].get_xydata().tolist()
    assert [80.0, 90.0] == axis.lines[1].get_ydata().tolist()
    assert ("log", "test accuracy [%]") == (axis.get_xscale(), axis.get_ylabel())


def test_batch_sizes_run_from_large_to_small_with_students_band():
    """Errors in percent against a falling batch size; the band of three seeds is Student's."""
    runs = [
        Run(spec, score=score)
        for size in (2, 8, 32)
        for spec, score in zip(
            specs(f"problem.batch_size={size}", seeds=3), (0.89, 0.9, 0.91), strict=True
        )
    ]
    axis = draw_figure("batch_size", runs).axes[0]
    band = axis.collections[0].get_paths()[0].vertices[:, 1]

    assert axis.xaxis_inverted()
    assert ["32", "8", "2"] == [tick.get_text() for tick in axis.get_xticklabels()]
    assert [pytest.approx(10.0)] * 3 == axis.lines[0].get_ydata().tolist()
    assert (pytest.approx(10 - 2.48414, abs=1e-4), pytest.approx(10 + 2.48414, abs=1e-4)) == (
        band.min(),
        band.max(),
    )


@pytest.mark.parametrize(
    ("name", "runs", "message"),
    [
        ("ablation", modes(), "Did you mean 'ablations'"),
        ("curves", [], "no runs were chosen"),
        ("curves", [modes()[0], Run(specs(problem="quadratic_deep")[0])], "share no axis"),
        ("ablations", [*modes(), *modes(sites=(1, 0, 0))], "sites=all,none"),
        ("ablations", [*modes(), Run(specs("lr=3", norm="batch_norm")[0])], "same ablation"),
        ("masks", modes(), "none of these runs has a mask"),
        ("learning_rates", modes()[:2], "differ in something else"),
        ("sensitivity", modes(), "1 learning rates with a result"),
        ("sensitivity", [Run(specs()[0], score=None)], "0 learning rates with a result"),
        ("batch_size", modes(), "1 batch sizes with a result"),
        ("batch_size", [Run(specs(problem="quadratic_deep")[0])], "no accuracy"),
    ],
)
def test_runs_that_do_not_fit_are_refused(name, runs, message):
    """What a figure cannot show of the runs is said, with what to choose instead."""
    with pytest.raises(UsageError, match=message):
        draw_figure(name, runs)


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_every_format_is_written(tmp_path, ending):
    """A figure is written in each of the three formats."""
    path = tmp_path / f"figure{ending}"
    save(draw_figure("ablations", modes(), Look(log_loss=True)), path)

    assert path.stat().st_size > 1000


def test_legends_fit_their_figures():
    """No legend is wider than its figure, nor does it reach into the panels."""
    runs = [*modes(), Run(specs()[0])]
    figure = draw_figure("ablations", runs)
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()

    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= min(axis.get_tightbbox().y0 for axis in figure.axes)


def test_every_figure_has_a_summary():
    """The list of figures says what each shows."""
    assert all(kind.summary and ":" in kind.target for kind in FIGURES.values())
