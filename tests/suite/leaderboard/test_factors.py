"""Main effects, interactions and times to the target, by hand-computed cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from normbench import UsageError
from normbench.leaderboard.ablations import make_ablations
from normbench.leaderboard.censored import sooner, time_to_target
from normbench.leaderboard.comparison import duel
from normbench.leaderboard.duels import duel_section
from normbench.leaderboard.factors import factor_table
from normbench.leaderboard.families import holm, unadjusted
from normbench.leaderboard.grouping import Wanted
from normbench.store import Shown

RNG = np.random.default_rng(4)


def cells(gains: dict[str, float], seeds: int = 6) -> dict[tuple[str, str], dict[int, float]]:
    """Return scores of two norms by optimizer; bn is better than none by the optimizer's gain."""
    scores = {}
    for optimizer, gain in gains.items():
        base = RNG.normal(90, 1, seeds)
        scores["none", optimizer] = dict(enumerate(base))
        scores["bn", optimizer] = dict(enumerate(base + gain + RNG.normal(0, 0.1, seeds)))
    return scores


def test_main_effect_is_tested_over_seeds():
    """Three optimizers and six seeds are six observations, each the mean over optimizers."""
    scores = cells({"sgd": 1.0, "adam": 2.0, "lion": 3.0})
    effect = factor_table(scores, "none", ["bn"], ["sgd", "adam", "lion"], unadjusted).main[0]
    means = [
        np.mean([scores["bn", o][s] - scores["none", o][s] for o in ("sgd", "adam", "lion")])
        for s in range(6)
    ]

    assert (6, 3) == (effect.n, effect.levels)
    assert pytest.approx(stats.ttest_1samp(means, 0).pvalue, rel=1e-6) == effect.p


def test_interaction_is_how_far_a_gain_is_from_the_mean_gain():
    """Gains of 1, 2 and 3 differ from their mean by -1, 0 and 1."""
    scores = cells({"sgd": 1.0, "adam": 2.0, "lion": 3.0}, seeds=20)
    table = factor_table(scores, "none", ["bn"], ["sgd", "adam", "lion"], holm)
    gaps = {effect.within: effect.difference for effect in table.interactions}

    assert pytest.approx({"sgd": -1.0, "adam": 0.0, "lion": 1.0}, abs=0.1) == gaps
    assert [True, False, True] == [effect.p_adjusted < 0.01 for effect in table.interactions]


def test_of_two_levels_one_interaction_says_it_all():
    """With two optimizers the second contrast is the first's mirror, and is left out."""
    table = factor_table(cells({"a": 1.0, "b": 2.0}), "none", ["bn"], ["a", "b"], holm)

    assert ["a"] == [effect.within for effect in table.interactions]


def test_only_seeds_and_levels_of_both_count():
    """A seed that one cell lacks is no part of the main effect, a cell without a pair neither."""
    scores = cells({"sgd": 1.0, "adam": 1.0}, seeds=7)
    del scores["bn", "sgd"][3]
    scores["bn", "lion"] = {0: 1.0}
    table = factor_table(scores, "none", ["bn"], ["sgd", "adam", "lion"], holm)

    assert (0, 1, 2, 4, 5, 6) == table.seeds["bn"]
    assert {"sgd": 6, "adam": 7} == {effect.within: effect.n for effect in table.simple}


def test_few_seeds_have_no_p():
    """Below five seeds there is an interval from three on, and no p."""
    effects = [
        factor_table(cells({"sgd": 1.0}, seeds=n), "none", ["bn"], ["sgd"], holm).main[0]
        for n in (2, 4, 5)
    ]

    assert [False, True, True] == [effect.interval is not None for effect in effects]
    assert [None, None] == [effect.p for effect in effects[:2]]
    assert effects[2].p is not None


def test_time_to_target_is_censored():
    """The median is infinite once more than half missed the target; a mean does not exist."""
    reached = time_to_target({0: 3.0, 1: 7.0, 2: None, 3: 4.0})
    missed = time_to_target({0: 3.0, 1: None, 2: None})

    assert (3, 4, 4.0, (3.0, 7.0)) == (reached.reached, reached.n, reached.median, reached.range)
    assert (1, float("inf")) == (missed.reached, missed.median)
    assert time_to_target({}) is None


