"""Reports of suites on full, partial and empty stores."""

from __future__ import annotations

import random
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from normbench import Publication, PublishedResult, Source
from normbench.descriptions import Suite
from normbench.errors import UsageError
from normbench.plots import heatmap as draw
from normbench.plots import svg
from normbench.plugins import load_catalogue
from normbench.reproduction.document import Document, Figure, chapter
from normbench.reproduction.machines import Trained, machines_chapter
from normbench.reproduction.markdown import standalone, to_markdown
from normbench.reproduction.matching import match
from normbench.reproduction.page import to_html
from normbench.reproduction.writing import write_report

HOSTILE = "<script>alert(1)</script>|`x`\n[y](z)"
DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 5"><path d="M0 0"/></svg>'


class Tags(HTMLParser):
    """Counts the elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, int] = {}

    def handle_starttag(self, tag, attrs) -> None:
        self.found[tag] = self.found.get(tag, 0) + 1


def tags(page: str) -> dict[str, int]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def around(mean: float, spread: float = 0.002):
    """Return scores that depend on the seed alone and have about this mean."""
    return lambda spec: mean + spread * random.Random(spec.seed).gauss(0, 1)


@pytest.mark.parametrize("suite", load_catalogue().names(Suite))
def test_every_suite_has_a_report_without_a_store(report, suite):
    """Nothing is trained: both formats say so, with the command that trains it all."""
    document = report(suite)
    text, page = to_markdown(document), to_html(document)

    assert "Nothing of it has a result" in text
    assert f"```\nnormbench suite run {suite}\n```" in text
    assert f"<pre>normbench suite run {suite}</pre>" in page
    assert "Reproduction report" in page
    assert "Traceback" not in text + page


def test_table_has_ours_beside_theirs(report, specs_of, stored):
    """Mean, difference, its Welch interval and the word stand in one line."""
    specs = specs_of("group_norm_study")[0]
    values = dict(zip(range(1, 6), (0.8622, 0.8633, 0.8614, 0.8700, 0.8630), strict=True))
    text = to_markdown(report("group_norm_study", [stored(specs, lambda s: values[s.seed])]))
    line = next(line for line in text.splitlines() if "batch_size=32" in line and "both" in line)

    # Their seeds have the same values: difference 0, half width t(0.975, 8) · sqrt(2/5) · sd.
    assert (
        "| compatible | 86.40 \\[85.97, 86.83\\] | 5 | 86.40 | 0.34 | 5 | +0.00 \\[-0.50," in line
    )
    assert "ours beside 10 published numbers: compatible 1, not trained 9" in text.lower()


def test_partial_store_says_what_is_missing(report, specs_of, stored):
    """Done and missing cells and seeds are counted, and the words train the rest alone."""
    cells = specs_of("deepobs_small")
    rows = [
        stored(cells[0], lambda s: None if s.seed > 44 else 88.0 + s.seed),
        stored(cells[1], around(87.0)),
    ]
    document = report("deepobs_small", rows, store="a store")
    text = to_markdown(document)

    assert "of 12 cells 1 are complete and 1 in part; 13 of 120 runs" in document.intro[2]
    assert "quadratic_deep sgd --protocol deepobs: seeds 45-51" in text
    assert "7 of them failed" in text
    assert "--only problem=mnist_vae --store 'a store'" in text


def test_diverged_seeds_are_no_agreement(report, specs_of, stored):
    """A row with diverged seeds is unstable, however wide its interval."""
    cells = specs_of("group_norm_study")
    document = report("group_norm_study", [stored(cells[0], around(0.864), diverged=[2])])

    assert "unstable 1" in document.intro[-1]
    assert "5 (1 diverged)" in to_markdown(document)


def test_rows_under_words_are_others(report, specs_of, stored):
    """The suite's own rows are missing, those with words are counted, and have their report."""
    cells = specs_of("group_norm_study", "protocol.epochs=1")
    rows = [stored(cells[0], around(0.5)), stored(cells[1], around(0.5))]
    own = to_markdown(report("group_norm_study", rows))
    words = ("protocol.epochs=1",)
    theirs = report("group_norm_study", rows, words=words)
    back = to_markdown(
        report(
            "group_norm_study", [stored(specs_of("group_norm_study")[0], around(0.5))], words=words
        )
    )

    assert "2 rows of its cells were trained under other rules" in own
    assert "Their report: normbench report group_norm_study protocol.epochs=1" in own
    assert "of 13 cells 2 are complete" in " ".join(theirs.intro)
    assert "These rows are not the suite's own." in " ".join(theirs.intro)
    assert "without protocol.epochs=1: they are other rows" in back
    assert "Their report: normbench report group_norm_study\n" in back


