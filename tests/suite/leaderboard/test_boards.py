"""Tables made of rows: reference, order, and what is refused or flagged."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from normbench import Metric, UsageError
from normbench.comparable import comparable
from normbench.leaderboard.ablation_notes import about_choices
from normbench.leaderboard.ablation_sheets import ablation_section
from normbench.leaderboard.ablations import make_ablations
from normbench.leaderboard.board import Provenance, Terms
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.choosing import choose, find_row
from normbench.leaderboard.comparison import duel
from normbench.leaderboard.conclusion import conclusion
from normbench.leaderboard.duels import in_words
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.precision_notes import about_precision
from normbench.leaderboard.records import board_record, flat_records
from normbench.leaderboard.reference_notes import notes_about_looks, notes_about_reference
from normbench.leaderboard.references import Reference
from normbench.leaderboard.showing import note_shown
from normbench.leaderboard.suites import SuiteRows
from normbench.leaderboard.tested import what_was_tested
from normbench.leaderboard.verdicts import Verdict
from normbench.staging.decision import Look
from normbench.store import Declaration, RunStore, Shown, Verification, read_shown

SEEDS = 6
GOOD = (0.91, 0.93, 0.92, 0.94, 0.90, 0.92)
BETTER = (0.953, 0.967, 0.961, 0.979, 0.944, 0.958)


@pytest.fixture
def boards(reader, catalogue):
    """Return a function that makes the boards of rows."""

    def make(*rows, details=None, machines=None, **wanted):
        source = reader(rows, details or {}, machines or {})
        return make_boards(source, catalogue, Wanted(**wanted))

    return make


def notes(board) -> str:
    return " ".join(board.notes)


def verdicts(board) -> dict[str, str]:
    return {e.row.norm: e.verdict.value if e.verdict else "" for e in board.entries}


def test_golden_case_is_a_board_without_evidence(boards, make_row):
    """The source's five pairs: p 0.0574 in the table, no verdict for it."""
    metric = Metric(name="test_accuracy", direction="max", worst=10, smallest_difference=0.1)
    base = make_row("none", "sgd", (91.0, 92.7, 92.2, 90.1, 91.5), metric=metric)
    new = make_row("batch_norm", "sgd", (91.7, 93.4, 92.2, 90.0, 91.9), metric=metric)
    board = boards(base, new)[0]
    found = board.entries[0].comparison

    assert {"batch_norm": "no evidence", "none": "reference"} == verdicts(board)
    assert pytest.approx((2.0104621463629, 0.0573692281772761), rel=1e-9) == (found.t, found.p[0])
    assert pytest.approx((0.34, -0.1295, 0.8095), abs=5e-5) == (found.difference, *found.interval)
    assert pytest.approx((0.125, 0.7)) == (found.flip[0], found.win_rate)


def test_order_is_by_mean_and_lower_is_better_for_losses(boards, make_row, reader):
    """A loss is ranked from below, in a table and between two; differences keep their own sign."""
    loss = Metric(name="test_loss", direction="min", worst=2.3, smallest_difference=0.01)
    rows = [
        make_row("none", "momentum", GOOD, metric=loss),
        make_row("batch_norm", "momentum", [v - 0.1 for v in BETTER], metric=loss),
    ]
    board = boards(*rows)[0]

    assert ["batch_norm", "none"] == [entry.row.norm for entry in board.entries]
    assert [1, 2] == [entry.rank for entry in board.entries]
    assert "better" == verdicts(board)["batch_norm"]
    found = duel(rows[1], rows[0], reader(rows), None, 0.05)
    assert board.entries[0].comparison == found.comparison
    assert " lower (better) on average" in in_words(found)
    recorded = Look.at(board, board.entries[0], 5).record(board, rows[0].row)
    low, high = recorded.interval
    assert ("better", True) == (recorded.verdict, low < recorded.difference < high < 0)
    assert pytest.approx(board.entries[0].comparison.p_adjusted[0]) == recorded.p < 0.05


@pytest.mark.parametrize(
    ("rows", "reference"),
    [
        ([("none", "sgd"), ("none", "momentum"), ("batch_norm", "momentum")], "none momentum"),
        ([("none", "sgd"), ("batch_norm", "momentum")], "none sgd"),
        ([("group_norm", "sgd"), ("batch_norm", "sgd"), ("batch_norm", "adam")], "batch_norm sgd"),
    ],
)
def test_reference_is_the_default_norm_with_momentum_or_sgd(boards, make_row, rows, reference):
    """digits_cnn is without a norm; where that has no runs, its twin's batch norm counts."""
    board = boards(*(make_row(norm, optimizer, GOOD) for norm, optimizer in rows))[0]
    chosen = board.reference.row

    assert reference == f"{chosen.norm} {chosen.optimizer}"
    assert not board.reference.post_hoc


def test_twin_names_its_own_norm_as_the_default(boards, make_row):
    """Asked for as digits_cnn_bn, the problem's reference has batch norm."""
    rows = [make_row(norm, "momentum", GOOD) for norm in ("none", "batch_norm")]

    assert "batch_norm" == boards(*rows, problems=["digits_cnn_bn"])[0].reference.row.norm
    assert "none" == boards(*rows, problems=["digits_cnn"])[0].reference.row.norm


@pytest.mark.parametrize("asked", [(), ("digits_cnn",)])
def test_reference_of_the_first_table_with_verdicts_stays(boards, make_row, asked):
    """What was trained or tuned later is named and takes its place by --reference alone."""
    first, other = make_row("none", "sgd", GOOD), make_row("batch_norm", "sgd", BETTER[:5])
    seen = Shown(1e9, "".join(asked), first.row, 5)
    rows = [replace(row, shown=(seen,)) for row in (first, replace(other, runs=other.runs))]
    later = [make_row("none", "momentum", GOOD), make_row("batch_norm", "momentum", GOOD)]
    newer = Shown(2e9, seen.name, later[0].row, 5)
    later = [replace(row, shown=(newer,)) for row in later]
    before, (board,) = boards(*rows, problems=asked)[0], boards(*rows, *later, problems=asked)
    asked_for = boards(*rows, *later, problems=asked, reference=later[0].row[:8])[0]

    assert first.row == before.reference.row.row == board.reference.row.row
    assert "as in the first table with verdicts on 2001-09-09" in notes(board)
    assert {row.row for row in later} == {row.row for row in board.reference.others}
    assert (True, later[0].row) == (asked_for.exploratory, asked_for.reference.row.row)
    twin = boards(*rows, *later, problems=["digits_cnn_bn"])[0]
    assert ("batch_norm", first.row) == (twin.reference.row.norm, twin.reference.first.row.row)
    assert (True, False) == (twin.exploratory, board.exploratory)
    assert "by another name of this problem, the reference was none with sgd, " in notes(twin)
    assert f"first table with verdicts on 2001-09-09 (row {first.row[:8]}). That one" in notes(twin)
    assert "by another name" not in notes(board)
    assert "none with sgd" in board_record(twin)["reference"]["first"]
    names = frozenset(row.row for row in (*rows, *later))
    suite = SuiteRows(name="mine", rows=names, references=frozenset())
    own = boards(*rows, *later, problems=asked, suite=suite)[0].reference
    assert (later[0].row, None, "") == (own.row.row, own.first, own.earlier)


