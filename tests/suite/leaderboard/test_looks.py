"""Which seeds count at which look, alone and together, and the tables of staged rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.leaderboard.ablations import make_ablations
from normbench.leaderboard.board import Terms
from normbench.leaderboard.boards import make_boards
from normbench.leaderboard.comparison import duel, seeds_missing
from normbench.leaderboard.duels import in_words
from normbench.leaderboard.grouping import Wanted
from normbench.leaderboard.looks import Looks, looks_together
from normbench.leaderboard.making import letters_of, looks_of, pairwise_p
from normbench.leaderboard.sections import board_section
from normbench.leaderboard.staged import p_of_looks, two_sided_p
from normbench.leaderboard.tested import what_was_tested
from normbench.store import Declaration, RecordedDecision

STAGES = (5, 10)
EARLY = "before their first declared look are exploratory"
few_examples = settings(max_examples=20, deadline=None)


def declared(row, stages=STAGES, first: int = 0, **more) -> Declaration:
    seeds = tuple(range(first, first + stages[-1]))
    return replace(row, declared=Declaration(row=row.row, stages=stages, seeds=seeds, **more))


def scores(n: int, seed: int, mean: float = 0.9) -> list[float]:
    return np.random.default_rng(seed).normal(mean, 0.01, n).tolist()


@pytest.mark.parametrize(
    ("shared", "counted"),
    [(range(4), 4), (range(5), 5), (range(9), 5), (range(10), 10), (range(14), 10)],
)
def test_seeds_count_up_to_the_last_look_that_they_allow(shared, counted):
    """Between two looks, and after the last one, those of the look before count."""
    looks = Looks(STAGES, tuple(range(10)))

    assert tuple(range(counted)) == looks.counted(shared)
    assert tuple(shared) == Looks().counted(reversed(shared))


def test_seeds_count_in_their_declared_order():
    """The first look is at the seeds that were trained first, whatever their numbers."""
    looks = Looks((2, 4), (7, 3, 9, 1))

    assert ((7, 3), (7, 3, 9, 1)) == (looks.counted({3, 7, 9}), looks.counted({1, 3, 7, 9}))


def test_looks_of_several_rows_hold_every_number_of_seeds_that_they_may_share():
    """Wherever each of them stops, the seeds that all have are one of the stages."""
    first = Looks((5, 10), tuple(range(10)))
    second = Looks((4, 8), tuple(range(2, 10)))
    together = looks_together([first, second])
    possible = {len(set(first.seeds[:i]) & set(second.seeds[:j])) for i in (5, 10) for j in (4, 8)}

    assert possible <= set(together.stages)
    assert tuple(range(2, 10)) == together.seeds


def test_a_row_of_fixed_seeds_bounds_the_looks_at_a_pair():
    """Of ten fixed seeds a row with stages up to twenty can share five or ten."""
    staged = Looks((5, 10, 15, 20), tuple(range(20)))

    assert (5, 10) == looks_together([staged, Looks((), tuple(range(10)))]).stages
    assert Looks() == looks_together([Looks((), (1, 2)), Looks((), (3,))])
    # Stages against no row that was named may give their seeds to any of a fixed number.
    unnamed, fixed = replace(staged, row="a", against=""), Looks((), tuple(range(10)), "b")
    assert staged.stages == looks_together([unnamed, fixed]).stages
    assert (5, 10) == looks_together([replace(unnamed, against="c"), fixed]).stages


@few_examples
@given(
    st.lists(st.permutations(range(6)), min_size=2, max_size=3, unique_by=tuple),
    st.sets(st.integers(0, 5)),
)
def test_looks_of_several_rows_do_not_depend_on_which_comes_first(orders, shared):
    """Seeds declared in different orders are counted in one of them, whoever is asked first."""
    members = [Looks((3, 6), tuple(order), str(n), "") for n, order in enumerate(orders)]
    found = [looks_together(each) for each in permutations([*members, Looks((), tuple(range(5)))])]

    assert [found[0]] * len(found) == found
    assert found[0].seeds == tuple(seed for seed in min(map(tuple, orders)) if seed in range(6))
    assert 1 == len({looks.counted(shared) for looks in found})


@pytest.mark.parametrize(("n", "word"), [(5, "exploratory"), (6, "better")])
def test_fixed_seeds_before_the_first_look_of_the_reference_are_exploratory(
    boards, make_row, n, word
):
    """A row without stages gets no verdict at pairs that no look of its reference has come to."""
    base = declared(make_row("none", scores=scores(n, 0)), (6, 8), reference="0" * 32)
    fixed = make_row("batch_norm", scores=scores(8, 1, 0.95))

    assert word == verdict(boards(base, fixed)[0], "batch_norm")


@pytest.mark.parametrize("other", [Looks((), tuple(range(5))), Looks(STAGES, tuple(range(10)))])
def test_where_no_seed_counts_for_both_none_does(other):
    """Seeds from before a declaration do not count because the other row has nothing else."""
    together = looks_together([Looks(STAGES, tuple(range(10, 20))), other])

    assert () == together.counted(range(5)) == together.available(range(20))
    assert (0, 1) == Looks().counted(range(2))
    assert [False, True, False] == [
        looks.before_first(n) for looks, n in ((Looks(), 0), (Looks(STAGES), 4), (Looks(STAGES), 5))
    ]


@few_examples
@given(st.integers(0, 10_000), st.integers(5, 12))
def test_one_look_is_the_plain_test(seed, n):
    """One stage or a fixed number of seeds cost nothing; a two-sided p has no direction."""
    differences = np.random.default_rng(seed).normal(0.3, 1, n)
    plain = p_of_looks(differences, ())

    assert plain == p_of_looks(differences, (5,)) == p_of_looks(differences, (n,))
    assert pytest.approx(2 * min(plain, 1 - plain)) == two_sided_p(differences)
    assert two_sided_p(-differences, STAGES) == two_sided_p(differences, STAGES)


@pytest.fixture
def boards(reader, catalogue):
    return lambda *rows, **wanted: make_boards(reader(rows), catalogue, Wanted(**wanted))


def verdict(board, norm: str) -> str:
    return next(e.verdict.value for e in board.entries if e.row.norm == norm)


def test_missing_seeds_of_the_next_stage_leave_the_verdict_of_the_last(boards, make_row):
    """An interrupted stage is no look yet: what was decided before it stands."""
    base = make_row("none", scores=scores(12, 0), missing=(12,))
    row = declared(make_row("batch_norm", scores=scores(8, 1, 0.95), missing=(8, 9)))
    fixed = make_row("group_norm", scores=scores(8, 2, 0.95))
    board = boards(base, row, fixed)[0]

    assert ("better", "exploratory") == (verdict(board, "batch_norm"), verdict(board, "group_norm"))
    assert "group_norm" not in board.notes[0]


@pytest.mark.parametrize(
    ("own", "n", "word"), [(10, 0, "too few"), (14, 4, "exploratory"), (18, 8, "better")]
)
def test_a_staged_reference_is_compared_at_its_own_looks(boards, make_row, own, n, word):
    """Its seeds from before the declaration test no other row; its looks are after five and ten."""
    base = declared(make_row("none", scores=scores(18, 0)), first=10, reference="0" * 32)
    fixed = make_row("batch_norm", scores=scores(own, 1, 0.95))
    board = boards(base, fixed)[0]
    entry = next(each for each in board.entries if each.row.norm == "batch_norm")

    assert (word, n) == (entry.verdict.value, entry.comparison.n)
    assert set(entry.comparison.seeds) <= set(range(10, 20))
    assert any("reference's own seeds were added" in line for line in what_was_tested(board))
    lacking = make_row("batch_norm", scores=scores(own, 1, 0.95), missing=(30,))
    assert verdict(boards(base, lacking)[0], "batch_norm") in ("too few", "exploratory")


@pytest.mark.parametrize(("n", "missing"), [(4, ()), (5, (1,))])
def test_rows_before_their_first_look_are_exploratory(boards, make_row, n, missing):
    """Too few seeds, or a hole in those that count."""
    values = {seed: v for seed, v in enumerate(scores(n, 1, 0.95)) if seed not in missing}
    row = declared(make_row("batch_norm", scores=values, missing=missing))
    board = boards(make_row("none", scores=scores(12, 0)), row)[0]

    assert verdict(board, "batch_norm") in ("exploratory", "too few")
    assert EARLY in " ".join(board.notes)


def test_a_hole_among_the_seeds_of_a_look_keeps_a_row_exploratory(boards, make_row):
    """Five other pairs are there, but not those of the first look; unless that is asked for."""
    values = {seed: v for seed, v in enumerate(scores(9, 1, 0.95)) if seed != 3}
    row = declared(make_row("batch_norm", scores=values, missing=(3,)))
    rows = (make_row("none", scores=scores(12, 0)), row)
    daring = boards(*rows, terms=Terms(allow_incomplete=True))[0]

    assert "exploratory" == verdict(boards(*rows)[0], "batch_norm")
    assert "batch_norm momentum has 8 of 9" in " ".join(boards(*rows)[0].notes)
    assert "better" == verdict(daring, "batch_norm")


def test_a_side_that_the_difference_has_left_is_not_claimed(boards, make_row):
    """The first look at five seeds speaks for the row, all ten together against it."""
    base = scores(10, 0)
    gains = [0.02, 0.021, 0.019, 0.022, 0.018, -0.09, -0.02, -0.1, -0.01, -0.03]
    row = make_row("batch_norm", scores=[b + gain for b, gain in zip(base, gains, strict=True)])
    board = boards(make_row("none", scores=base), declared(row))[0]
    found = next(e.comparison for e in board.entries if e.comparison)

    assert found.p[0] < 0.05
    assert found.difference < 0
    assert "no evidence" == verdict(board, "batch_norm")


def test_letters_pay_for_looks_and_pairs(boards, make_row, reader):
    """A two-sided p below 5 % is none once a pair was looked at twice, or is one of three."""
    base = scores(10, 0)
    rng = np.random.default_rng(4).normal(0, 0.01, 10)
    gains = rng - rng.mean() + 0.0075
    rows = [
        make_row("none", scores=base),
        make_row("batch_norm", scores=[b + gain for b, gain in zip(base, gains, strict=True)]),
    ]
    letters = [
        {e.letters for e in boards(rows[0], row)[0].entries} for row in (rows[1], declared(rows[1]))
    ]

    assert [{"a", "b"}, {"a"}] == letters
    said = [in_words(duel(rows[1], rows[0], reader(rows), None, alpha)) for alpha in (0.05, 0.01)]
    assert ["hard to put down to chance." in words for words in said] == [True, False]
    noise = np.random.default_rng(5).normal(0.004, 0.02, 10)
    for n, told in ((5, {0: "a", 1: "b"}), (4, {})):
        assert told == letters_of(
            [{s: 1 + s / 99 for s in range(n)}, dict.fromkeys(range(n), 0.0)], 0.05
        )
    third = make_row("group_norm", scores=[b + more for b, more in zip(base, noise, strict=True)])
    assert {"a"} == {entry.letters for entry in boards(*rows, third)[0].entries}


def decided(row, base, verdict: str = "better") -> RecordedDecision:
    return RecordedDecision(
        reference=base.row,
        stage=5,
        verdict=verdict,
        p=0.02,
        n=5,
        difference=0.05,
        interval=None,
        family=(row.row,),
        metric="test_accuracy",
        alpha=0.05,
        decided_at=1e9,
    )


def test_rows_of_which_too_few_seeds_count_for_both_are_said(boards, make_row, reader):
    """In the notes with what was decided then, by the legend of letters, and by compare."""
    base = make_row("none", scores=scores(9, 0))
    base = declared(base, (5, 8), first=4, before=tuple(range(4)), reference="0" * 32)
    row = make_row("batch_norm", scores=scores(5, 1, 0.95))
    row = declared(row, (5, 8), reference=base.row, decision=decided(row, base))
    (board,) = boards(base, row)
    text = " ".join(board.notes)

    assert "compared with one of which others count: batch_norm momentum 0-3." in text
    assert "batch_norm momentum shares 4 of 8 seeds" in text
    assert "1 row in the family, 5 pairs) and is `too few` here (0, 1 pair)" in text
    assert not [words for words in (EARLY, "no declared look has come") if words in text]
    assert "share too few seeds that count." in " ".join(board_section(board).lines["Words"])
    pair = duel(row, base, reader([row, base]), None, 0.05)
    assert in_words(pair).startswith("The one seed differs by ")
    assert "1 pair is too few: train more seeds." in seeds_missing(pair)


@pytest.mark.parametrize("verdict", ["better", "no evidence"])
def test_notes_name_the_seeds_of_before_and_decisions_that_differ(boards, make_row, verdict):
    """Seeds of before that have results, none of them as one to come; no decision that stands."""
    base = make_row("none", scores=scores(12, 0))
    row = make_row("batch_norm", scores=scores(12, 1, 0.95))
    row = declared(row, (5, 8), 2, before=(0, 1, 90), decision=decided(row, base, verdict))
    (board,) = boards(base, row)
    text = " ".join(board.notes)

    assert "from before its stages were declared: batch_norm momentum 0-1." in text
    assert "no declared look has come to: batch_norm momentum 10-11." in text
    assert ("otherwise in this table" in text) == (verdict != "better")
    assert "share too few" not in " ".join(board_section(board).lines["Words"])


def test_rows_declared_after_results_came_are_exploratory(boards, make_row):
    """A declaration that came from another store too late confirms nothing."""
    row = declared(make_row("batch_norm", scores=scores(5, 1, 0.99)), late=True)
    board = boards(make_row("none", scores=scores(5, 0)), row)[0]

    assert "exploratory" == verdict(board, "batch_norm")
    assert "declared in another store" in " ".join(board.notes)


def test_what_was_tested_names_stage_stopping_and_family(boards, make_row):
    """Stage of each row, what is not corrected for stopping, and that the family may grow."""
    row = declared(make_row("batch_norm", scores=scores(7, 1, 0.95)))
    text = " ".join(what_was_tested(boards(make_row("none", scores=scores(9, 0)), row)[0]))

    assert "declared stages: batch_norm momentum at 5 of 5, 10" in text
    assert "not corrected for stopping" in text
    assert "rows added later make them larger" in text


def test_declaration_changes_the_hash_of_a_table(boards, make_row):
    """The same values tested in stages are another table."""
    base, row = make_row("none", scores=scores(5, 0)), make_row("batch_norm", scores=scores(5, 1))

    assert boards(base, row)[0].digest != boards(base, declared(row))[0].digest


FIXED = None
OWN = {"reference": "0" * 32}
GIVEN = {"reference_of": "0" * 32}


@pytest.mark.parametrize(
    ("row", "base", "seeds", "stages"),
    [
        ((12, FIXED), (12, FIXED), range(12), ()),
        # The row's number of seeds was chosen by no look, however the reference came to its own.
        ((12, FIXED), (10, GIVEN), range(10), ()),
        ((14, GIVEN), (14, FIXED), range(14), ()),
        # What stopped the reference also decides how many seeds both have.
        ((8, FIXED), (10, OWN), range(8), (5, 8)),
        ((12, FIXED), (15, {**OWN, "first": 4}), range(4, 12), (5, 8)),
        # A row that others are declared against gets their seeds: how many it has is no bound.
        ((5, "base"), (7, FIXED), range(5), (5, 10)),
        ((10, "base"), (10, {**GIVEN, "stages": (7, 10)}), range(10), (5, 10)),
        ((8, "base"), (10, {**GIVEN, "stages": (5, 8)}), range(5), (5, 10)),
        ((10, OWN), (7, FIXED), range(7), (5, 7)),
        # What it was given and has not trained yet is no bound either.
        ((10, OWN), (7, GIVEN), range(5), (5, 10)),
        ((10, OWN), (10, OWN), range(10), (5, 10)),
        ((8, {"stages": (6, 8)}), (8, OWN), range(8), (5, 6, 8)),
        ((14, OWN), (14, {**OWN, "first": 4}), range(4, 10), (5, 6)),
    ],
    ids=lambda each: None if isinstance(each, range) else str(each),
)
def test_every_view_has_the_same_seeds_and_looks_of_a_pair(
    boards, make_row, reader, catalogue, row, base, seeds, stages
):
    """Leaderboard, compare, letters and optimizers: what counts for both, and each one's looks."""
    names = {"sgd": row, "momentum": base}
    rows = {
        name: make_row("none", name, scores(n, len(name), 0.8)) for name, (n, _) in names.items()
    }
    for name, (_, how) in names.items():
        if how is not FIXED:
            more = {"reference": rows["momentum"].row} if how == "base" else how
            rows[name] = declared(rows[name], **more)
    new, other = rows["sgd"], rows["momentum"]
    board = boards(new, other)[0]
    found = next(entry.comparison for entry in board.entries if entry.row.row == new.row)
    pair = duel(new, other, reader([new, other]), None, 0.05)
    table = make_ablations(reader([new, other]), catalogue, Wanted(), "optimizer", "momentum")
    both = [entry.values for entry in board.entries]
    expected = two_sided_p(np.array([new.scores[s] - other.scores[s] for s in seeds]), stages)

    assert (tuple(seeds), stages) == (found.seeds, found.stages)
    assert found == replace(pair.comparison, p_adjusted=found.p_adjusted)
    assert tuple(seeds) == table[0].table.seeds["sgd"]
    p = pairwise_p(both, looks_of(board))[0, 1], table[0].table.simple[0].p, pair.p
    assert pytest.approx([expected] * 3) == list(p)


