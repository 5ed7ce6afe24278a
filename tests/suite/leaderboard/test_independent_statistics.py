"""Every statistic of a leaderboard against statsmodels, scikit-posthocs, scipy or brute force."""

from __future__ import annotations

import itertools
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import dblquad
from scipy.special import gammaln

from normbench import power
from normbench.leaderboard import across, paired, staged
from normbench.leaderboard.against import Rule, compare_all
from normbench.leaderboard.censored import sooner, time_to_target
from normbench.leaderboard.comparison import duel
from normbench.leaderboard.duels import duel_section
from normbench.leaderboard.factors import factor_table
from normbench.leaderboard.families import benjamini_hochberg, holm, unadjusted
from normbench.leaderboard.looks import Looks
from normbench.leaderboard.new_problems import (
    critical_difference,
    friedman,
    pairwise,
    range_quantile,
)
from normbench.leaderboard.ranks import rank_intervals
from normbench.verification.equivalence import equivalence_test

WHY = "an independent implementation to compare with; in the dev group of pyproject.toml"
multitest = pytest.importorskip("statsmodels.stats.multitest", reason=WHY)
weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason=WHY)
posthocs = pytest.importorskip("scikit_posthocs", reason=WHY)

few_examples = settings(max_examples=15, deadline=None)
seeds_of_draws = st.integers(0, 10_000)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.array)
STAGES = (5, 10, 15)


def drawn(seed: int, *shape: int, shift: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, shape)


@few_examples
@given(p_values)
def test_corrections_equal_statsmodels(p):
    """Holm's and Benjamini and Hochberg's adjusted p values are those of multipletests."""
    for method, ours in (("holm", holm), ("fdr_bh", benjamini_hochberg)):
        expected = multitest.multipletests(p, method=method)[1]

        assert pytest.approx(expected, abs=1e-12) == ours(p)


@few_examples
@given(seeds_of_draws, st.integers(3, 15), st.floats(0.1, 2))
def test_equivalence_equals_statsmodels(seed, n, margin):
    """The p of equivalence is that of statsmodels' two one-sided tests of pairs."""
    new, base = drawn(seed, 2, n)
    expected = weightstats.ttost_paired(new, base, -margin, margin)[0]

    assert pytest.approx(expected, rel=1e-9) == staged.equivalence_p(new - base, margin)


@few_examples
@given(seeds_of_draws, st.integers(2, 20))
def test_t_test_and_interval_equal_statsmodels(seed, n):
    """Statistic, one-sided p and interval of the mean are those of DescrStatsW."""
    differences = drawn(seed, n)
    independent = weightstats.DescrStatsW(differences)
    t, p, _ = independent.ttest_mean(alternative="larger")

    assert pytest.approx((t, p), rel=1e-9) == paired.t_test(differences)
    assert pytest.approx(independent.tconfint_mean()) == paired.t_interval(differences)
    assert pytest.approx(independent.tconfint_mean()) == paired.mean_interval(differences.tolist())


def test_whole_table_equals_scipy_and_statsmodels():
    """Every number of every row of a table, computed one by one with other code."""
    base = drawn(1, 9, shift=90)
    rows = base + drawn(2, 5, 9) + np.arange(5)[:, None] / 4
    rule = Rule(alpha=0.05, adjust=holm, smallest=0.5)
    found = compare_all([dict(enumerate(row)) for row in rows], dict(enumerate(base)), rule)
    tests = [stats.ttest_rel(row, base, alternative="greater") for row in rows]
    worse = [stats.ttest_rel(row, base, alternative="less").pvalue for row in rows]
    better = [test.pvalue for test in tests]

    for place, (row, test) in enumerate(zip(rows, tests, strict=True)):
        comparison = found[place]
        assert pytest.approx(test.statistic) == comparison.t
        assert pytest.approx(tuple(stats.ttest_rel(row, base).confidence_interval(0.95))) == (
            comparison.interval
        )
        assert pytest.approx(stats.pearsonr(row, base).statistic) == comparison.correlation
        assert pytest.approx((row - base).mean() / 0.5) == comparison.effect
        assert pytest.approx(flip_p(row - base)) == comparison.flip[0]
        assert pytest.approx(flip_p(base - row)) == comparison.flip[1]
    for side, p in enumerate((better, worse)):
        adjusted = multitest.multipletests(p, method="holm")[1]
        assert pytest.approx(p) == [c.p[side] for c in found]
        assert pytest.approx(adjusted) == [c.p_adjusted[side] for c in found]