def test_a_row_bound_to_the_second_reference_keeps_its_verdict(boards, make_row):
    """Its stages were declared against it, whatever another name's table had shown before."""
    first, own = make_row(scores=GOOD), make_row("batch_norm", scores=GOOD)
    seen = Shown(1e9, "digits_cnn", first.row, 6)
    new = [make_row(norm, scores=BETTER[:5]) for norm in ("group_norm", "layer_norm")]
    declared = Declaration(row="", stages=(5,), seeds=tuple(range(5)), reference=own.row)
    staged = replace(new[0], declared=replace(declared, row=new[0].row, declared_at=2e9))
    rows = replace(first, shown=(seen,)), own, staged, new[1]
    (board,) = boards(*rows, problems=["digits_cnn_bn"])

    assert own.row == board.reference.row.row
    assert ("better", "exploratory") == tuple(
        verdicts(board)[norm] for norm in ("group_norm", "layer_norm")
    )
    assert not board.exploratory
    # Also where it was declared against a third row, and neither is shown.
    third = make_row("none", "sgd", GOOD)
    bound = replace(staged, declared=replace(staged.declared, reference=third.row))
    asked = {"problems": ["digits_cnn_bn"]}
    (apart,) = boards(rows[0], own, bound, third, new[1], **asked, norms=["layer_norm"])
    assert {third.row, bound.row} < {entry.row.row for entry in apart.apart}
    assert not apart.exploratory
    (beside,) = boards(rows[0], own, bound, third, new[1], **asked, norms=["group_norm"])
    assert {bound.row, own.row, third.row} == {entry.row.row for entry in beside.entries}


@pytest.mark.parametrize(("own", "declares"), [(True, True), (True, False), (False, True)])
def test_a_suite_written_after_tables_of_its_rows_names_their_reference(
    boards, make_row, own, declares
):
    """A file of the user's, whatever name the table had; never a suite of the catalogue."""
    rows = [make_row(norm, scores=GOOD) for norm in ("none", "batch_norm")]
    rows.append(make_row("group_norm", scores=GOOD, origin="given"))
    seen = (Shown(1e9, "", rows[2].row, 6),)
    names = frozenset(row.row for row in rows)
    references = frozenset([rows[1].row] if declares else [])
    suite = SuiteRows(name="mine.yaml", rows=names, references=references, own=own)
    (board,) = boards(*rows[:2], replace(rows[2], shown=seen), suite=suite)
    words = (
        f"group_norm with momentum (row {rows[2].row[:8]}) was the reference of a table shown on "
        "2001-09-09; that the suite was written before it is on trust."
    )

    assert own == (words in board.notes)
    assert not board.exploratory
    given = [rows[0], replace(rows[1], shown=seen), replace(rows[2], shown=seen)]
    (untuned,) = boards(*rows[:2], given[2], suite=suite, settings=("untuned",))
    assert own == (words in untuned.notes)
    alike = replace(suite, references=frozenset([rows[2].row]))
    assert "on trust" not in notes(boards(*given, suite=alike)[0])
    smaller = replace(suite, rows=names - {rows[2].row})
    said = "A row that is not of this suite (row" in notes(boards(*given, suite=smaller)[0])
    assert own == said


@pytest.mark.parametrize("own", [True, False])
def test_a_suite_of_rows_that_were_judged_among_more_says_so(boards, make_row, own):
    """It may have been written to have a smaller family; its words are what they are."""
    rows = [make_row(norm, scores=BETTER) for norm in ("batch_norm", "group_norm", "layer_norm")]
    rows = [make_row(scores=GOOD), *rows]
    seen = Shown(1e9, "", rows[0].row, 6)
    told = [replace(row, shown=(seen,)) for row in rows]
    names = frozenset(row.row for row in rows[:2])
    suite = SuiteRows(name="mine", rows=names, references=frozenset(), own=own)
    words = (
        "In a table with verdicts that was shown on 2001-09-09, 2 rows of this suite stood among 2 "
        "comparable rows that it leaves out. p here count the suite's own rows only, which holds "
        "if the suite was written before that table was shown."
    )
    (board,) = boards(*told, suite=suite)

    assert own == (words in board.notes)
    assert "better" == verdicts(board)["batch_norm"]
    earlier = Shown(0.5e9, suite.shown_as, rows[0].row, 6)
    before = [replace(row, shown=(earlier, seen)) for row in rows[:2]]
    apart = [replace(row, shown=(seen._replace(reference="f" * 32),)) for row in rows[2:]]
    older = [replace(row, shown=(seen._replace(at=0.4e9),)) for row in rows[2:]]
    assert "of this suite stood" not in notes(boards(*before, *older, suite=suite)[0])
    for given in ((*before, *told[2:]), (*told[:2], *rows[2:]), (*told[:2], *apart), told[:2]):
        assert "of this suite stood among" not in notes(boards(*given, suite=suite)[0])


@pytest.mark.parametrize(("alpha", "word"), [(0.2, "exploratory"), (0.05, "better")])
def test_an_alpha_above_the_usual_one_confirms_nothing(boards, make_row, alpha, word):
    """It may have been chosen after looking at p; a stricter one needs no trust."""
    rows = [make_row(scores=GOOD), make_row("batch_norm", scores=BETTER)]
    board = boards(*rows, terms=Terms(alpha=alpha))[0]

    assert word == verdicts(board)["batch_norm"]
    assert (alpha > 0.05) == ("--alpha 0.2 is above 0.05, perhaps chosen after" in notes(board))
    tested = " ".join(what_was_tested(board))
    assert "two families of 1, each corrected by Holm" in tested
    # Where nothing is confirmed, nothing is bounded; nor where every row lacks seeds.
    assert (alpha <= 0.05) == ("false `better` in this table is at most 5 %" in tested)
    lacking = make_row("batch_norm", scores=BETTER, missing=(6,))
    assert "is at most" not in " ".join(what_was_tested(boards(rows[0], lacking)[0]))


