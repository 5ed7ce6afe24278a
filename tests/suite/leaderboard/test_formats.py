"""Every format shows the same board, and no text in it does harm."""

from __future__ import annotations

import csv
import html
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import trim_mean

from normbench import Metric
from normbench.leaderboard.ablation_sheets import ablation_section
from normbench.leaderboard.ablations import make_ablations
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.brief import brief_sections
from normbench.leaderboard.conclusion import conclusion
from normbench.leaderboard.formats import FORMATS, Section
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.overall import overall_of
from normbench.leaderboard.sections import report_sections
from normbench.leaderboard.sheets import Numbers, Sheet, p_text
from normbench.store import Declaration, Shown

GOOD = (0.91, 0.93, 0.92, 0.94, 0.90, 0.92)
BETTER = (0.953, 0.967, 0.961, 0.979, 0.944, 0.958)
EVIL = "<script>alert(1)</script>|=%_\\&"


@pytest.fixture
def sections(make_row, reader, catalogue) -> list[Section]:
    rows = [
        make_row("none", scores=GOOD),
        make_row("batch_norm", scores=BETTER, diverged=(1,)),
        make_row(EVIL, scores=BETTER[::-1]),
    ]
    return report_sections(make_boards(reader(rows), catalogue, Wanted()))


def test_json_is_strict_and_has_every_number(sections):
    """Nothing is rounded, what cannot be computed is null, every seed and p is there."""
    text = FORMATS["json"](sections)
    entries = {entry["norm"]: entry for entry in json.loads(text)[0]["entries"]}

    assert {str(seed): value for seed, value in enumerate(GOOD)} == entries["none"]["values"]
    assert None is entries["none"]["comparison"]
    assert {"better", "worse"} == entries["batch_norm"]["comparison"]["flip_adjusted"].keys()
    assert "NaN" not in text
    assert "What was tested" not in text
    assert json.loads(text)[0]["what_was_tested"]


def test_csv_has_a_line_for_every_row(sections):
    """Numbers are those of the JSON, to the last digit."""
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"](sections))))
    entries = json.loads(FORMATS["json"](sections))[0]["entries"]

    assert [entry["mean"] for entry in entries] == [float(line["mean"]) for line in lines]
    assert [entry["verdict"] for entry in entries] == [line["verdict"] for line in lines]
    assert EVIL in [line["norm"] for line in lines]


def test_csv_of_a_loss_has_its_signs_and_the_p_of_the_difference(make_row, reader, catalogue):
    """A larger loss differs upwards and is worse; each number stands under its own heading."""
    loss = Metric(name="test_loss", direction="min", worst=2.3, smallest_difference=0.01)
    scores = {"none": GOOD, "batch_norm": BETTER, "group_norm": [v - 0.001 for v in GOOD[::-1]]}
    rows = [make_row(norm, scores=values, metric=loss) for norm, values in scores.items()]
    boards = make_boards(reader(rows), catalogue, Wanted())
    lines = csv.DictReader(io.StringIO(FORMATS["csv"](report_sections(boards))))
    found = {line["norm"]: line for line in lines}

    for entry in boards[0].entries:
        line, tested = found[entry.row.norm], entry.comparison
        assert entry.interval == (float(line["low"]), float(line["high"]))
        if tested is None:
            continue
        side = int(tested.difference < 0)
        shown = ("p", "p_adjusted", "sign_flip", "difference", "difference_low", "difference_high")
        numbers = (tested.p[side], tested.p_adjusted[side], tested.flip[side], -tested.difference)
        assert (*numbers, -tested.interval[1], -tested.interval[0]) == tuple(
            float(line[name]) for name in shown
        )
    assert ["group_norm", "none", "batch_norm"] == [*found]


def test_csv_disarms_formulas(make_row, reader, catalogue):
    """A name that a spreadsheet would run gets a quote before it."""
    rows = [make_row("none", scores=GOOD), make_row("=1+1", scores=BETTER)]
    text = FORMATS["csv"](report_sections(make_boards(reader(rows), catalogue, Wanted())))

    assert ",'=1+1," in text


def test_markdown_keeps_names_in_their_cells(sections):
    """Bars, brackets and tags in names are escaped, so each line has as many cells as the head."""
    text = FORMATS["md"](sections)
    table = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    first = table[: table.index(next(line for line in table if line.startswith("| row")))]

    assert 1 == len({line.count("|") for line in first})
    assert "<script" not in text


def test_latex_escapes_names(sections):
    """Special characters of a name are typeset, and comments hold the notes."""
    text = FORMATS["latex"](sections)

    assert r"\textless{}script\textgreater{}alert(1)" in text
    assert r"=\%\_\textbackslash{}\&" in text
    assert all(line.startswith("%") for line in text.splitlines()[:3])