def flip_p(differences: np.ndarray) -> float:
    """Return the exact p by scipy's permutation test."""
    found = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="greater",
    )
    return float(found.pvalue)


def test_detectable_difference_of_a_table_is_statsmodels_power():
    """The stated difference at the measured spread has power 0.8 at Holm's first step."""
    base = drawn(3, 8, shift=90)
    rows = base + drawn(4, 4, 8)
    rule = Rule(alpha=0.05, adjust=holm, smallest=0.5)
    found = compare_all([dict(enumerate(row)) for row in rows], dict(enumerate(base)), rule)
    spreads = [weightstats.DescrStatsW(row - base).std_mean * np.sqrt(8) for row in rows]
    power_of = paired_t_power()

    for comparison, spread in zip(found, spreads, strict=True):
        effect = comparison.detectable / spread
        assert pytest.approx(0.8, abs=1e-6) == power_of.power(
            effect, 8, 0.05 / 4, alternative="larger"
        )


def paired_t_power():
    return pytest.importorskip("statsmodels.stats.power", reason=WHY).TTestPower()


@pytest.mark.parametrize(("pairs", "comparisons"), [(5, 1), (10, 3), (15, 15)])
def test_power_equals_statsmodels(pairs, comparisons):
    """Power, the effect found with it and the pairs it takes are those of TTestPower."""
    effect, alpha = 0.7, 0.05 / comparisons
    expected = paired_t_power().power(effect, pairs, alpha, alternative="larger")
    found = power.paired_power(pairs, effect, comparisons=comparisons)
    least = power.detectable_effect(pairs, comparisons=comparisons)
    needed = paired_t_power().solve_power(effect, None, alpha, 0.8, alternative="larger")

    assert pytest.approx(expected, abs=1e-9) == found
    assert pytest.approx(
        paired_t_power().solve_power(None, pairs, alpha, 0.8, alternative="larger"), rel=1e-5
    ) == (least)
    assert int(np.ceil(needed)) == power.pairs_needed(effect, comparisons=comparisons)


@pytest.mark.parametrize(("n", "alpha"), [(5, 0.05), (10, 0.05), (10, 0.01)])
def test_two_rows_are_planned_by_the_power_of_the_two_sided_test(make_row, reader, n, alpha):
    """What compare finds with probability 0.8, and the seeds it takes, are TTestPower's."""
    rows = [make_row(norm, scores=0.9 + 0.01 * drawn(k, 1, n)[0]) for k, norm in enumerate("ab")]
    found = duel(*rows, reader(rows), None, alpha)
    spread = np.std([*found.differences.values()], ddof=1)
    effect = paired_t_power().solve_power(None, n, alpha, 0.8, alternative="two-sided")
    needed = paired_t_power().solve_power(0.005 / spread, None, alpha, 0.8, alternative="two-sided")

    assert pytest.approx(effect * spread, rel=1e-4) == found.detectable
    assert int(np.ceil(needed)) == found.needed
    assert f"takes {found.needed} seeds" in " ".join(duel_section(found).lines["In words"])


@pytest.mark.parametrize("n", [1, 3, 5, 10, 20])
def test_divergence_bound_is_clopper_and_pearsons(n):
    """The upper bound after no divergence in n seeds is the exact one of proportions."""
    proportion = pytest.importorskip("statsmodels.stats.proportion", reason=WHY)

    assert pytest.approx(proportion.proportion_confint(0, n, alpha=0.1, method="beta")[1]) == (
        paired.divergence_bound(n)
    )