def test_an_ablation_names_the_date_and_the_first_reference(make_row, reader, catalogue):
    """Older results left out, and the reference shown by another name of the problem."""
    rows = [make_row(norm, scores=GOOD) for norm in ("none", "batch_norm")]
    rows[0] = replace(rows[0], shown=(Shown(1e9, "digits_cnn", rows[0].row, 6),))
    ended = {
        run.fingerprint: {"finished_at": 10.0 * seed + 5}
        for row in rows
        for seed, run in row.runs.items()
    }

    def said(**wanted) -> str:
        tables = make_ablations(reader(rows, ended), catalogue, Wanted(**wanted), "norm", None)
        return " ".join(tables[0].left_out)

    named = said(problems=["digits_cnn_bn"])
    dated = said(since=10.0)
    assert "by another name of this problem, the reference was none with momentum" in named
    assert "Results older than --since are left out: some of 2 comparable rows. The dat" in dated
    later = {run.fingerprint: {"finished_at": 99.0} for run in rows[0].runs.values()}
    ended.update(later)
    assert "left out: all of 1 comparable row. The date" in said(since=60.0)
    picked = about_choices(
        rows, rows[:1], Reference(row=rows[0], why=""), "norm", Wanted(current=True), None
    )
    assert "Not taken in: 1 comparable row, since the files were chosen when" in next(picked)
    assert not any(words in said(since=1.0) for words in ("another name", "--since"))


def test_what_was_shown_first_stays_whatever_the_names_own_norm_is_trained_later(boards, make_row):
    """Unless it has no results any more: then the rule chooses anew."""
    first, later = make_row(scores=GOOD), make_row("batch_norm", scores=BETTER)
    seen = (Shown(1e9, "digits_cnn_bn", first.row, 6),)
    failed = make_row(missing=range(6))
    found = [
        boards(replace(row, shown=seen), later, problems=["digits_cnn_bn"])[0].reference.row.norm
        for row in (first, failed)
    ]

    assert ["none", "batch_norm"] == found


def test_a_reference_is_known_by_its_own_line_alone(boards, make_row):
    """Where every row that was shown with it has left the table, it stays the reference."""
    first = make_row("none", "sgd", GOOD)
    first = replace(first, shown=(Shown(1e9, "", first.row, 6),))
    (board,) = boards(first, make_row(scores=GOOD), make_row("batch_norm", scores=BETTER))

    assert first.row == board.reference.row.row
    assert "as in the first table with verdicts on 2001-09-09" in board.reference.why


def test_what_might_be_the_reference_too_is_named_up_to_three(boards, make_row):
    """By setting and fingerprint; where nothing else might be, nothing is said."""
    kinds = ("known", "known, superseded", "published", "default", "published, rules changed")
    rows = [make_row(scores=GOOD, origin=kind, setting={"lr": n}) for n, kind in enumerate(kinds)]
    plain = boards(make_row(scores=GOOD), make_row("group_norm", scores=BETTER))[0]
    told = list(notes_about_reference(boards(*rows)[0]))
    others = [f"lr={n} ({kinds[n]}) by --reference {rows[n].row[:8]}" for n in (1, 2)]

    assert [] == [*notes_about_reference(plain), *notes_about_looks(plain)]
    assert told[0].startswith("The reference is none momentum lr=0 (known) (declared: none with mo")
    assert f"It might also be none momentum {others[0]}, none momentum {others[1]}, " in told[0]
    assert (1, True) == (len(told), f"--reference {rows[3].row[:8]} and 1 more: " in told[0])


def test_an_exploratory_table_fixes_the_reference_where_it_has_a_verdict(
    boards, make_row, tmp_path
):
    """Rows without a verdict leave no line; beside one that has one, the reference is noted."""
    store = RunStore.open(tmp_path / "store", create=True)
    few = [make_row(scores=GOOD[:4]), make_row("batch_norm", scores=BETTER[:4])]
    assert {"reference", "exploratory"} == set(verdicts(boards(*few)[0]).values())
    assert b"" == note_shown(store, boards(*few))
    more = [make_row(scores=GOOD), make_row("layer_norm", scores=BETTER), few[1]]
    assert b"" != note_shown(store, boards(*more))

    lines = read_shown(store.root)
    assert {more[0].row: 6, more[1].row: 6} == {row: each.pairs for row, (each,) in lines.items()}
    assert {more[0].row} == {each.reference for (each,) in lines.values()}
    with_few = boards(*more, few[1], make_row("none", "sgd", GOOD))[0]
    assert more[0].row == with_few.reference.row.row


def test_pairs_added_after_a_verdict_are_said(boards, make_row):
    """Six pairs where a table had five before: said with the day; as many as then are not."""
    base, new = make_row("none", scores=GOOD), make_row("batch_norm", scores=BETTER)
    said = [
        notes(boards(base, replace(new, shown=(Shown(1e9, "", base.row, pairs),)))[0])
        for pairs in (5, 6)
    ]

    assert "batch_norm momentum has 6, on 2001-09-09 5." in said[0]
    assert "first gave a verdict" not in said[1]


@pytest.mark.parametrize(("stages", "verdict"), [((5, 8), "better"), ((6, 8), "exploratory")])
def test_a_row_between_its_looks_is_exploratory(boards, make_row, stages, verdict):
    """Five pairs are a look only where five were declared, also against a row of its own."""
    rows = [make_row("none", "momentum", GOOD), make_row("none", "sgd", GOOD)]
    declared = Declaration(row="", stages=stages, seeds=tuple(range(8)), reference=rows[1].row)
    new = make_row("batch_norm", scores=[*BETTER[:4], 0.97])
    staged = replace(new, declared=replace(declared, row=new.row))
    (board,) = boards(*rows, staged)
    alone = boards(rows[0], staged)[0]

    assert verdict == verdicts(board)["batch_norm"]
    assert rows[1].row == board.reference_of(staged).row == board.reference.row.row
    assert "exploratory" == verdicts(alone)["batch_norm"]
    assert "declared against a row that is not here: batch_norm momentum" in notes(alone)