def test_letters_and_pairs_of_staged_rows_pay_for_their_looks(make_row, reader):
    """compare tests ten of twelve shared seeds, at two looks."""
    first = declared(make_row("batch_norm", scores=scores(12, 1)))
    second = make_row("none", scores=scores(12, 0))
    found = duel(first, second, reader([first, second]), None, 0.05).comparison
    differences = np.array([first.scores[s] - second.scores[s] for s in range(10)])

    assert ((5, 10), 10, (10, 11)) == (found.stages, found.n, found.uncounted)
    assert pytest.approx(float(p_of_looks(differences, STAGES))) == found.p[0]


def test_factor_tables_apply_stages_and_count_seeds_of_looks_alone(make_row, reader, catalogue):
    """A main effect has the seeds that all cells' last looks share, and says so."""
    rows = [
        make_row("none", "momentum", scores(12, 0)),
        make_row("none", "sgd", scores(12, 1)),
        declared(make_row("batch_norm", "momentum", scores(12, 2))),
        make_row("batch_norm", "sgd", scores(12, 3)),
    ]
    found = make_ablations(reader(rows), catalogue, Wanted(), "norm", None)[0].table

    assert (10, [10, 12]) == (found.main[0].n, sorted(effect.n for effect in found.simple))
    plain = make_ablations(
        reader([replace(row, declared=None) for row in rows]), catalogue, Wanted(), "norm", None
    )[0].table
    assert 12 == plain.main[0].n