@few_examples
@given(seeds_of_draws, st.integers(3, 14))
def test_times_are_compared_by_the_sign_test(seed, n):
    """The p of times to the target is statsmodels' sign test over pairs that do not tie."""
    sign_test = pytest.importorskip("statsmodels.stats.descriptivestats", reason=WHY).sign_test
    new, base = np.random.default_rng(seed).integers(1, 6, (2, n)).astype(float)
    found = sooner(dict(enumerate(new.tolist())), dict(enumerate(base.tolist())))
    ties = (new == base).all()

    assert pytest.approx(1.0 if ties else sign_test(new - base)[1]) == found[1]


@few_examples
@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(0, 6))
def test_median_time_is_kaplan_and_meiers(reached, missed):
    """It is the first time at which the survival curve is at a half or below."""
    survival = pytest.importorskip("statsmodels.duration.survfunc", reason=WHY)
    times = [float(time) for time in reached]
    ends = np.array([*times, *[10.0] * missed])
    curve = survival.SurvfuncRight(ends, np.array([1] * len(times) + [0] * missed))
    below = [t for t, p in zip(curve.surv_times, curve.surv_prob, strict=True) if p <= 0.5 + 1e-12]
    found = time_to_target(dict(enumerate([*times, *[None] * missed])))

    assert min(below, default=inf) == found.median


@few_examples
@given(seeds_of_draws)
def test_main_effects_and_interactions_are_those_of_repeated_measures(seed):
    """Two norms by two or three optimizers: t² and p are F and p of AnovaRM over seeds."""
    frame = pytest.importorskip("pandas").DataFrame
    anova = pytest.importorskip("statsmodels.stats.anova", reason=WHY).AnovaRM
    optimizers = ["a", "b", "c"][: 2 + seed % 2]
    values = drawn(seed, 2, len(optimizers), 7) + drawn(seed + 1, 7)
    cells = {
        (norm, optimizer): dict(enumerate(values[i, j].tolist()))
        for i, norm in enumerate(("base", "new"))
        for j, optimizer in enumerate(optimizers)
    }
    table = factor_table(cells, "base", ["new"], optimizers, unadjusted)
    records = [
        {"norm": norm, "optimizer": optimizer, "seed": s, "score": value}
        for (norm, optimizer), scores in cells.items()
        for s, value in scores.items()
    ]
    expected = anova(frame(records), "score", "seed", within=["norm", "optimizer"]).fit()
    p = expected.anova_table["Pr > F"]

    assert pytest.approx(p["norm"], rel=1e-6) == table.main[0].p
    if len(optimizers) == 2:
        assert pytest.approx(p["norm:optimizer"], rel=1e-6) == table.interactions[0].p


@few_examples
@given(seeds_of_draws, st.integers(3, 5), st.integers(6, 10))
def test_pairs_of_methods_equal_scikit_posthocs(seed, methods, problems):
    """Exact signed-rank tests of each pair with Holm are posthoc_wilcoxon's."""
    scores = drawn(seed, methods, problems) + np.arange(methods)[:, None] / 3
    expected = posthocs.posthoc_wilcoxon(list(scores), method="exact", p_adjust="holm").to_numpy()

    for (i, j), p in pairwise(scores).items():
        assert pytest.approx(expected[i, j]) == p


@few_examples
@given(seeds_of_draws)
def test_signed_rank_test_with_ties_and_zeros_equals_scipys_permutations(seed):
    """Where sizes tie and differences are zero, Pratt's test over all signs is scipy's."""
    differences = np.random.default_rng(seed).integers(-3, 4, 8).astype(float)
    if not differences.any():
        return
    every_sign = stats.PermutationMethod(n_resamples=2**9)
    expected = stats.wilcoxon(
        differences, alternative="greater", zero_method="pratt", method=every_sign
    )

    assert pytest.approx(expected.pvalue) == paired.sign_flip(paired.signed_ranks(differences))