def test_reference_setting_is_chosen_by_origin_never_by_score(boards, make_row):
    """Published ones beat defaults, and those what was given by hand, two of which are none."""
    given = [make_row(scores=BETTER, origin="given", setting={"lr": lr}) for lr in (0.2, 0.3)]
    default = make_row(scores=GOOD)
    published = make_row(scores=GOOD, origin="published", setting={"lr": 0.4})
    waiting = make_row(missing=(0,), origin="known", setting={"lr": 0.5})

    assert default.row == boards(*given, default)[0].reference.row.row
    assert published.row == boards(*given, default, published)[0].reference.row.row
    assert default.row == boards(*given, default, waiting)[0].reference.row.row
    board = boards(*given)[0]
    assert (None, {"none": ""}) == (board.reference.row, verdicts(board))
    assert "2 settings, and none of them is the one that is known now" in notes(board)


def test_reference_of_the_command_line_is_post_hoc(boards, make_row):
    """It makes verdicts exploratory, unless it is the declared one anyway."""
    rows = [make_row("none", "momentum", GOOD), make_row("batch_norm", "momentum", BETTER)]
    chosen = boards(*rows, reference="batch_norm")[0]
    declared = boards(*rows, reference="none+momentum")[0]

    assert {"none": "exploratory", "batch_norm": "reference"} == verdicts(chosen)
    assert "chosen when this table was asked for" in notes(chosen)
    assert {"batch_norm": "better", "none": "reference"} == verdicts(declared)


@pytest.mark.parametrize("terms", [Terms(correction="bh"), Terms(correction="none")])
def test_without_holm_nothing_is_confirmed(boards, make_row, terms):
    """Other corrections do not bound the probability of a false claim."""
    rows = [make_row("none", "momentum", GOOD), make_row("batch_norm", "momentum", BETTER)]
    board = boards(*rows, terms=terms)[0]

    assert "exploratory" == verdicts(board)["batch_norm"]
    assert "does not bound the probability" in notes(board)


def test_another_metric_is_exploratory_and_has_no_worst_score(boards, make_row):
    """A metric that the problem is not judged by leaves diverged seeds without a value."""
    rows = [
        make_row("none", "momentum", GOOD, diverged=(2,)),
        make_row("batch_norm", "momentum", BETTER),
    ]
    details = {
        run.fingerprint: {"final": {"epoch": 1, "test": {"loss": 0.1 * (seed + 1) ** (i + 1)}}}
        for i, row in enumerate(rows)
        for seed, run in row.runs.items()
    }
    details |= {
        name: {**d, "outcome": "finished", "train_seconds": 1.0} for name, d in details.items()
    }
    board = boards(*rows, details=details, metric="test_loss")[0]

    assert [5, 6] == [entry.n for entry in board.entries]
    assert "exploratory" == verdicts(board)["batch_norm"]
    with pytest.raises(UsageError, match=r"no result has 'test_perplexity'.*test_loss"):
        boards(*rows, details=details, metric="test_perplexity")
    with pytest.raises(UsageError, match="seeds that miss the target have no number"):
        boards(*rows, details=details, metric="epochs_to_target")


def test_mixed_versions_and_precisions_stand_apart(boards, make_row):
    """Rows of another protocol version or precision are in tables of their own, named so."""
    rows = [
        make_row("none", "momentum", GOOD),
        make_row("batch_norm", "momentum", BETTER, version=2),
        make_row("batch_norm", "momentum", BETTER, precision="bf16"),
    ]
    titles = [board.title for board in boards(*rows)]

    assert 3 == len(titles)
    assert any("protocol.version=2" in title for title in titles)
    assert any("protocol.precision=bf16" in title for title in titles)


def test_a_precision_is_verified_by_a_test_of_the_same_table(make_row, reader):
    """A passed test of other rules takes no label away, and none is told as tried here."""
    row, other = (make_row(scores=GOOD, version=version, precision="bf16") for version in (1, 2))
    passed = {"verdict": "equivalent", "small": False, "precision": "bf16", "against": "fp32"}
    found = {}
    for of in (row, other):
        table = comparable(of.identity)
        test = Verification(
            **passed,
            id="x",
            table=table,
            norm="none",
            optimizers=("sgd",),
            hardware={"H100": 2},
            versions={"torch 2.14": 2},
            content={},
        )
        source = reader([row])
        source.verifications = lambda test=test: [test]
        trained = Provenance(hardware={"H100": 3}, versions={"torch 2.14": 2, "torch 2.15": 1})
        found[of.row] = about_precision([row], source, trained)

    said = "Computed in bfloat16, which a full test found equivalent to fp32 here, with none and "
    other_versions = (
        "That test was made with other versions than these rows: torch 2.14, not torch 2.15."
    )
    assert ([], [f"{said}sgd: x.", other_versions]) == found[row.row]
    newer = reader([row])
    again = replace(test, id="y", table=comparable(row.identity))
    newer.verifications = lambda: [replace(again, id="x"), again]
    assert f"{said}sgd: y." == about_precision([row], newer)[1][0]
    quick = about_precision([replace(row, protocol="quick")], reader([row]))[0][0]
    assert quick.endswith("verify precision digits_cnn --norm none --protocol quick")
    bare = about_precision([row], reader([row]))
    assert "https" not in bare[0][0]
    assert bare[0][0].endswith(f"Test it: normbench verify precision {row.problem} --norm none")
    assert ([], []) == about_precision([make_row(scores=GOOD)], reader([row]))
    assert found[other.row][0][0].startswith("Not verified")
    assert "tested so far" not in found[other.row][0][0]


def test_mixed_versions_and_precisions_are_not_compared(make_row, reader):
    """compare refuses them and says what differs."""
    first = make_row("none", "momentum", GOOD)
    second = make_row("batch_norm", "momentum", BETTER, version=2, precision="bf16")

    with pytest.raises(
        UsageError, match=r"precision \(bf16 and tf32\), protocol.version \(2 and 1"
    ):
        duel(second, first, reader([first, second]), None, 0.05)


def test_one_seed_is_a_number_and_no_result(boards, make_row):
    """A row with one seed has a mean, no interval, and the verdict too few."""
    board = boards(make_row(scores=GOOD), make_row("batch_norm", scores=(0.99,)))[0]
    entry = board.entries[0]

    assert (0.99, None, Verdict.TOO_FEW) == (entry.mean, entry.interval, entry.verdict)
    assert "of one seed: a number" in notes(board)