def test_seeds_from_before_a_declaration_are_tested_nowhere(boards, make_row, reader, catalogue):
    """A row of fixed seeds shares them alone: no effect, no letter of its own, no p of the pair."""
    seeds = {name: dict(enumerate(scores(15, n, 0.7 + n / 10))) for n, name in enumerate("abc")}
    fixed = make_row("none", "sgd", {s: seeds["a"][s] for s in range(5)})
    row = declared(make_row("batch_norm", "sgd", seeds["b"]), first=5)
    rows = [fixed, row, make_row("none", "momentum", seeds["c"])]
    table = make_ablations(reader(rows), catalogue, Wanted(), "norm", None)[0]
    pair = duel(row, fixed, reader(rows), None, 0.05)
    letters = {e.row.row: set(e.letters) for e in boards(*rows)[0].entries}

    assert ((), ()) == (table.table.simple, table.table.main)
    assert "Not compared with none, since no seed" in table.left_out[-1]
    assert (0, tuple(range(5))) == (pair.comparison.n, pair.comparison.uncounted)
    assert "None of the seeds that both have counts" in in_words(pair)
    assert letters[fixed.row] & letters[row.row]
    early = [declared(each, (10, 20)) for each in (row, rows[2])]
    early = [replace(each, runs=dict(list(each.runs.items())[:7])) for each in early]
    assert 1 == len(
        {e.letters for e in boards(*early, make_row("none", "sgd", seeds["a"]))[0].entries}
    )