def test_times_are_compared_by_order_alone():
    """Sooner in five of six pairs, a miss is later than any time, two misses tie."""
    new = {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 4: None, 5: 9.0, 6: None}
    base = {0: 2.0, 1: 3.0, 2: 9.0, 3: None, 4: None, 5: 8.0, 7: 1.0}
    share, p, pairs = sooner(new, base)

    assert (4.5 / 6, 6) == (share, pairs)
    assert pytest.approx(stats.binomtest(4, 5).pvalue) == p
    assert sooner({0: 1.0}, {1: 1.0}) is None


SIX = (0.91, 0.93, 0.92, 0.94, 0.90, 0.92)
ROWS = [("none", "sgd"), ("none", "momentum"), ("batch_norm", "sgd"), ("group_norm", "sgd")]


@pytest.mark.parametrize(
    ("factor", "base", "wanted", "levels"),
    [
        ("norm", None, {"norms": ("batch_norm", "group_norm")}, {"batch_norm", "group_norm"}),
        ("norm", "group_norm", {"norms": ("batch_norm",)}, {"batch_norm"}),
        ("norm", None, {"norms": ("group_norm",), "optimizers": ("sgd",)}, {"group_norm"}),
        ("optimizer", None, {"optimizers": ("sgd",)}, {"sgd"}),
    ],
)
def test_a_filter_leaves_the_base_in(make_row, reader, catalogue, factor, base, wanted, levels):
    """As a leaderboard has its reference; of the other factor only what was asked for is there."""
    rows = [make_row(*cell, [v - i / 90 for v in SIX]) for i, cell in enumerate(ROWS)]
    (found,) = make_ablations(reader(rows), catalogue, Wanted(**wanted), factor, base)

    assert levels == {effect.level for effect in found.table.simple}
    assert {r.optimizer for r in found.rows} <= {*wanted.get("optimizers", ()), "sgd", "momentum"}
    assert len(wanted) < 2 or {"sgd"} == {row.optimizer for row in found.rows}


def test_a_table_without_a_base_hides_no_other(make_row, reader, catalogue):
    """It is named below the first one that has a base; only if none has, that is an error."""
    whole = [make_row(*cell, SIX) for cell in ROWS]
    lone = make_row("batch_norm", "adam", SIX, problem="other_cnn")
    found = make_ablations(reader([*whole, lone]), catalogue, Wanted(), "norm", None)

    assert ["digits_cnn standard"] == [table.title for table in found]
    assert "Not shown: other_cnn standard: no results of none with" in found[0].left_out[-1]
    with pytest.raises(UsageError, match="other_cnn standard: no results of none with momentum"):
        make_ablations(reader([lone]), catalogue, Wanted(), "norm", None)
    with pytest.raises(UsageError, match="unknown norm of digits_cnn standard 'x'"):
        make_ablations(reader([*whole, lone]), catalogue, Wanted(), "norm", "x")
    settings = [{"lr": lr} for lr in (0.1, 0.2)]
    given = [
        make_row("layer_norm", optimizer, SIX, setting=values, origin="given")
        for optimizer in ("sgd", "momentum")
        for values in settings
    ]
    told = "with sgd it has 2 settings, .* none stands for it with any other optimizer either"
    with pytest.raises(UsageError, match=told):
        make_ablations(reader([*given, *whole]), catalogue, Wanted(), "norm", "layer_norm")


def test_seeds_since_a_table_gave_a_verdict_are_named_by_every_view(make_row, reader, catalogue):
    """Effects and a pair in depth show the p of the same pairs, and say the same of them."""
    base, new = make_row("none", "sgd", SIX), make_row("batch_norm", "sgd", [v + 0.01 for v in SIX])
    first = Shown(1e9, "", base.row, 5)
    own = replace(base, shown=(first,))

    def told(*shown: Shown) -> list[str]:
        rows = [own, replace(new, shown=shown)]
        table = make_ablations(reader(rows), catalogue, Wanted(), "norm", None)[0]
        pair = duel_section(duel(rows[1], rows[0], reader(rows), None, 0.05))
        return [" ".join(table.left_out), " ".join(pair.lines["Notes"])]

    for text in told(first):
        assert "More pairs than when a table first gave a verdict: " in text
        assert "sgd has 6, on 2001-09-09 5." in text.replace(" standard", "")
        assert "none sgd" not in text.split("--until")[0]
    assert not any("More pairs" in text for text in told(first._replace(pairs=6)))
    for text in told(first._replace(reference="f" * 32)):
        # Pairs with another row then: the text says with which.
        assert "none sgd, on 2001-09-09 5 with row ffffffff." in text.replace(" standard", "")
    both = (first._replace(reference="f" * 32), first._replace(at=2e9, pairs=6))
    assert not any("More pairs" in text for text in told(*both))