@pytest.mark.parametrize("old", [0, 1])
def test_a_date_confirms_nothing(boards, make_row, old):
    """A date neither hides that seeds lack results nor chooses among a row's seeds unseen."""
    base = make_row(scores=(*GOOD, 0.92))
    row = make_row("batch_norm", scores=(*BETTER, 0.96), missing=() if old else (7,))
    times = {run.fingerprint: 100.0 for each in (base, row) for run in each.runs.values()}
    times |= dict.fromkeys([run.fingerprint for run in row.runs.values()][:old], 10.0)
    finished = {"outcome": "finished", "train_seconds": 1.0, "time_to_target": {"target": None}}
    details = {name: {**finished, "finished_at": moment} for name, moment in times.items()}
    board = boards(base, row, details=details, since=50.0)[0]

    assert "exploratory" == verdicts(board)["batch_norm"]
    assert old == ("Older results than --since are left out" in notes(board))
    assert old != ("Seeds without a result" in notes(board))


def test_unpaired_seeds_are_flagged(boards, make_row):
    """Rows that share no seed with the reference have no pairs; others say what is left out."""
    apart = make_row("batch_norm", scores=dict(enumerate(BETTER, 10)))
    partly = make_row("group_norm", scores=dict(enumerate(BETTER, 2)))
    board = boards(make_row(scores=GOOD), apart, partly)[0]

    assert ("too few", "exploratory") == (
        verdicts(board)["batch_norm"],
        verdicts(board)["group_norm"],
    )
    assert "group_norm momentum 0-1, 6-7" in notes(board)


def test_tuning_seeds_are_left_out_and_counted(boards, make_row):
    """Runs at tuning seeds never count; a note says how many there were."""
    board = boards(make_row(scores=GOOD, tuning=8), make_row("batch_norm", scores=BETTER))[0]

    assert "8 runs at tuning seeds" in notes(board)


@pytest.mark.parametrize(
    ("changes", "verdict", "of_norms", "of_pair"),
    [
        ({}, "deterministic", "every seed differs by the same amount", "differs by +0.00"),
        (
            {"scores": {10 + seed: score for seed, score in enumerate(GOOD)}},
            "too few",
            "since they share no seed with it: batch_norm with momentum. Train the same",
            "they share none",
        ),
        ({"version": 2}, None, "protocol.version=1", "they differ in protocol.version (2 and 1)"),
    ],
    ids=["ties", "unpaired seeds", "versions"],
)
def test_what_cannot_be_judged_is_said_by_every_table(
    boards, make_row, reader, catalogue, changes, verdict, of_norms, of_pair
):
    """Identical results, seeds that none share and mixed versions give no interval and no p."""
    rows = [make_row(scores=GOOD), make_row("batch_norm", **{"scores": GOOD, **changes})]
    shown = verdicts(boards(*rows)[0])
    found = make_ablations(reader(rows), catalogue, Wanted(), "norm", "none")[0]
    section = ablation_section(found, "holm")
    try:
        said = in_words(duel(rows[1], rows[0], reader(rows), None, 0.05))
    except UsageError as error:
        said = str(error)

    assert verdict == shown.get("batch_norm")
    assert of_norms in f"{section.heading} {section.lines}"
    assert not any(effect.interval or effect.p for effect in found.table.simple)
    assert of_pair in said


def test_identical_rows_are_deterministic(boards, make_row):
    """Two rows of equal scores share a rank and have no verdict but that."""
    board = boards(make_row(scores=GOOD), make_row("batch_norm", scores=GOOD))[0]

    assert "deterministic" == verdicts(board)["batch_norm"]
    assert [1, 1] == [entry.rank for entry in board.entries]


def test_pairs_are_told_of_the_rows_that_have_so_few(boards, make_row):
    """What the sign-flip alone cannot decide is said of these rows, of all where they are alike."""
    rows = [make_row(scores=GOOD), make_row("batch_norm", scores=BETTER)]
    few = make_row("group_norm", scores=BETTER[:2])
    alike, apart = (
        " ".join(what_was_tested(boards(*given)[0]))
        for given in ((rows[0], make_row("batch_norm", scores=BETTER[:2])), (*rows, few))
    )

    assert "Pairs: 2; the exact sign-flip p of 2 is 0.25 at least, so that it alone could" in alike
    assert "decide nothing here." in alike
    assert "Pairs: 2, 6; the exact sign-flip p of 2 is 0.25 at least, so that it alone" in apart
    assert "could decide nothing of the row with 2 pairs." in apart


def test_seeds_without_a_result_keep_a_row_exploratory(boards, make_row, tmp_path):
    """A crashed seed may have crashed for what the row does; --allow-incomplete says so.

    It says what the bound rests on then, and fixes no reference.
    """
    rows = [make_row(scores=GOOD), make_row("batch_norm", scores=BETTER, missing=(6, 7))]
    careful = boards(*rows)[0]
    daring = boards(*rows, terms=Terms(allow_incomplete=True))[0]

    assert ("exploratory", "better") == (
        verdicts(careful)["batch_norm"],
        verdicts(daring)["batch_norm"],
    )
    assert "batch_norm momentum has 6 of 8" in notes(careful)
    assert "its mean is too good" in notes(daring)
    trust = "seeds are missing for no reason that has to do with what they would have shown, the"
    assert trust in " ".join(what_was_tested(daring))
    store = RunStore.open(tmp_path / "store", create=True)
    assert b"" == note_shown(store, [daring])
    whole = boards(rows[0], make_row("batch_norm", scores=BETTER), terms=daring.terms)[0]
    assert trust not in " ".join(what_was_tested(whole))
    assert note_shown(store, [whole])


def test_a_reference_with_seeds_missing_keeps_every_row_exploratory(boards, make_row):
    """What the reference lacks may be what it would have been worse at, too."""
    rows = [make_row(scores=GOOD, missing=(6,)), make_row("batch_norm", scores=BETTER)]

    assert "exploratory" == verdicts(boards(*rows)[0])["batch_norm"]