def test_a_difference_from_another_row_than_the_reference_is_marked(make_row, reader, catalogue):
    """Every format says so, and of which row it is."""
    base, other = make_row(scores=GOOD), make_row("none", "sgd", BETTER)
    own = make_row("batch_norm", scores=GOOD[:5])
    declared = Declaration(
        row=own.row, stages=(5,), seeds=tuple(range(5)), reference=other.row, declared_at=2e9
    )
    base = replace(base, shown=(Shown(1e9, "", base.row, 6),))
    rows = [base, other, replace(own, declared=declared)]
    (section,) = found = report_sections(make_boards(reader(rows), catalogue, Wanted()))
    differences = {row.norm: row.difference for row in section.sheets[0].rows if row.difference}
    marked, note = differences["batch_norm"], "their stages were declared against, not with the"

    assert "-4.08 [-4.44, -3.72] †" == marked
    assert 1 == sum("†" in row.difference for row in section.sheets[0].rows)
    said = conclusion(section.about)
    assert "1 of 1 rows" not in said
    assert "than that: batch_norm with momentum against none sgd (worse)." in said
    assert "† Compared with the row that" in FORMATS["md"](brief_sections(found))
    for shape in ("md", "html"):
        text = FORMATS[shape](found)
        assert "-3.72] †" in text.replace("\\", "")
        assert "† Compared with the row that" in text
        assert f"{note} table's reference: batch_norm momentum with none sgd." in html.unescape(
            text
        )
    latex = FORMATS["latex"](found)
    assert r"-3.72] \textdagger{} &" in latex
    assert rf"{{\footnotesize \textdagger{{}} Compared with the row that {note}" in latex
    assert 1 == latex.count("footnotesize")
    (line,) = (x for x in csv.DictReader(io.StringIO(FORMATS["csv"](found))) if x["n"] == "5")
    assert other.row == line["reference"]


def test_formats_show_the_same_cells(sections):
    """Markdown, LaTeX and HTML hold the mean and interval that the table shows."""
    shown = sections[0].sheets[0].rows[0][3]

    assert "96.03 [94.77, 97.29]" == shown
    for form in ("md", "latex", "html"):
        assert shown.split(" ")[0] in FORMATS[form](sections)


@pytest.mark.parametrize(("n", "shown"), [(2, "92.00"), (3, "92.00 [89.52, 94.48]")])
def test_a_mean_of_two_seeds_has_no_interval(make_row, reader, catalogue, n, shown):
    """Under the heading of a 95 % interval no other range stands, in any format, and it is said."""
    rows = [make_row("none", scores=GOOD), make_row("batch_norm", scores=(0.91, 0.93, 0.92)[:n])]
    (section,) = report_sections(make_boards(reader(rows), catalogue, Wanted()))
    line = next(line for line in section.sheets[0].rows if line[1] == "batch_norm")
    said = "Intervals are 95 % t intervals; a mean of fewer than 3 seeds has none."

    assert shown == line[3]
    assert (n < 3) == (said in " ".join(section.lines["What was tested"]))


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "<.001"), (0.0574, ".057"), (1.0, "1.000"), (float("nan"), "")]
)
def test_p_is_shown_with_three_decimals(p, text):
    """Small p have a bound, missing ones nothing."""
    assert text == p_text(p)


def test_numbers_are_percent_for_accuracies():
    """Accuracies are in percent with two decimals, losses as they are with four digits."""
    assert "91.23 [90.00, 92.50]" == Numbers("test_accuracy").interval(0.9123, (0.9, 0.925))
    assert "+0.01235" == Numbers("test_loss").value(0.012346, signed=True)
    assert "" == Numbers("test_loss").value(None)


def test_sheet_drops_empty_columns():
    """A column that no row fills is left out."""
    sheet = Sheet(("a", "b"), (("1", ""), ("2", "")), ("b",)).without_empty()

    assert (("a",), (("1",), ("2",))) == (sheet.columns, sheet.rows)


def test_several_problems_are_summed_up(make_row, reader, catalogue):
    """Two problems give standings and no test; the reference has the score 1 on average."""
    rows = [
        make_row(norm, scores=scores, problem=problem)
        for problem in ("digits_cnn", "cifar10_3c3d")
        for norm, scores in (("none", GOOD), ("batch_norm", BETTER))
    ]
    boards = make_boards(reader(rows), catalogue, Wanted())
    overall = overall_of(boards)[0]
    means = {standing.norm: standing.mean for standing in overall.standings}

    assert ("batch_norm", 2) == (overall.standings[0].norm, overall.standings[0].problems)
    assert pytest.approx(1.0, abs=0.01) == means["none"]
    assert None is overall.test
    # Neither problems of other rules, nor other metrics, nor a choice among tables of one problem.
    other = make_row("none", scores=GOOD, problem="fmnist_2c2d", precision="bf16")
    apart = [boards[0], *make_boards(reader([other]), catalogue, Wanted())]
    own = [replace(board, primary=False) for board in boards]
    assert [[], [], []] == [overall_of(each) for each in (apart, own, [*boards, boards[0]])]
    # Nor a problem whose reference gives no scale.
    worst = [boards[0].metric.worst] * len(GOOD)
    lost = make_row("none", scores=worst, problem="fmnist_2c2d")
    more = overall_of([*boards, *make_boards(reader([lost]), catalogue, Wanted())])[0]
    assert overall.standings == more.standings
    assert more.left_out[-1].endswith("worst score at every seed: fmnist_2c2d.")
    text = FORMATS["md"](report_sections(boards))
    assert "2 problems allow no test, which takes 6" in text
    said = "; ".join(f"{name} none momentum untuned" for name in ("cifar10_3c3d", "digits_cnn"))
    assert f"The reference is each problem's own: {said}." in text