def test_tables_of_norms_and_optimizers_where_both_vary(
    report, stored, tmp_path, specs_of, monkeypatch
):
    """Two norms by two optimizers have main effects and interactions; each figure is drawn once."""
    file = tmp_path / "both.yaml"
    file.write_text(
        "problem: digits_cnn\nnorms: [none, batch_norm]\noptimizers: [sgd, momentum]\nseeds: 6\n",
        encoding="utf-8",
    )
    rows = [stored(specs, around(0.9 + 0.01 * i)) for i, specs in enumerate(specs_of(str(file)))]
    document = report(str(file), rows)
    drawn = []
    monkeypatch.setattr("normbench.plots.heatmap", lambda board: drawn.append(board) or draw(board))
    write_report(document, tmp_path / "written")
    text, page = ((tmp_path / "written" / f"report.{e}").read_text("utf-8") for e in ("md", "html"))

    assert 1 == len(drawn)
    assert page == to_html(document)
    assert "Main effects: averaged over optimizers" in text
    assert "Main effects: averaged over norms" in text
    assert "No published numbers of these cells are known" in text
    assert "# Reproduction report: both\n" in text
    assert "\nnorms: [none, batch_norm]\n" in text


def test_environment_leaves_out_who_and_where(report, specs_of, stored):
    """Versions, hardware and commit are told; host names and paths are not."""
    cells = specs_of("deepobs_small")
    text = to_markdown(report("deepobs_small", [stored(cells[1], around(87.0))]))

    assert "| torch | 2.15.0 |" in text
    assert "| training time | 10 min 00 s, summed over the runs |" in text
    assert "| energy of GPUs | 12.5 kJ, summed over 10 of 10 runs, those that were alone" in text
    assert "git checkout 0123456789ab && pip install" in text
    assert "secret" not in text
    assert "somebody" not in text


def test_energy_is_that_of_runs_alone_on_their_gpu():
    """Shared runs and those that nothing counted are left out, and that is said."""
    results = [
        {"energy_joules": 1500.0, "shared": False},
        {"energy_joules": 9000.0, "shared": True},
        {"energy_joules": None, "shared": False},
        {"shared": False},
    ]
    text, nothing = (
        str(machines_chapter(Trained(results=given), [])) for given in (results, results[1:])
    )

    words = "those that were alone on their GPU and whose energy is known"
    assert f"1.5 kJ, summed over 1 of 4 runs, {words}" in text
    assert "kJ" not in nothing


def test_digest_depends_on_scores_alone(report, specs_of, stored):
    """The same runs and scores have the same digest, another score another."""
    cells = specs_of("deepobs_small")

    def digest(score) -> str:
        text = to_markdown(report("deepobs_small", [stored(cells[0], score)]))
        return re.findall(r"digest of all runs and scores \| (\w{16})", text)[0]

    assert digest(around(87.0)) == digest(around(87.0))
    assert digest(around(87.0)) != digest(around(87.5))