def test_diverged_seeds_count_with_the_worst_score(boards, make_row):
    """The mean holds them, the note says so, and the converged mean is apart."""
    board = boards(make_row(scores=GOOD), make_row("batch_norm", scores=BETTER, diverged=(0,)))[0]
    entry = next(entry for entry in board.entries if entry.row.norm == "batch_norm")

    assert "unstable" == entry.verdict
    assert pytest.approx(np.mean([0.1, *BETTER[1:]])) == entry.mean
    assert pytest.approx(np.mean(BETTER[1:])) == entry.converged_mean
    assert "count with the worst score, 0.1: batch_norm momentum 1 of 6" in notes(board)


def test_all_diverged_is_said(boards, make_row):
    """A row that diverged at every seed is last, worse, and named."""
    board = boards(make_row(scores=GOOD), make_row("batch_norm", scores=GOOD, diverged=range(6)))[0]

    assert ["none", "batch_norm"] == [entry.row.norm for entry in board.entries]
    assert "worse" == verdicts(board)["batch_norm"]
    assert "Every seed diverged in 1 row:" in notes(board)


def machine(name: str) -> dict:
    return {"hardware": {"device": name}, "versions": {"torch": "2.15"}, "git": {}}


@pytest.mark.parametrize(("second", "seconds"), [("H100", 4.0), ("A100", None)])
def test_times_of_different_hardware_are_left_out(boards, make_row, second, seconds):
    """Times stand only where every run was trained on one kind of device; engines always do."""
    rows = [make_row(scores=GOOD), make_row("batch_norm", scores=BETTER)]
    target = {"target": 0.9, "reached": True, "epochs": 3, "seconds": 1.0}
    details, machines = {}, {}
    for row, name in zip(rows, ("H100", second), strict=True):
        for run in row.runs.values():
            machines[run.fingerprint] = machine(name)
            details[run.fingerprint] = {
                "train_seconds": 4.0,
                "outcome": "finished",
                "time_to_target": target,
                "engine": "graph" if run is row.runs[0] or row is rows[0] else "eager",
            }
    board = boards(*rows, details=details, machines=machines)[0]
    headings, lines = flat_records(board)

    assert {seconds} == {entry.costs.seconds for entry in board.entries}
    assert {3} == {entry.costs.target.median for entry in board.entries}
    assert (seconds is None) == ("trained on different hardware: H100 (6 runs)" in notes(board))
    assert {"graph", "eager 5, graph 1"} == {line[headings.index("engine")] for line in lines}
    engines = [entry["costs"]["engines"] for entry in board_record(board)["entries"]]
    assert {"eager": 5, "graph": 1} in engines


@pytest.mark.parametrize("filters", [{"norms": ["group_norm"]}, {"optimizers": ["adam"]}, {}])
def test_filters_choose_what_is_shown_and_nothing_else(boards, make_row, filters):
    """p, verdict, rank, interval and letters of a row are those of the whole table; so is more."""
    noise = (0.004, -0.003, 0.004, 0.0, -0.002, 0.003)
    close = [v + 0.003 + n for v, n in zip(GOOD, noise, strict=True)]
    names = (("group_norm", "adam"), ("batch_norm", "momentum"), ("layer_norm", "momentum"))
    rows = [make_row(*name, [v - i / 600 for v in close]) for i, name in enumerate(names)]
    rows.append(make_row(scores=GOOD))
    wanted = filters or {"rows": frozenset({rows[0].row})}
    (whole,), (board,) = boards(*rows), boards(*rows, **wanted)
    alone = boards(rows[0], rows[3])[0]

    assert {"group_norm", "none"} == verdicts(board).keys()
    assert [e for e in whole.entries if e.row.norm in verdicts(board)] == list(board.entries)
    of_three, of_one = (e.entries[0].comparison.p_adjusted[0] for e in (board, alone))
    assert pytest.approx(of_three) == 3 * of_one
    assert [1, 4] == [entry.rank for entry in board.entries]
    for name in ("family", "drawn", "all_drawn", "digest", "exploratory"):
        assert getattr(whole, name) == getattr(board, name), name
    said = "Not shown: 2 comparable rows; p, ranks and letters are those of the whole table."
    assert (False, True) == (said in notes(whole), said in notes(board))
    assert 2 == board_record(board)["not_shown"]
    assert "That is said of the rows shown: 2 rows more of this table" in conclusion(board)
    assert "That is said" not in conclusion(whole)


@pytest.mark.parametrize(("scores", "reference"), [(GOOD, "batch_norm"), ((), "none")])
def test_a_suite_has_its_own_rows_and_reference(boards, make_row, scores, reference):
    """Others of the store have no part; a declared row without results is no reference yet."""
    own = [make_row(scores=GOOD), make_row("batch_norm", scores=scores, missing=(7,))]
    names = [row.row for row in own]
    suite = SuiteRows(name="mine", rows=frozenset(names), references=frozenset(names[1:]))
    board = boards(*own, make_row("group_norm", scores=BETTER), suite=suite)[0]

    assert {"none", "batch_norm"} == {entry.row.norm for entry in board.entries}
    assert reference == board.reference.row.norm
    assert "The reference is" not in notes(board)


def test_a_suite_says_which_row_of_its_references_cell_stands(boards, make_row):
    """After tuning that may be another row than before, with other seeds; both are named."""
    untuned, given = make_row(scores=GOOD), make_row(setting={"lr": 0.7}, origin="given")
    tuned = make_row(scores=GOOD[:2], setting={"lr": 0.3}, origin="known")
    other = make_row("batch_norm", scores=GOOD)
    rows, references = frozenset({tuned.row, other.row}), frozenset({tuned.row})
    suite = SuiteRows(name="mine", rows=rows, references=references)
    said = notes(boards(untuned, given, tuned, other, suite=suite)[0])

    assert "The reference is none momentum lr=0.3 (known) with 2 seeds: the suite" in said
    assert "store also has none momentum untuned with 6 seeds, which this suite leaves" in said
    assert f"--problem digits_cnn --protocol standard --reference {untuned.row[:8]}" in said
    chosen = boards(untuned, tuned, other, suite=suite, reference="batch_norm")[0]
    assert "The reference is none" not in notes(chosen)