@few_examples
@given(seeds_of_draws, st.integers(3, 6), st.integers(8, 12))
def test_critical_difference_separates_as_scikit_posthocs(seed, methods, problems):
    """Mean ranks further apart than the critical difference have Nemenyi's p below 5 %."""
    scores = drawn(seed, methods, problems) + np.arange(methods)[:, None]
    found = friedman(scores)
    p = posthocs.posthoc_nemenyi_friedman(scores.T).to_numpy()
    apart = np.abs(np.subtract.outer(found.mean_ranks, found.mean_ranks))
    clear = (np.abs(p - 0.05) > 1e-3) & ~np.eye(methods, dtype=bool)

    assert ((apart > critical_difference(methods, problems)) == (p < 0.05))[clear].all()


@pytest.mark.parametrize("methods", [2, 5, 10])
def test_range_quantile_equals_statsmodels(methods):
    """The studentized range's quantile is also that of an independent table of it."""
    independent = pytest.importorskip("statsmodels.stats.libqsturng", reason=WHY)
    expected = independent.qsturng(0.95, methods, np.inf)

    assert pytest.approx(expected, rel=1e-3) == range_quantile(0.95, methods)


def test_rank_intervals_equal_all_resamples():
    """Of three rows and four seeds, all 256 resamples give the 5 % and 95 % ranks."""
    scores = np.array([[5.0, 3.1, 4.2, 3.9], [4.1, 4.3, 3.2, 4.4], [3.0, 3.3, 4.0, 1.2]])
    ranks = []
    for seeds in itertools.product(range(4), repeat=4):
        means = scores[:, list(seeds)].mean(1).round(12)
        ranks.append([1 + int((means > own).sum()) for own in means])
    low, high = np.quantile(ranks, (0.05, 0.95), axis=0, method="inverted_cdf")

    assert list(zip(low, high, strict=True)) == rank_intervals(scores)


def test_stratified_interval_lies_at_the_quantiles_of_all_resamples():
    """Of two problems by four seeds, 2 000 draws find the quantiles of all 65 536 resamples."""
    problems = [np.array([0.1, 0.4, 0.9, 1.3]), np.array([0.2, 0.3, 0.8, 2.0])]
    picks = list(itertools.product(range(4), repeat=4))
    means = [
        across.interquartile_mean(np.concatenate([problems[0][list(i)], problems[1][list(j)]]))
        for i in picks
        for j in picks
        if sorted(i) == list(i)
    ]
    weights = [
        len(set(itertools.permutations(i))) for i in picks for _ in picks if sorted(i) == list(i)
    ]
    order = np.argsort(means)
    share = np.cumsum(np.array(weights)[order]) / 4**8
    at = [float(np.interp(end, share, np.array(means)[order])) for end in tail_ends()]
    low, high = across.stratified_interval(problems)

    assert at[0] <= low <= at[1]
    assert at[2] <= high <= at[3]


def tail_ends() -> tuple[float, float, float, float]:
    """Return 2.5 % and 97.5 %, three standard deviations of 2 000 draws to either side."""
    error = 3 * np.sqrt(0.025 * 0.975 / 2000)
    return 0.025 - error, 0.025 + error, 0.975 - error, 0.975 + error


def test_p_of_looks_equals_an_independent_simulation():
    """Scipy's t-tests of other random numbers come to the same share, within its error."""
    rng = np.random.default_rng(123)
    sequences = rng.normal(size=(20_000, STAGES[-1]))
    p = [stats.ttest_1samp(sequences[:, :n], 0, axis=1, alternative="greater") for n in STAGES]
    smallest = np.min([each.pvalue for each in p], axis=0)

    for seen in (0.005, 0.02, 0.05, 0.2):
        share = float((smallest <= seen).mean())
        found = float(staged.staged_p([np.array([seen])], STAGES)[0])
        assert abs(share - found) < 4 * np.sqrt(share * (1 - share) / len(sequences))