def test_names_and_notes_do_no_harm(catalogue, report, tmp_path, stored, specs_of):
    """Titles, labels, remarks and plugin names are text in both formats."""
    numbers = PublishedResult(
        problem="digits_cnn",
        norm="none",
        optimizer="sgd",
        protocol="quick",
        metric="test_accuracy",
        mean=0.9,
        label=HOSTILE,
        remark=HOSTILE,
        source=Source(title=HOSTILE, deviations=(HOSTILE,)),
    )
    catalogue.add(
        Publication(name="hostile", summary="", factory=lambda _: [numbers]), "test", "file"
    )
    file = tmp_path / "hostile.yaml"
    file.write_text(
        f"title: {HOSTILE!r}\nproblem: digits_cnn\noptimizers: [sgd]\nprotocol: quick\n",
        encoding="utf-8",
    )
    document = report(str(file), [stored(specs_of(str(file))[0], around(0.9))])
    page, text = to_html(document), to_markdown(document)

    assert 1 == tags(page)["script"]
    shown, _, fenced = text.partition("\n```")
    assert "<script" not in shown + fenced.rpartition("## The suite")[0]
    assert "&lt;script>" in shown
    assert not [line for line in shown.splitlines() if line.startswith(("[y]", "\\[y"))]


def test_markdown_commands_cannot_be_escaped_from():
    """A command with line breaks and fences stays within its block."""
    made = chapter("title", commands=["normbench report 'a\n```\n# b'"])
    text = to_markdown(Document(title="t", intro=(), chapters=(made,)))

    assert "\n````\nnormbench report 'a ``` # b'\n````\n" in text


def test_figures_are_files_beside_markdown_and_inside_html(tmp_path):
    """The page needs no file, Markdown refers to those that are there; old ones are removed."""
    made = chapter("title", figures=[Figure(name="p-01-curves", caption="a line", svg=DRAWING)])
    document = Document(title="t", intro=(), chapters=(made,))
    (tmp_path / "figures").mkdir()
    for name in ("p-02-curves.svg", "mine.svg"):
        (tmp_path / "figures" / name).write_text("old", encoding="utf-8")
    written = write_report(document, tmp_path)

    assert ["report.md", "report.html"] == [path.name for path in written]
    assert "![a line](figures/p-01-curves.svg)" in written[0].read_text(encoding="utf-8")
    assert "<path" in written[1].read_text(encoding="utf-8")
    assert {"p-01-curves.svg", "mine.svg"} == {p.name for p in (tmp_path / "figures").iterdir()}


def test_figure_files_are_images_of_their_own():
    """A file has a size and white paper, since an image does not take the colours of a page."""
    root = ElementTree.fromstring(standalone(DRAWING))  # noqa: S314 - our own text

    assert ("10pt", "5pt") == (root.get("width"), root.get("height"))
    assert "#ffffff" == root[0].get("fill")


def test_drawn_figures_have_a_size():
    """What normbench.plots.svg writes is understood as a file of its own."""
    from matplotlib.figure import Figure as Drawing

    root = ElementTree.fromstring(standalone(svg(Drawing(figsize=(2, 1)))))  # noqa: S314

    assert ("144pt", "72pt") == (root.get("width"), root.get("height"))


def test_a_file_is_no_folder_to_write_to(tmp_path):
    """The folder's name is taken by a file: nothing is written, and the message says so."""
    (tmp_path / "taken").write_text("", encoding="utf-8")

    with pytest.raises(UsageError, match="is a file: expected a folder"):
        write_report(Document(title="t", intro=(), chapters=()), tmp_path / "taken")


def test_matching_is_of_the_whole_catalogue(catalogue, specs_of):
    """No suite of ours stands beside numbers of another protocol."""
    specs = [specs[0] for specs in specs_of("spherical")]

    assert {"spherical"} == {m.published.protocol for m in match(specs, catalogue).found}


def test_units_of_interest_beside_published_numbers_are_positive_where_ours_is_better(
    report, specs_of, stored
):
    """Of a loss that is a positive one below theirs, as in the tables of our own rows."""
    cells = (specs for specs in specs_of("deepobs_small"))
    cell = next(specs for specs in cells if specs[0].problem.name == "quadratic_deep")
    document = report("deepobs_small", [stored(cell, lambda spec: 10.0 + spec.seed)])
    sheets = [sheet for each in document.chapters for sheet in each.section.sheets]
    (sheet,) = (each for each in sheets if each.title == "quadratic_deep: test_loss, not paired")
    (unit,) = (name for name in sheet.columns if name.startswith("d/"))
    rows = [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]
    (ours,) = (row for row in rows if row[unit])

    assert ours[unit].startswith("+")
    assert ours["ours - published [95 %]"].startswith("-")