def test_rows_that_left_a_suite_are_said(boards, make_row):
    """What an earlier table of it showed is counted, with the command for its reference."""
    left = [make_row(norm, scores=GOOD) for norm in ("none", "batch_norm")]
    left = [replace(row, shown=(Shown(1e9, "suite mine", left[0].row, 6),)) for row in left]
    own = make_row(scores=GOOD, origin="known", setting={"lr": 0.3})
    own = replace(own, shown=(Shown(2e9, "suite mine", own.row, 6),))
    other = replace(make_row("group_norm"), shown=(Shown(1e9, "suite other", own.row, 6),))
    suite = SuiteRows(name="mine", rows=frozenset({own.row}), references=frozenset())
    (board,) = boards(own, *left, other, suite=suite)

    assert "2 rows that an earlier table of suite mine showed are not among" in board.head[0]
    assert f"--reference {left[0].row[:8]}" in board.head[0]
    assert () == boards(own, make_row("group_norm", scores=GOOD), suite=suite)[0].head
    with pytest.raises(UsageError, match=r"has none of the 1 rows .* 2 rows that an earlier table"):
        boards(*left, suite=suite)
    with pytest.raises(UsageError, match="setting among the rows of suite mine 'untuned'"):
        boards(own, *left, suite=suite, settings=("untuned",))


def test_filter_for_an_absent_name_says_what_there_is(boards, make_row):
    """The nearest name is offered, and an empty store says how to fill it."""
    with pytest.raises(UsageError, match="Did you mean 'batch_norm'"):
        boards(make_row("batch_norm", scores=GOOD), norms=["batchnorm"])
    with pytest.raises(UsageError, match="holds no runs to compare"):
        boards()


def test_since_leaves_out_what_finished_before(boards, make_row):
    """Runs count from a moment on, if it is known; a row without any left is left out."""
    rows = [make_row(scores=GOOD), make_row("batch_norm", scores=BETTER)]
    details = {
        run.fingerprint: {
            "finished_at": 100.0 * seed + 1000 * i,
            "train_seconds": 1.0,
            "outcome": "finished",
        }
        for i, row in enumerate(rows)
        for seed, run in row.runs.items()
    }
    del details[rows[1].runs[0].fingerprint]["finished_at"]
    board = boards(*rows, details=details, since=datetime.fromtimestamp(300, UTC).timestamp())[0]

    assert [5, 3] == [entry.n for entry in board.entries]
    (late,) = boards(*rows, details=details, since=900.0)
    assert [("batch_norm", None)] == [(entry.row.norm, entry.verdict) for entry in late.entries]
    assert "the reference, none with momentum, has no results since 1970-01-0" in notes(late)
    assert "Left out: 1 comparable row without results since the date" in notes(late)
    old = [make_row(scores=GOOD, missing=()), make_row("batch_norm", scores=BETTER)]
    old.append(make_row("layer_norm", scores=BETTER))
    ended = {"train_seconds": 1.0, "outcome": "finished"}
    for dated, said in (("none", "none momentum 1"), ("layer_norm", "Left out: 1 comparable row")):
        times = {
            run.fingerprint: {**ended, "finished_at": 50.0}
            | (
                {"finished_at": 10.0}
                if row.norm == dated and (seed == 0 or dated != "none")
                else {}
            )
            for row in old
            for seed, run in row.runs.items()
        }
        young = boards(*old, details=times, since=30.0)[0]
        # By one older result of the reference, or since the family is smaller without a row.
        assert "exploratory" == verdicts(young)["batch_norm"]
        assert said in notes(young)
        assert "better" == verdicts(boards(*old, details=times, since=5.0)[0])["batch_norm"]
    asked = boards(*rows, details=details, since=900.0, reference="none")[0]
    assert (None, late.reference.why) == (asked.reference.row, asked.reference.why)
    with pytest.raises(UsageError, match=r"has no results since 2001-09-\d\d .* an earlier date"):
        boards(*rows, details=details, since=1e9)


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        ({}, 1),
        ({"since": 1.0}, 1),
        ({"since": 3.0}, 0),
        ({"settings": ("untuned",)}, 1),
        ({"settings": ("given",)}, 0),
        ({"terms": Terms(alpha=0.04)}, 1),
        ({"terms": Terms(alpha=0.06)}, 0),
        ({"terms": Terms(stages=(6, 8))}, 0),
        ({"metric": "test_loss"}, 0),
        ({"terms": Terms(correction="bh")}, 0),
        ({"reference": "batch_norm"}, 0),
    ],
)
def test_only_the_table_as_it_comes_fixes_its_reference(boards, make_row, tmp_path, wanted, lines):
    """What was chosen otherwise leaves no line, even where every seed differs by the same."""
    kind = {"origin": "given"} if wanted.get("settings") == ("given",) else {}
    rows = [
        make_row(scores=GOOD, **kind),
        make_row("batch_norm", scores=[v + 0.5 for v in GOOD], **kind),
        *([make_row("layer_norm", scores=GOOD)] if kind else []),
    ]
    details = {
        run.fingerprint: {
            "finished_at": 5.0 if seed else 2.0,
            "train_seconds": 1.0,
            "outcome": "finished",
            "final": {"test": {"loss": run.score}},
        }
        for row in rows
        for seed, run in row.runs.items()
    }
    found = boards(*rows, details=details, **wanted)
    store = RunStore.open(tmp_path / "store", create=True)

    assert "deterministic" in verdicts(found[0]).values()
    assert bool(lines) == bool(note_shown(store, found))
    assert (2 * lines) == len(read_shown(store.root))
    old = [replace(row, shown=(Shown(1e9, "", rows[0].row, 6),)) for row in rows]
    again = boards(*old, details=details, **wanted)
    assert b"" == note_shown(store, again)
    named = {"problems": ("digits_cnn",), **wanted}
    by_name = note_shown(store, boards(*old, details=details, **named))
    assert (2 * lines) == sum(by_name.count(row.row.encode() + b'":') for row in rows)


