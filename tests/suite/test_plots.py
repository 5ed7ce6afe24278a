"""The figures themselves."""

from __future__ import annotations

import pytest

from normbench.errors import NormbenchError, UsageError
from normbench.plots import COLOURS, Curves, draw, save


def run(*losses: float) -> list[dict]:
    """Return the points of a run with these test losses, one for each epoch from 0."""
    return [{"epoch": epoch, "test": {"loss": loss}} for epoch, loss in enumerate(losses)]


def lines(figure, panel: int = 0) -> list[list[tuple[float, float]]]:
    """Return the points of every line of a panel that has any."""
    drawn = [list(map(tuple, line.get_xydata())) for line in figure.axes[panel].lines]
    return [points for points in drawn if points]


def legend(figure) -> list[str]:
    """Return the entries of the legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def band(figure) -> list[tuple[float, float]]:
    """Return lower and upper end of the first band at each epoch."""
    vertices = figure.axes[0].collections[0].get_paths()[0].vertices
    epochs = sorted(set(vertices[:, 0]))
    columns = [vertices[vertices[:, 0] == epoch, 1] for epoch in epochs]
    return [(column.min(), column.max()) for column in columns]


def test_line_is_the_mean_over_finished_seeds():
    """A row is drawn as the mean of its finished runs at each epoch."""
    figure = draw([Curves("a", finished=(run(4, 2, 1), run(6, 4, 1)))])

    assert [[(0, 5), (1, 3), (2, 1)]] == lines(figure)
    assert ["a: n=2"] == legend(figure)


def test_range_band_spans_the_seeds():
    """The band reaches from the smallest to the largest seed, and the legend says so."""
    figure = draw([Curves("a", finished=(run(4, 2), run(6, 4), run(5, 9)))])

    assert [(4, 6), (2, 9)] == band(figure)
    assert "smallest to largest seed" in figure.legends[0].get_title().get_text()


def test_interval_band_is_students():
    """With n=3, sd=1 the 95 % interval reaches 4.303/√3 to each side of the mean."""
    figure = draw([Curves("a", finished=(run(4), run(5), run(6)))], band="interval")

    assert pytest.approx((5 - 2.48414, 5 + 2.48414), abs=1e-4) == band(figure)[0]
    assert "95 % t interval of the mean" in figure.legends[0].get_title().get_text()


def test_diverged_run_ends_with_a_mark():
    """A diverged run is a line of its own, marked where it ends, and never part of the mean."""
    figure = draw([Curves("a", finished=(run(4, 2, 1),), diverged=(run(4, 90),))])
    marked = [line for line in figure.axes[0].lines if line.get_marker() == "x"]

    assert [(0, 4), (1, 2), (2, 1)] == lines(figure)[0]
    assert [(0, 4), (1, 90)] == lines(figure)[1]
    assert [1] == [line.get_xdata()[0] for line in marked]
    assert ["a: n=1, 1 diverged (×)"] == legend(figure)


def test_diverged_runs_do_not_stretch_the_axis():
    """The vertical range follows the runs that did not diverge."""
    figure = draw([Curves("a", finished=(run(4, 2, 1),), diverged=(run(4, 1e9),))])

    assert 4 <= figure.axes[0].get_ylim()[1] < 5


def test_few_runs_that_shoot_up_do_not_stretch_the_loss_axis():
    """A finished run with a huge loss leaves the panel at its top; the others stay readable."""
    calm = Curves("a", finished=(run(2, 1), run(2, 1)))
    wild = Curves("b", finished=(run(2, 1e30),))

    assert 6 <= draw([calm, wild]).axes[0].get_ylim()[1] < 7


def test_mark_beyond_the_axis_is_drawn_at_its_edge():
    """Where a diverged run ends above the panel, its mark sits on the upper edge."""
    figure = draw([Curves("a", finished=(run(4, 2),), diverged=(run(4, 1e9),))])
    mark = next(line for line in figure.axes[0].lines if line.get_marker() == "x")

    assert (1, figure.axes[0].get_ylim()[1]) == tuple(mark.get_xydata()[0])


def test_only_diverged_runs_can_be_drawn():
    """A row of which every run diverged is drawn, whichever row it is."""
    rows = [Curves("a", diverged=(run(4),)), Curves("b", diverged=(run(5, 6),))]
    figure = draw(rows, title="a problem")

    assert "a problem" == figure.get_suptitle()
    assert ["a: n=0, 1 diverged (×)", "b: n=0, 1 diverged (×)"] == legend(figure)


def test_unfinished_runs_are_drawn_one_by_one():
    """Runs on the way are thin lines, counted apart."""
    figure = draw([Curves("a", unfinished=(run(4, 2), run(5)))])

    assert [[(0, 4), (1, 2)], [(0, 5)]] == lines(figure)
    assert ["a: n=0, 2 unfinished (thin)"] == legend(figure)


def test_rows_never_look_alike():
    """More rows than colours still differ, by their dashes."""
    rows = [Curves(str(number), finished=(run(4, 2),)) for number in range(3 * len(COLOURS))]
    figure = draw(rows)
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}

    assert len(rows) == len(looks)


def test_panels_follow_what_was_measured():
    """There is a column for each part, a row for each metric, loss first, accuracy in percent."""
    point = {"epoch": 0, "validation": {"accuracy": 0.5, "loss": 2.0}, "test": {"loss": 3.0}}
    figure = draw([Curves("a", finished=([point],))])
    loss, _, accuracy, _ = figure.axes

    assert ["validation", "test"] == [axis.get_title() for axis in figure.axes[:2]]
    assert "loss (mean per example)" == loss.get_ylabel()
    assert "accuracy [%]" == accuracy.get_ylabel()
    assert "epochs trained" == accuracy.get_xlabel()
    assert [[(0, 50)]] == lines(figure, panel=2)


def test_legend_lies_within_the_figure():
    """Many long names still leave the legend inside, below the panels."""
    rows = [
        Curves(f"a norm with a long name {i}, optimizer", finished=(run(2, 1),)) for i in range(9)
    ]
    figure = draw(rows)
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    lowest = min(axis.get_tightbbox().y0 for axis in figure.axes)

    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.width
    assert box.y1 <= lowest


def test_loss_can_be_logarithmic():
    """On request the loss axis is logarithmic."""
    figure = draw([Curves("a", finished=(run(4, 0.2),))], log_loss=True)

    assert "log" == figure.axes[0].get_yscale()


def test_matplotlibs_settings_stay_untouched():
    """Drawing changes no global setting and leaves no figure with pyplot."""
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw([Curves("a", finished=(run(4, 2),))])

    assert before == dict(mpl.rcParams)


def test_unknown_format_is_refused(tmp_path):
    """A name with another ending is refused before anything is written."""
    figure = draw([Curves("a", finished=(run(1),))])

    with pytest.raises(UsageError, match=r"\.png, \.svg, \.pdf"):
        save(figure, tmp_path / "curves.jpeg")


def test_place_that_cannot_be_written_is_named(tmp_path):
    """A folder in the way of the file is an error that names it."""
    figure = draw([Curves("a", finished=(run(1),))])
    (tmp_path / "curves.png").mkdir()

    with pytest.raises(NormbenchError, match=r"curves\.png cannot be written"):
        save(figure, tmp_path / "curves.png")