def test_p_of_two_looks_equals_numerical_integration():
    """For 2 and 3 seeds the joint probability can be integrated: see the body's formula."""
    # With z the sum and r the spread of two numbers, t of two seeds is z / r and depends on the
    # direction alone; the third number is integrated over by its normal distribution.
    level = 0.1
    first, second = (stats.t.isf(level, n - 1) for n in (2, 3))

    def neither(r: float, z: float) -> float:
        """Density of (z, |r|) times the probability that the third keeps t below its level."""
        if z >= first * r:
            return 0.0
        grid = np.linspace(-8, 8, 400)
        total, squares = np.sqrt(2) * z + grid, z * z + r * r + grid * grid
        spread = np.sqrt(np.maximum(squares - total**2 / 3, 1e-300) / 2)
        inside = (total / np.sqrt(3) / spread < second) * stats.norm.pdf(grid)
        return float(np.trapezoid(inside, grid) * 2 * stats.norm.pdf(r) * stats.norm.pdf(z))

    kept, _ = dblquad(neither, -8, 8, 0, 8, epsabs=1e-3)
    found = float(staged.staged_p([np.array([level])], (2, 3))[0])

    assert pytest.approx(1 - kept, abs=4e-3) == found


@few_examples
@given(seeds_of_draws)
def test_staged_rows_equal_hand_made_looks(seed):
    """The p of a staged row is that of the smallest of scipy's p at its looks, both sides."""
    base, new = drawn(seed, 2, 12)
    looks = Looks(STAGES, tuple(range(15)))
    rule = Rule(alpha=0.05, adjust=unadjusted, smallest=0.4)
    found = compare_all([dict(enumerate(new))], dict(enumerate(base)), rule, [looks])[0]
    differences = (new - base)[:10]

    for side, sign in enumerate((1, -1)):
        tests = [
            stats.ttest_1samp(sign * differences[:n], 0, alternative="greater") for n in (5, 10)
        ]
        flips = [flip_p(sign * differences[:n]) for n in (5, 10)]
        smallest = np.array([min(test.pvalue for test in tests)])
        assert pytest.approx(staged.staged_p([smallest], STAGES)[0]) == found.p[side]
        assert pytest.approx(min(1.0, 3 * min(flips))) == found.flip[side]
    assert (tuple(range(10)), (10, 11)) == (found.seeds, found.uncounted)


def test_scipys_skewness_is_ours():
    """What is looked at of the t-test's assumption is scipy's third standardised moment."""
    from normbench.leaderboard.comparison import _skewness

    values = drawn(8, 12) ** 3

    assert pytest.approx(stats.skew(values)) == _skewness(values)


@few_examples
@given(seeds_of_draws, st.integers(3, 15))
def test_hedges_g_is_cohens_d_with_the_small_sample_factor(seed, n):
    """Mean over spread times the usual factor, which is near the exact ratio of gammas."""
    differences = drawn(seed, n)
    independent = weightstats.DescrStatsW(differences)
    d = independent.mean / (independent.std_mean * np.sqrt(n))
    exact = np.sqrt(2 / (n - 1)) * np.exp(gammaln((n - 1) / 2) - gammaln((n - 2) / 2))

    assert pytest.approx(d * exact, rel=0.03) == paired.standardised(differences)


@pytest.mark.parametrize("shift", [0.0, 0.2, -0.4, 0.7])
def test_equivalence_is_statsmodels_paired_tost(shift):
    """Both p and the 90 % interval of two one-sided tests are those of an independent code."""
    rng = np.random.default_rng(1)
    base = rng.normal(size=30)
    new = base + rng.normal(shift, 0.8, size=30)
    p, lower, upper = weightstats.ttost_paired(new, base, -0.5, 0.5)
    interval = weightstats.DescrStatsW(new - base).tconfint_mean(alpha=0.1)
    found = equivalence_test(list(new), list(base), margin=0.5)

    assert pytest.approx(p, rel=1e-9) == found.p
    assert pytest.approx(max(lower[1], upper[1]), rel=1e-9) == found.p
    assert pytest.approx(interval, rel=1e-9) == found.interval
    assert found.equivalent == (p < 0.05)
    assert found.different == (interval[0] > 0.5 or interval[1] < -0.5)