@pytest.mark.parametrize("kind", ["known", "untuned"])
def test_a_reference_is_of_the_setting_asked_for(boards, make_row, kind):
    """By the same rule among rows of that kind, whatever another table was compared with."""
    tuned = {"origin": "known", "setting": {"lr": 0.3}}
    cells = [("none", "momentum"), ("batch_norm", "momentum")]
    rows = [make_row(*cell, GOOD, **more) for cell in cells for more in ({}, tuned)]
    seen = Shown(1e9, "", rows[0].row, 6)
    rows = [replace(row, shown=(seen,)) for row in rows]
    board = boards(*rows, settings=(kind,))[0]

    assert rows[0].row == boards(*rows)[0].reference.row.row
    assert rows[kind == "known"].row == board.reference.row.row
    assert (2, ()) == (len(board.entries), board.head)
    # What --setting leaves out may have been chosen after looking, and what it compares with.
    assert (True, 4) == (board.exploratory, len(board.whole))
    assert "2 comparable rows of other settings than were asked for." in notes(board)
    assert (kind == "known") == board.reference.post_hoc
    # Of another kind is a row that has no results yet, so nothing of it was looked at.
    waiting = make_row("layer_norm", missing=(0,), **({} if kind == "known" else tuned))
    of_one_kind = boards(waiting, *rows[kind == "known" :: 2], settings=(kind,))[0]
    assert not of_one_kind.exploratory
    # What was shown first by the problem's other name is said, be it of another kind.
    by_name = [replace(row, shown=(seen._replace(name="digits_cnn"),)) for row in rows]
    (twin,) = boards(*by_name, problems=["digits_cnn_bn"], settings=(kind,))
    assert "by another name of this problem, the reference was none with mo" in notes(twin)
    assert (kind == "known") == ("--setting known was asked for" in board.reference.why)
    adam = make_row("group_norm", "adam", GOOD, origin="given", setting={"lr": 0.1})
    found = boards(*rows, adam, settings=("given",))[0]
    assert (None, "") == (found.reference.row, verdicts(found)["group_norm"])


def test_declared_stages_are_tested_as_such(boards, make_row):
    """p holds for all looks; who says stages that the store does not have confirms nothing."""
    rows = [
        make_row(scores=(*GOOD[:5],)),
        make_row("batch_norm", scores=BETTER[:5]),
    ]
    plain, staged = boards(*rows)[0], boards(*rows, terms=Terms(stages=(5, 10)))[0]
    assert "better" == verdicts(plain)["batch_norm"]
    assert staged.entries[0].comparison.p[0] > plain.entries[0].comparison.p[0]
    assert "exploratory" == verdicts(staged)["batch_norm"]
    assert "The stages were given when this table was asked for" in notes(staged)
    assert any("stages of 5, 10, as --stages says" in line for line in what_was_tested(staged))
    declared = Declaration(row="", stages=(5, 10), seeds=tuple(range(10)))
    own = [replace(row, declared=replace(declared, row=row.row)) for row in rows]
    (known,) = boards(*own, terms=Terms(stages=(3, 5)))
    assert ("better", (5, 10)) == (
        verdicts(known)["batch_norm"],
        known.entries[0].comparison.stages,
    )


@pytest.mark.parametrize(
    ("text", "norm"),
    [
        ("batch_norm+sgd", "batch_norm"),
        ("norm=none+optimizer=sgd", "none"),
        ("none+momentum", "none"),
        ("momentum", "none"),
        ("lr=0.1", "layer_norm"),
        ("sgd+untuned+none", "none"),
    ],
)
def test_rows_are_found_by_words(make_row, text, norm):
    """Names and NAME=VALUE narrow the rows down to one."""
    rows = [
        make_row("none", "sgd"),
        make_row("batch_norm", "sgd"),
        make_row("none", "momentum"),
        make_row("layer_norm", "sgd", setting={"lr": 0.10}, origin="given"),
    ]

    assert norm == find_row(rows, text).norm
    assert rows[1] is find_row(rows, rows[1].row[:8])


def test_words_that_fit_several_rows_or_none_are_refused(boards, make_row, catalogue):
    """The message lists the rows that fit, or the nearest word, or those of all tables."""
    rows = [make_row("none", "sgd"), make_row("batch_norm", "sgd")]

    with pytest.raises(UsageError, match=r"names 2 rows: expected one.*digits_cnn batch_norm sgd"):
        find_row(rows, "sgd")
    with pytest.raises(UsageError, match="Did you mean 'batch_norm'"):
        find_row(rows, "batchnorm+sgd")
    with pytest.raises(UsageError, match=r"unknown word for a row 'default'.* untuned"):
        find_row(rows, "default")
    apart = [*rows, make_row("none", "adam", setting={"lr": 0.1}, origin="given")]
    for text, said in (
        ("batch_norm+adam", "no row has both batch_norm and adam. With batch_norm there is: sgd."),
        ("sgd+lr=0.1", "no row has both sgd and lr=0.1. With sgd there is nothing of that kind."),
        (
            "none+adam+untuned",
            "all of none and adam and untuned. With none and adam there is: given",
        ),
        (f"adam+{rows[0].row[:8]}", f"With adam there is: {apart[2].row[:8]}."),
    ):
        with pytest.raises(UsageError, match=re.escape(said)):
            find_row(apart, text)
    with pytest.raises(UsageError, match=r"both norm batch_norm and optimizer adam. With norm"):
        choose(apart, {"norm": ["batch_norm"], "optimizer": ["adam"]}, catalogue)
    both = [make_row(scores=GOOD), make_row("layer_norm", scores=GOOD, problem="other_cnn")]
    with pytest.raises(UsageError, match=r"word for a row 'x'.*digits_cnn.*layer_norm.*other_cnn"):
        boards(*both, reference="x")


def test_same_rows_give_the_same_hash_in_any_order(boards, make_row):
    """The hash of the values depends on nothing but them."""
    rows = [make_row(scores=GOOD), make_row("batch_norm", scores=BETTER)]
    changed = make_row("batch_norm", scores=(*BETTER[:5], 0.5))

    assert boards(*rows)[0].digest == boards(*reversed(rows))[0].digest
    assert boards(*rows)[0].digest != boards(rows[0], changed)[0].digest


def test_rows_are_ranked_by_seconds_on_one_kind_of_hardware_only(boards, make_row):
    """Training seconds of two devices are refused, with the devices' names."""
    rows = [make_row(scores=GOOD), make_row("batch_norm", scores=BETTER)]
    runs = [(i, run.fingerprint) for i, row in enumerate(rows) for run in row.runs.values()]
    details = {name: {"train_seconds": 4.0 + i, "outcome": "finished"} for i, name in runs}
    alike = {name: machine("H100") for _, name in runs}
    mixed = {name: machine(("H100", "A100")[i]) for i, name in runs}
    asked = {"details": details, "metric": "train_seconds"}

    assert ["none", "batch_norm"] == [
        entry.row.norm for entry in boards(*rows, machines=alike, **asked)[0].entries
    ]
    with pytest.raises(UsageError, match="trained on H100, A100, expected one known kind"):
        boards(*rows, machines=mixed, **asked)
