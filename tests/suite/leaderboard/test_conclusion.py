"""The sentence on who wins claims what the verdicts claim, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from normbench.leaderboard.board import Terms
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.conclusion import conclusion
from normbench.leaderboard.grouping import Wanted

GOOD = (0.91, 0.93, 0.92, 0.94, 0.90, 0.92)
NOISE = (0.001, -0.002, 0.0, 0.002, -0.001, 0.001)


def shifted(by: float, times: float = 1.0) -> list[float]:
    return [value + by + times * noise for value, noise in zip(GOOD, NOISE, strict=True)]


@pytest.fixture
def concluded(make_row, reader, catalogue):
    """Return a function that says what rows come to, by norm and scores, against none."""

    def conclude(scores, **wanted) -> str:
        rows = [make_row("none", scores=GOOD)] if "none" not in scores else []
        rows += [make_row(norm, scores=values) for norm, values in scores.items()]
        (board,) = make_boards(reader(rows), catalogue, Wanted(**wanted))
        return conclusion(board)

    return conclude


def test_a_single_winner_is_named_with_its_interval(concluded):
    """Norm, difference, interval, p and the probability of a false claim are said."""
    said = concluded({"batch_norm": shifted(0.03), "layer_norm": shifted(-0.03)})

    assert said.startswith(
        "batch_norm with momentum is better than the reference, none with momentum, the only one "
        "of 2 rows that is: it differs by +3.02 points (95 % interval +2.86 to +3.17; p < 0.001 "
        "after Holm's correction)."
    )
    assert said.endswith(
        "Where differences are normal, the probability of any false `better` in this table is at "
        "most 5 %."
    )


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (0.03, "than the reference, none with momentum: it differs by +3.02 points"),
        (-0.03, "than the reference, none with momentum; 1 of 1 is worse."),
    ],
)
def test_one_row_beside_the_reference_is_spoken_of_alone(concluded, gain, said):
    """It is not the only one of one row."""
    assert said in concluded({"batch_norm": shifted(gain)})


def test_rows_that_may_equal_the_winner_are_named(concluded):
    """Where the second is not told apart from the first, the sentence says so."""
    close = [value + 0.0001 * (-1) ** seed for seed, value in enumerate(shifted(0.03))]
    said = concluded(
        {"batch_norm": shifted(0.03), "group_norm": close, "layer_norm": shifted(0.01, -2)}
    )

    assert said.startswith(
        "3 of 3 rows are better than the reference, none with momentum. The best"
    )
    assert "is not told apart from it." in said
    assert "layer_norm" not in said


def test_no_winner_says_what_would_have_been_found(concluded):
    """Without a `better` the best row is named with its interval and the detectable difference."""
    said = concluded({"batch_norm": shifted(0.001, 5), "layer_norm": shifted(-0.03)})

    assert "No row is shown to be better than the reference, none with momentum; 1 of 2" in said
    assert "The best of the others, batch_norm with momentum, differs by +0.18 points" in said
    assert "p = 0.568 after Holm's correction" in said
    assert "6 seeds find a difference of" in said
    assert "false" not in said


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (
            -0.03,
            "The best mean test accuracy is 92.00 %, of none with momentum over 6 seeds. The best "
            "of the others, batch_norm with momentum, has 89.00 % over 2 seeds.",
        ),
        (0.03, "The best mean test accuracy is 95.00 %, of batch_norm with momentum over 2 seeds."),
    ],
    ids=["reference", "other"],
)
def test_the_best_mean_may_be_the_references(concluded, by, said):
    """Where no pair of rows is tested, the best mean of all is said, the reference's included."""
    found = concluded({"batch_norm": shifted(by, 0)[:2], "layer_norm": shifted(by - 0.01, 0)[:2]})
    start = "No row is shown to be better than the reference, none with momentum. "

    assert start + said == found


def test_exploratory_tables_confirm_nothing(concluded):
    """A reference or a correction of one's choice turns no difference into a winner."""
    said = concluded({"batch_norm": shifted(0.03)}, terms=Terms(correction="none"))

    assert said.startswith("No row is shown to be better than the reference")
    assert "Nothing in this table is confirmed: its verdicts are exploratory" in said
    assert "uncorrected" in said


def test_a_reference_that_diverged_is_said(make_row, reader, catalogue):
    """Where the reference diverged, little can be said, and that is said."""
    rows = [make_row("none", scores=GOOD, diverged=(0, 1))]
    rows.append(make_row("batch_norm", scores=shifted(0.02)))
    said = conclusion(make_boards(reader(rows), catalogue, Wanted())[0])

    assert "2 of 6 seeds of the reference diverged, so that little can be said" in said


def test_without_a_reference_the_best_mean_is_named(make_row, reader, catalogue):
    """The best mean is said, and that nothing was compared."""
    rows = [make_row("batch_norm", "adam", scores=shifted(0.01))]
    (board,) = make_boards(reader(rows), catalogue, Wanted())

    assert conclusion(board).startswith("Nothing was compared: no results of none with momentum")
    assert "The best mean test accuracy is 93.02 %, of batch_norm with adam over 6 seeds." in (
        conclusion(board)
    )


def test_a_lone_reference_and_rows_without_results(make_row, reader, catalogue):
    """One row wins nothing, and rows without results say only that."""
    (board,) = make_boards(reader([make_row("none", scores=GOOD)]), catalogue, Wanted())
    empty = replace(board, entries=(replace(board.entries[0], values={}),))

    assert conclusion(board).startswith("Only the reference has results, none with momentum.")
    assert "No row has a result yet." == conclusion(empty)
