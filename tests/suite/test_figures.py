"""Each kind of figure: what it draws of which runs, and what it says of runs that do not fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from normbench.errors import UsageError
from normbench.plots import FIGURES, Look, draw_figure, save
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.series import Series
from normbench.specs import RunSpec
from normbench.store import RunState

CATALOGUE = load_catalogue()


def trajectories(gamma: float, *, norm: bool = True, moments: int = 3) -> Series:
    """Return γ and β of two channels at each of two sites, or the biases without a norm."""
    sites, empty = np.array([0, 0, 1, 1]), np.array([], dtype=int)
    rising = np.linspace([0.0] * 4, [1.0, 2.0, 3.0, 4.0], 3)
    rising = rising[:moments]
    arrays = {"step": 10 * np.arange(moments), "epoch": np.arange(moments) / 2}
    for name, values, present in (
        ("gamma", 1 + gamma * rising, norm),
        ("beta", rising, norm),
        ("bias", -rising, not norm),
    ):
        arrays[name] = values if present else values[:, :0]
        arrays[f"{name}_site"] = sites if present else empty
    return Series(arrays, {}, {}, {}, {})


def activations(scale: float) -> Series:
    """Return variances of three activations, and a number for each of two channels of a layer."""
    arrays = {
        "step": np.array([0, 10, 20]),
        "epoch": np.array([0.0, 1.0, 2.0]),
        "activation_variance": scale * np.arange(9.0).reshape(3, 3),
        "channel_std": np.arange(12.0).reshape(3, 4),
        "channel_layer": np.array([0, 0, 1, 1]),
    }
    dims = {
        "activation_variance": ("moment", "activation"),
        "channel_std": ("moment", "channel"),
    }
    return Series(arrays, dims, {"activation_variance": "activation²"}, {}, {})


@dataclass
class Run:
    """A finished run, as figures read it."""

    spec: RunSpec
    loss: float = 1.0
    score: float | None = 0.9
    epochs: int = 3
    left: dict[str, Series] = field(default_factory=dict)

    def observed(self) -> dict[str, Series]:
        return self.left

    def series(self, observer: str) -> Series:
        return self.left[observer]

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


def observed(**options: Any) -> list[Run]:
    """Return a batch norm whose γ trains, one whose γ does not, and a network without norm."""
    return [
        Run(specs(norm="batch_norm")[0], left={"norm_parameters": trajectories(1.0)}),
        Run(
            specs(norm="batch_norm", ablation="fixed_gamma")[0],
            left={"norm_parameters": trajectories(0.0)},
        ),
        Run(specs()[0], left={"norm_parameters": trajectories(0.0, norm=False)}),
    ]


def test_parameter_means_have_a_line_of_panels_for_each_site():
    """β beside γ at each site, as means over channels; the bias without norm is dashed."""
    figure = draw_figure("parameter_means", observed())
    beta, gamma = figure.axes[2:4]

    assert ["site 0", "", "site 1", ""] == [axis.get_ylabel() for axis in figure.axes]
    assert [[0.0, 1.75, 3.5]] * 2 == [
        line.get_ydata().tolist() for line in beta.lines if line.get_linestyle() == "-"
    ]
    assert [[0.0, -1.75, -3.5]] == [
        line.get_ydata().tolist() for line in beta.lines if line.get_linestyle() == "--"
    ]
    assert [[1.0, 2.75, 4.5], [1.0] * 3] == [line.get_ydata().tolist() for line in gamma.lines]


def test_contour_shares_one_centred_range_of_colours():
    """Every panel spans the same range around 1 for γ, and a row without γ has no panel."""
    figure = draw_figure("contour", observed()[:2])
    meshes = [axis.collections[0] for axis in figure.axes[:4]]

    assert {(-3.0, 5.0)} == {mesh.get_clim() for mesh in meshes}
    assert (3, 2) == meshes[0].get_array().shape


def test_sorted_channels_end_in_ascending_order():
    """Sorting orders the channels of a panel by their last value, at every step alike."""
    runs = [Run(specs(norm="batch_norm")[0], left={"norm_parameters": trajectories(-1.0)})]
    plain = draw_figure("contour", runs).axes[0].collections[0].get_array()
    ordered = draw_figure("contour", runs, Look(sort=True)).axes[0].collections[0].get_array()

    assert [0.0, -1.0] == plain[-1].tolist()
    assert [-1.0, 0.0] == ordered[-1].tolist()


def test_surface_has_three_dimensions_and_survives_a_constant():
    """γ that never moves is a flat surface, not an error."""
    figure = draw_figure("surface", observed()[1:2])

    assert {"3d"} == {axis.name for axis in figure.axes[:2]}


def test_row_without_the_parameter_has_no_column():
    """A network without norm has no γ: the rows that have one fill the figure, with all labels."""
    figure = draw_figure("contour", observed())

    assert ["training step", "", "training step", ""] == [
        axis.get_ylabel() for axis in figure.axes[:4]
    ]
    assert 2 == sum(axis.get_title().endswith("site 0") for axis in figure.axes)


def test_biases_stand_for_beta_without_a_norm():
    """Beside β of a norm stand the biases of the network without one."""
    figure = draw_figure("contour", observed(), Look(parameter="beta"))
    titles = [axis.get_title() for axis in figure.axes[:3]]

    assert ["no norm, site 0", "γ and β train, site 0", "β trains, site 0"] == titles
    assert [-1.0, -2.0] == figure.axes[0].collections[0].get_array()[-1].tolist()


def test_probes_are_drawn_by_depth_at_three_moments():
    """Start, halfway and end stand side by side, with the mean over seeds against the depth."""
    runs = [
        Run(spec, left={"activations": activations(scale)})
        for spec, scale in zip(specs(norm="batch_norm", seeds=2), (1.0, 3.0), strict=True)
    ]
    figure = draw_figure("probes", runs)

    assert ["epoch 0", "epoch 1", "epoch 2"] == [axis.get_title() for axis in figure.axes]
    assert [[(1.0, 12.0), (2.0, 14.0), (3.0, 16.0)]] == lines(figure.axes[2])
    assert "activation variance [activation²]" == figure.axes[0].get_ylabel()


def test_channels_are_drawn_as_the_mean_of_their_layer():
    """A quantity of every channel is drawn for each layer as a mean."""
    runs = [Run(specs(norm="batch_norm")[0], left={"activations": activations(1.0)})]
    figure = draw_figure("probes", runs, Look(quantity="channel_std"))

    assert [[(1.0, 0.5), (2.0, 2.5)]] == lines(figure.axes[0])


@pytest.mark.parametrize(
    ("name", "runs", "message"),
    [
        ("ablation", modes(), "Did you mean 'ablations'"),
        ("curves", [], "no runs were chosen"),
        ("curves", [modes()[0], Run(specs(problem="quadratic_deep")[0])], "share no axis"),
        ("ablations", [*modes(), *modes(sites=(1, 0, 0))], "sites=all,none"),
        (
            "ablations",
            [*modes(), Run(specs("lr=3", norm="batch_norm")[0])],
            "rows would be drawn as one",
        ),
        ("masks", modes(), "none of these runs has a mask"),
        ("learning_rates", modes()[:2], "rows would be drawn as one"),
        ("sensitivity", modes(), "1 learning rates with a result"),
        ("sensitivity", [Run(specs()[0], score=None)], "0 learning rates with a result"),
        ("batch_size", modes(), "1 batch sizes with a result"),
        ("batch_size", [Run(specs(f"lr={r}")[0]) for r in (1, 2)], r"differ in lr=1, lr=2"),
        (
            "sensitivity",
            [Run(specs(f"problem.batch_size={b}")[0]) for b in (8, 16)],
            r"differ in problem\.batch_size=16, problem\.batch_size=8",
        ),
        (
            "masks",
            [*modes(sites=(1, 0, 0)), *(Run(specs(f"lr={r}")[0]) for r in (1, 2))],
            "rows would be drawn as one",
        ),
        ("batch_size", [Run(specs(problem="quadratic_deep")[0])], "no accuracy"),
        ("parameter_means", modes(), "--observe norm_parameters"),
        ("contour", observed()[2:], "has a gamma at any norm site"),
        (
            "parameter_means",
            [
                Run(spec, left={"norm_parameters": trajectories(1.0, moments=moments)})
                for spec, moments in zip(specs(norm="batch_norm", seeds=2), (2, 3), strict=True)
            ],
            "observed at different steps",
        ),
        ("probes", modes(), "--observe activations"),
        ("probes", observed(), "go by depth"),
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
