"""What a table must not depend on: the order of rows, the zero of the scale, its direction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normbench import Metric
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.grouping import Wanted
from normbench.store import Declaration

NORMS = ("none", "batch_norm", "group_norm", "layer_norm")
few_examples = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
tables = st.tuples(st.integers(0, 10_000), st.integers(3, 11), st.booleans())
MIRROR = {"better": "worse", "worse": "better"}


@pytest.fixture
def board_of(reader, catalogue, make_row):
    """Return a function that makes a board of drawn scores, changed in some way."""

    def make(drawn, *, sign: int = 1, shift: float = 0.0, order=slice(None)):
        seed, n, staged = drawn
        rng = np.random.default_rng(seed)
        # Multiples of 1/1024, so that a shift leaves every difference as it is.
        values = np.round(rng.normal(0, 1, (len(NORMS), n)) * 1024) / 1024
        values[1:] += np.array([[0.0], [0.5], [-1.0]])
        metric = Metric(
            name="score",
            direction="max" if sign > 0 else "min",
            worst=-64.0 * sign,
            smallest_difference=0.25,
        )
        rows = [
            make_row(norm, scores=(sign * own + shift).tolist(), metric=metric)
            for norm, own in zip(NORMS, values, strict=True)
        ]
        if staged:
            stages = Declaration(row=rows[1].row, stages=(5, 8), seeds=tuple(range(8)))
            rows[1] = replace(rows[1], declared=stages)
        return make_boards(reader(rows[order]), catalogue, Wanted())[0]

    return make


def told(board) -> dict[str, tuple]:
    """Return all that is said of each row but for its own values."""
    return {
        e.row.norm: (e.verdict, e.rank, e.rank_interval, e.letters, repr(e.comparison))
        for e in board.entries
    }


@few_examples
@given(tables)
def test_order_of_rows_changes_nothing(board_of, drawn):
    """The rows of a store come in any order; the table is the same to the last digit."""
    one, other = board_of(drawn), board_of(drawn, order=slice(None, None, -1))

    assert told(one) == told(other)
    assert (one.digest, one.notes) == (other.digest, other.notes)


@few_examples
@given(tables, st.integers(-64, 64))
def test_adding_a_constant_to_all_scores_changes_no_p(board_of, drawn, shift):
    """Differences are what is compared, so p, interval, ranks and verdicts stay."""
    one, other = board_of(drawn), board_of(drawn, shift=float(shift))

    assert told(one).keys() == told(other).keys()
    for entry, moved in zip(one.entries, other.entries, strict=True):
        assert (entry.verdict, entry.rank, entry.letters) == (
            moved.verdict,
            moved.rank,
            moved.letters,
        )
        if entry.comparison:
            for name in ("p", "p_adjusted", "flip_adjusted", "interval", "p_equivalent"):
                expected, found = getattr(entry.comparison, name), getattr(moved.comparison, name)
                assert pytest.approx(expected, rel=1e-9, nan_ok=True) == found


@few_examples
@given(tables)
def test_other_direction_of_mirrored_scores_is_the_same_table(board_of, drawn):
    """Scores negated and smaller better: every verdict, p and rank stays."""
    one, other = board_of(drawn), board_of(drawn, sign=-1)

    assert told(one) == told(other)


@few_examples
@given(tables)
def test_exchanging_row_and_reference_mirrors_the_verdict(board_of, drawn):
    """What is better than the other is what the other is worse than, with the same p."""
    from normbench.leaderboard.against import Rule, compare_all
    from normbench.leaderboard.families import unadjusted
    from normbench.leaderboard.verdicts import Circumstances, verdict_of

    board = board_of(drawn)
    base, new = (next(e for e in board.entries if e.row.norm == n) for n in NORMS[:2])
    rule = Rule(alpha=0.05, adjust=unadjusted, smallest=0.25)
    forth = compare_all([new.values], base.values, rule)[0]
    back = compare_all([base.values], new.values, rule)[0]
    words = [verdict_of(found, Circumstances(alpha=0.05)).value for found in (forth, back)]

    assert words[1] == MIRROR.get(words[0], words[0])
    assert pytest.approx(forth.p, nan_ok=True) == back.p[::-1]
    assert pytest.approx(forth.p_equivalent, nan_ok=True) == back.p_equivalent
