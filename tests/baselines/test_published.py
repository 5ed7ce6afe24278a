"""Published numbers: complete, plausible, and consistent with one another."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys

import pytest
from scipy.stats import ttest_rel

from normbench import Norm, Optimizer, Problem
from normbench.plugins import load_catalogue
from normbench_baselines.published import published_comparisons, published_results

RESULTS = published_results()
PER_SEED = [result for result in RESULTS if len(result.values) > 1]


def name(result) -> str:
    """Return a result's cell in one word."""
    told_apart = "-".join(f"{word}{value}" for word, value in result.conditions.items())
    return "-".join((result.problem, result.norm, result.optimizer, told_apart))


def test_tables_are_complete():
    """DeepOBS: 8 problems by 3; spherical: 7 optimizers by 8 less 3 gaps; group norm: 10 and 3."""
    counts = {}
    for result in RESULTS:
        counts[result.protocol] = counts.get(result.protocol, 0) + 1

    assert {"deepobs": 24, "spherical": 53, "group_norm_study": 13} == counts


def test_no_cell_is_given_twice():
    """Problem, norm, optimizer, metric and conditions tell every result from the others."""
    assert len(RESULTS) == len(
        {(name(result), result.metric, result.protocol) for result in RESULTS}
    )


@pytest.mark.parametrize("result", RESULTS, ids=name)
def test_result_is_plausible(result):
    """Accuracies lie in (0, 1), spreads are small beside them, and every label warns."""
    assert result.source.title
    assert "not comparable" in result.label
    if result.metric.endswith("accuracy"):
        assert 0.5 < result.mean < 1
        assert (result.sd or 0) < 0.02


def test_names_are_ours():
    """Problems, norms and optimizers go by the names that they have here."""
    catalogue = load_catalogue()
    ours = {name for kind in (Norm, Optimizer, Problem) for name in catalogue.names(kind)}
    used = {name for each in RESULTS for name in (each.problem, each.norm, each.optimizer)}

    assert set() == used - ours


@pytest.mark.parametrize("result", PER_SEED, ids=name)
def test_mean_and_spread_follow_from_the_seeds(result):
    """Mean and standard deviation equal those of the seeds' values to the printed digits."""
    values = list(result.values.values())

    assert len(values) == result.n
    assert pytest.approx(statistics.fmean(values), abs=5e-6) == result.mean
    assert pytest.approx(statistics.stdev(values), abs=5.1e-6) == result.sd


def at(norm: str, batch_size: int) -> list[float]:
    """Return the values of a norm at a batch size, by seed."""
    return next(
        [result.values[seed] for seed in sorted(result.values)]
        for result in PER_SEED
        if result.norm == norm and result.conditions["batch_size"] == batch_size
    )


@pytest.mark.parametrize(
    "comparison", published_comparisons(), ids=lambda each: str(each.conditions["batch_size"])
)
def test_p_follows_from_the_seeds(comparison):
    """The one-sided p of the paired t-test is that of the seeds' values."""
    batch_size = comparison.conditions["batch_size"]
    better, worse = at(comparison.better, batch_size), at(comparison.worse, batch_size)
    p = ttest_rel(better, worse, alternative="greater").pvalue

    assert pytest.approx(p, rel=0.05) == comparison.p


def test_best_epoch_is_no_worse_than_the_last():
    """Where both are known, the best epoch's mean is not below the final one."""
    both = [result for result in RESULTS if "best_epoch_mean" in result.more]

    assert 6 == len(both)
    assert all(result.more["best_epoch_mean"] >= result.mean for result in both)


def test_deepobs_learning_rates_lie_on_its_grid():
    """Every learning rate of DeepOBS is one of the 36 from 1e-5 to 1e2."""
    steps = [
        5 * math.log10(result.conditions["lr"]) for result in RESULTS if "lr" in result.conditions
    ]

    assert all(abs(step - round(step)) < 1e-8 and -25 <= round(step) <= 10 for step in steps)


def test_loading_needs_no_torch():
    """Published numbers are read with the standard library."""
    code = (
        "import sys\nfrom normbench_baselines.published import published_results\n"
        "assert published_results()\nsys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)

    assert 0 == done.returncode