def test_six_problems_are_tested(make_row, reader, catalogue):
    """With six problems and three methods there is a test; all numbers of a method by hand."""
    problems = ("digits_cnn", "cifar10_3c3d", "fmnist_2c2d", "mnist_mlp", "svhn_3c3d", "mnist_vae")
    rows = [
        make_row(norm, scores=[v + shift + i / 1000 for v in GOOD], problem=problem)
        for i, problem in enumerate(problems)
        for norm, shift in (("none", 0), ("batch_norm", 0.025), ("group_norm", 0.01))
    ]
    overall = overall_of(make_boards(reader(rows), catalogue, Wanted()))[0]
    p = {standing.norm: standing.p for standing in overall.standings}

    assert pytest.approx(0.0025, abs=1e-4) == overall.test.p
    assert pytest.approx(2 * 2 / 2**6) == p["batch_norm"]
    assert None is p["none"]
    best = overall.standings[0]
    pairs = np.subtract.outer(np.array(GOOD) + 0.025, GOOD)
    means = [np.mean(GOOD) + i / 1000 for i in range(6)]
    scores = [(v + 0.025 + i / 1000 - 0.1) / (means[i] - 0.1) for i in range(6) for v in GOOD]
    assert ["batch_norm", "group_norm", "none"] == [each.norm for each in overall.standings]
    assert [1, 2, 3] == [each.rank for each in overall.standings]
    (some,) = overall_of(make_boards(reader(rows), catalogue, Wanted(norms=["group_norm"])))
    assert overall.standings[1:] == some.standings
    assert (overall.test, overall.tested) == (some.test, some.tested)
    assert "Not shown: 1 method; p and ranks are those of the whole table." in some.left_out
    assert pytest.approx(trim_mean(scores, 0.25)) == best.mean
    assert pytest.approx((pairs > 0).mean()) == best.improvement


def test_ablation_is_a_section_like_others(make_row, reader, catalogue):
    """Norms within and over optimizers, against the default norm, in every format."""
    rows = [
        make_row(norm, optimizer, [v + shift + i / 1e4 for i, v in enumerate(GOOD)])
        for norm, shift in (("none", 0), ("batch_norm", 0.03))
        for optimizer in ("momentum", "sgd")
    ]
    found = make_ablations(reader(rows), catalogue, Wanted(), "norm", None)
    text = FORMATS["md"]([ablation_section(each, "holm") for each in found])

    assert ["none"] == [each.base for each in found]
    assert "| batch\\_norm" in text or "| batch_norm" in text
    assert "Main effects: averaged over optimizers seed by seed" in text
    json.loads(FORMATS["json"]([ablation_section(each, "holm") for each in found]))


@pytest.mark.parametrize(
    ("counts", "shown", "of"),
    [
        ((1, 2, 5, 5), ["1", "2", "3 (1 of 2)", "4 (2 of 2)"], 2),
        ((5, 5, 5, 5), ["1", "2", "3", "4"], 4),
        ((1, 2, 2, 5), ["1", "2", "3", "4"], None),
    ],
)
def test_ranks_are_those_of_the_table(make_row, reader, catalogue, counts, shown, of):
    """Intervals among rows of three seeds or more stand beside the rank, with their number."""
    norms = ("none", "batch_norm", "group_norm", "layer_norm")
    rows = [
        make_row(norm, scores=[v - 0.1 * i for v in GOOD[:n]])
        for i, (norm, n) in enumerate(zip(norms, counts, strict=True))
    ]
    sections = report_sections(make_boards(reader(rows), catalogue, Wanted()))
    record = json.loads(FORMATS["json"](sections))[0]
    told = " ".join(record["what_was_tested"])

    assert shown == [line[0] for line in sections[0].sheets[0].rows]
    assert [1, 2, 3, 4] == [entry["rank"] for entry in record["entries"]]
    assert {of} | ({None} if of != 4 else set()) == {
        entry["rank_interval_of"] for entry in record["entries"]
    }
    assert (of == 2) == ("In brackets: 90 % of the ranks among the 2 rows of 3 seeds" in told)
    assert (of == 4) == ("Ranks: 90 % of the ranks when" in told)
    for text in shown:
        assert text in FORMATS["html"](sections)
