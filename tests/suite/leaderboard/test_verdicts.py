"""The verdict word, for every rule that leads to one."""

from __future__ import annotations

import numpy as np
import pytest

from normbench.leaderboard.against import Comparison, Rule, compare_all
from normbench.leaderboard.families import holm
from normbench.leaderboard.verdicts import Circumstances, Verdict, verdict_of

BASE = np.array([91.0, 92.7, 92.2, 90.1, 91.5])


def compare(
    *rows: np.ndarray, base: np.ndarray = BASE, smallest: float = 0.2, **rule
) -> list[Comparison]:
    """Return the comparisons of rows with a reference, by seed."""
    given = Rule(alpha=0.05, adjust=holm, smallest=smallest, **rule)
    return compare_all([dict(enumerate(r)) for r in rows], dict(enumerate(base)), given)


def word(found: Comparison, **circumstances: bool) -> str:
    return verdict_of(found, Circumstances(alpha=0.05, **circumstances)).value


def test_published_example_is_no_evidence():
    """The source's example, p = 0.0574, is not called better, alone in its table."""
    found = compare(np.array([91.7, 93.4, 92.2, 90.0, 91.9]))[0]

    assert pytest.approx(0.0573692281772761, rel=1e-12) == found.p_adjusted[0]
    assert "no evidence" == word(found)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([1.0, 1.1, 0.9, 1.0, 1.2], "better"),
        ([-1.0, -1.1, -0.9, -1.0, -1.2], "worse"),
        ([0.02, -0.03, 0.01, 0.04, -0.02], "equivalent"),
        ([1.0, -1.1, 0.9, -1.0, 1.2], "no evidence"),
        ([0.3, -0.3, 0.15, -0.15, 0.0], "no evidence"),  # p of equivalence 0.067
        ([1.0, 1.1, 0.9, 1.0], "exploratory"),
        ([1.0, 1.1, 0.9], "exploratory"),
        ([1.0, 1.1], "too few"),
        ([1.0], "too few"),
        ([0.1] * 5, "deterministic"),
        ([0.0] * 5, "deterministic"),
    ],
)
def test_verdict_of_differences(differences, verdict):
    """Size, spread and number of the pairs lead to the word."""
    base = BASE[: len(differences)]

    assert verdict == word(compare(base + differences, base=base)[0])


@pytest.mark.parametrize("verdict", ["better", "worse", "equivalent"])
def test_what_was_chosen_after_looking_is_exploratory(verdict):
    """Whatever the numbers say, a post hoc choice confirms nothing."""
    shift = {"better": 1.0, "worse": -1.0, "equivalent": 0.0}[verdict]
    found = compare(BASE + shift + [0.02, -0.03, 0.01, 0.04, -0.02])[0]

    assert verdict == word(found)
    assert "exploratory" == word(found, exploratory=True)


def test_more_rivals_need_more():
    """What is better alone is not so among fifteen rivals of which the others are nothing."""
    gain = np.array([1.0, 0.2, 0.9, 0.4, 0.8])
    others = [BASE + np.roll([1.0, -1.0, 0.5, -0.4, 0.0], i) * (1 + i / 20) for i in range(14)]

    assert "better" == word(compare(BASE + gain)[0])
    assert "no evidence" == word(compare(BASE + gain, *others)[0])


def test_rows_of_few_pairs_do_not_count_among_rivals():
    """A row that can get no verdict makes none harder for the others."""
    gain, short = np.add(BASE, [1.0, 0.2, 0.9, 0.4, 0.8]), np.add(BASE[:3], [0.1, 0.3, 0.2])
    alone, among = compare(gain)[0], compare(gain, short, short + 0.1)

    assert alone.p_adjusted == among[0].p_adjusted
    assert alone.detectable == among[0].detectable
    assert np.isnan(among[1].p_adjusted).all()


def test_diverged_rival_is_better_only_if_the_sign_flip_test_agrees():
    """One diverged seed: five pairs of which four agree cannot pass, eleven of twelve can."""
    generator = np.random.default_rng(0)
    base = generator.normal(90, 0.1, 12)
    rival = base + generator.normal(9, 0.5, 12)
    rival[0] = base[0] - 1
    few = compare(rival[:5], base=base[:5])[0]
    many = compare(rival, base=base)[0]

    assert few.p_adjusted[0] < 0.05
    assert few.flip_adjusted[0] > 0.05
    assert ("better", "unstable") == (word(few), word(few, diverged=True))
    assert "better" == word(many, diverged=True)


def test_diverged_rival_may_be_worse():
    """What diverges and is worse by the t-test is worse."""
    found = compare(BASE - [40.0, 41.0, 39.0, 40.5, 42.0])[0]

    assert "worse" == word(found, diverged=True)


def test_a_diverged_reference_makes_rivals_no_worse_by_the_t_test_alone():
    """The rule is the same with the sides exchanged."""
    found = compare(np.add(BASE, [1.0, 1.1, 0.9, 1.0, 1.2]))[0]
    mirrored = compare(BASE - [1.0, 1.1, 0.9, 1.0, 1.2], np.flip(BASE), np.roll(BASE, 1))[0]

    assert "better" == word(found, reference_diverged=True)
    assert "worse" == word(mirrored)
    assert "unstable" == word(mirrored, reference_diverged=True)


def test_all_diverged_is_unstable_not_deterministic():
    """Two rows that diverge at every seed have equal scores and no verdict."""
    found = compare(np.full(5, 0.1), base=np.full(5, 0.1))[0]

    assert "unstable" == word(found, diverged=True, reference_diverged=True)
    assert "deterministic" == word(found)


def test_rounding_of_the_larger_scores_is_no_spread():
    """Equal decimals differ equally, whichever of the two rows has the larger ones."""
    small = np.array([0.1, 0.2, 0.3, 0.4, 0.7])
    large = np.array([1000.2, 1000.3, 1000.4, 1000.5, 1000.8])
    found = [*compare(small, base=large), *compare(large, base=small)]

    assert ["deterministic"] * 2 == list(map(word, found))


def test_only_seeds_of_both_are_compared():
    """Pairs are by seed, and what one side lacks is said."""
    rule = Rule(alpha=0.05, adjust=holm, smallest=0.1)
    found = compare_all([{0: 1.0, 2: 2.0, 3: 5.0}], {1: 9.0, 2: 1.0, 3: 3.0}, rule)[0]
    none = compare_all([{0: 1.0}], {1: 9.0}, rule)[0]

    assert ((2, 3), (0, 1), 1.5) == (found.seeds, found.left_out, found.difference)
    assert ("too few", ()) == (word(none), none.seeds)


def test_effect_and_detectable_difference_are_in_their_units():
    """The effect counts smallest differences of interest; the other is in the metric's unit."""
    found = compare(np.add(BASE, [1.0, 1.2, 0.8, 1.1, 0.9]), smallest=0.5)[0]
    wider = compare(BASE + 1 + 3 * np.array([0.0, 0.2, -0.2, 0.1, -0.1]), smallest=0.5)[0]

    assert pytest.approx(2.0) == found.effect
    assert pytest.approx(3 * found.detectable) == wider.detectable


def test_every_verdict_is_reached_here_or_is_the_reference():
    """The words are the nine of the design."""
    words = "better worse equivalent no_evidence exploratory too_few unstable deterministic"

    assert {*words.split(), "reference"} == {verdict.name.lower() for verdict in Verdict}
