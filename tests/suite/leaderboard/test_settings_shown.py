"""Tables say which settings their rows have, how these were found, and which rows they name."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from normbench.leaderboard.ablation_sheets import ablation_section
from normbench.leaderboard.ablations import make_ablations
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.formats import as_markdown
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.naming import row_names
from normbench.leaderboard.sections import report_sections
from normbench.leaderboard.settings_shown import unequal_tuning, which_setting
from normbench.leaderboard.verdicts import Verdict

GOOD = (0.91, 0.93, 0.92, 0.94, 0.90, 0.92)
WAVE = (1.0, -2.0, 0.0, 2.0, -1.0, 1.0, 3.0, -1.5)


@pytest.fixture
def rows(make_row):
    """Two norms by two optimizers; batch_norm with sgd is there tuned, untuned, and by hand."""
    higher = [value + 0.01 + 0.001 * wave for value, wave in zip(GOOD, WAVE, strict=False)]
    cell = {"norm": "batch_norm", "optimizer": "sgd"}
    return [
        *(make_row(norm, "momentum", GOOD, origin="known") for norm in ("none", "batch_norm")),
        make_row("none", "sgd", GOOD, origin="known"),
        make_row(**cell, scores=higher, origin="known", setting={"lr": 0.3}),
        make_row(**cell, scores=GOOD, origin="default", diverged=(1,)),
        make_row(**cell, scores=GOOD, origin="given", setting={"lr": 0.7}, missing=(6,)),
    ]


def test_rows_that_were_tuned_more_are_said_above_the_numbers(rows, reader, catalogue):
    """The first sentence counts the kinds and says how to choose one; of one kind nothing is."""
    board, chosen = (
        make_boards(reader(rows), catalogue, Wanted(settings=kinds))[0] for kinds in ((), ["known"])
    )
    (head,) = board.head
    text = as_markdown(report_sections([board]))

    assert "1 row untuned, 1 row given by hand, 4 rows tuned." in head
    assert "--setting known or --setting untuned or --setting given." in head
    assert text.index(head) < text.index("| rank |")
    assert ((), 4) == (chosen.head, len(chosen.entries))
    empty = [replace(row, runs={}) if row.setting_origin != "known" else row for row in rows]
    assert [] == list(unequal_tuning(empty))
    asked = list(unequal_tuning(rows, ["known", "given"]))
    assert "may be due to that." in asked[0]
    assert "--setting" not in asked[0]


def test_notes_name_rows_as_the_table_does(rows, reader, catalogue):
    """Rows of one cell are told apart by their settings wherever they are named."""
    (board,) = make_boards(reader(rows), catalogue, Wanted())
    notes = " ".join(board.notes)
    names = [board.name_of(row) for row in rows[3:]]

    assert [f"batch_norm sgd {words}" for words in ("lr=0.3", "untuned", "lr=0.7")] == names
    assert "the worst score, 0.1: batch_norm sgd untuned 1 of 6." in notes
    assert "Seeds without a result: batch_norm sgd lr=0.7 has 6 of 7." in notes


def test_rows_that_look_alike_have_their_fingerprints(make_row, reader, catalogue):
    """Two rows whose norm, optimizer and setting are one are told apart all the same."""
    rows = [make_row(scores=GOOD), make_row("batch_norm", scores=GOOD, setting={"lr": 1})]
    rows.append(make_row("batch_norm", scores=GOOD, setting={"lr": 1}, tuning=1, version=1.0))
    board = make_boards(reader(rows[:2]), catalogue, Wanted())[0]
    names = {row_names(rows)(row) for row in rows}
    assert "batch_norm momentum" == board.name_of(rows[1])
    assert 3 == len(names)


def test_untuned_is_said_where_other_rows_are_tuned_or_nothing_else_tells_it(make_row):
    """Not of rows that are all untuned and whose values tell them apart."""
    tuned, plain = make_row(origin="known"), make_row("batch_norm")
    values = [make_row(setting={"lr": lr}) for lr in (1, 2)]
    named = [
        [row_names(rows)(row) for row in rows]
        for rows in ([tuned, plain], values, [plain, *values])
    ]

    assert ["none momentum", "batch_norm momentum untuned"] == named[0]
    assert ["none momentum lr=1", "none momentum lr=2"] == named[1]
    assert "batch_norm momentum" == named[2][0]
    assert "none momentum untuned" == row_names([make_row(), *values])(make_row())


def test_ablations_say_which_setting_stands_for_a_cell(rows, reader, catalogue):
    """The setting shown, those that are not, and one of these by choice."""
    tuned, untuned = (
        make_ablations(reader(rows), catalogue, Wanted(settings=kinds), "optimizer", "sgd")[0]
        for kinds in ((), ["known", "untuned"])
    )
    sheet = ablation_section(tuned, "holm").sheets[-1]
    shown = {row[:2]: row[2:] for row in sheet.rows}

    assert ("lr=0.3 (known)", "untuned, lr=0.7 (given)") == shown["batch_norm", "sgd"]
    assert ("(known)", "") == shown["none", "sgd"]
    assert "batch_norm sgd: lr=0.3 (known), not untuned, lr=0.7 (given)" in tuned.left_out[1]
    choose = "Choose with --setting, such as --setting untuned, which takes rows of that kind alone"
    assert f"not untuned. {choose}" in untuned.left_out[2]
    assert "Not taken in: 1 comparable row, since the settings were chosen" in untuned.left_out[1]
    assert choose in tuned.left_out[1]
    given = [r for r in rows if r.setting_origin == "given"]
    alike = [*given, replace(given[0], row="f" * 32)]
    known = next(row for row in rows[3:] if row.setting_origin == "known")
    for several in (alike, [known, *alike]):
        assert "No --setting tells them apart: normbench compare" in next(which_setting(several))
    many = [replace(row, optimizer=f"o{n}") for n in range(9) for row in rows[3:5]]
    assert "; and 1 more. Choose" in next(which_setting(many))
    assert [] == list(which_setting(rows[:4]))
    assert () == tuned.head


def test_another_metric_is_exploratory_in_every_table(rows, reader, catalogue):
    """Nothing is equivalent by it, diverged seeds have no value, and both tables say so."""
    details = {
        run.fingerprint: {
            "outcome": "finished",
            "train_seconds": 1.0,
            "final": {"test": {"loss": 1 - run.score}},
        }
        for row in rows
        for run in row.runs.values()
        if run.score is not None
    }
    wanted = Wanted(metric="test_loss", settings=["known", "untuned"])
    (board,) = make_boards(reader(rows, details), catalogue, wanted)
    (found,) = make_ablations(reader(rows, details), catalogue, wanted, "norm", None)
    section = ablation_section(found, "holm")

    said = "test_loss is not what this problem is judged by: it has no smallest difference"
    assert said in " ".join(board.notes)
    assert said in section.lines["Notes"][1]
    assert Verdict.EQUIVALENT not in {entry.verdict for entry in board.entries}
    assert "nan" not in " ".join(section.lines["What was tested"])
    assert math.isnan(found.metric.worst)


@pytest.mark.parametrize(("rivals", "both"), [(5, True), (1, False)])
def test_letters_beside_verdicts_are_explained(make_row, reader, catalogue, rivals, both):
    """Where a row is `worse` and shares the reference's letter, the footer says why it may."""
    base = [0.9 + 0.001 * wave for wave in WAVE]
    rows = [make_row("none", scores=base)]
    for number in range(rivals):
        turned = WAVE[number + 1 :] + WAVE[: number + 1]
        shift = 0.0025 if number == 0 else 0.0
        rows.append(
            make_row(
                f"norm_{number}",
                scores=[
                    value - shift + 0.001 * wave for value, wave in zip(base, turned, strict=True)
                ],
            )
        )
    (board,) = make_boards(reader(rows), catalogue, Wanted())
    letters = {entry.verdict: entry.letters for entry in board.entries}
    footer = " ".join(report_sections([board])[0].lines["What was tested"])

    assert Verdict.WORSE in letters
    assert both == bool({*letters[Verdict.WORSE]} & {*letters[Verdict.REFERENCE]})
    assert both == ("share a letter with the reference." in footer)
    assert "where differences are normal, the probability of any false `better`" in footer
