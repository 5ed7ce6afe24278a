"""When and by how much each source's learning rate falls, and how it follows the batch size."""

from __future__ import annotations

import pytest

from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.schedules import epoch_factors
from normbench.specs import RunSpec

CATALOGUE = load_catalogue()
PUBLISHED = ("protocol.as_published=true",)
DROPS = {0: 1, 134: 1, 135: 0.1, 224: 0.1, 225: 0.01, 314: 0.01, 315: 0.001, 404: 0.001}
THIRTIES = {0: 1, 29: 1, 30: 0.1, 59: 0.1, 60: 0.01, 89: 0.01, 90: 0.001, 99: 0.001}
# The annealed rate moves with the epochs, not within one; it would end at 1e-8 of a start at 0.1.
COSINE = {0: 1, 0.5: 1, 60: 0.75, 90: 0.5, 90.5: 0.5, 120: 0.25, 180: 1e-7}
WARM = {0: 0, 1: 0.2, 2.5: 0.5, 5: 1}
# Factors after so many epochs, corrected and as published.
FACTORS = {
    "cifar10_plain10 batch_norm momentum beyond_batchnorm": (
        {0: 1, 39.99: 1, 40: 0.1, 59.99: 0.1},
        {0: 1, 44.99: 1, 45: 0.1, 59.99: 0.1},
    ),
    "cifar10_plain10 filter_response_norm momentum beyond_batchnorm": (
        {**WARM, 39.99: 1, 40: 0.1},
        {**WARM, 44.99: 1, 45: 0.1},
    ),
    "cifar10_resnet18 batch_norm momentum bn_init": (COSINE, COSINE),
    "cifar10_3c3d batch_norm sgd dissect_bn": ({0: 1, 50: 1, 99.99: 1}, {0: 1, 99.99: 1}),
    "cifar10_resnet20 batch_norm momentum spherical": (DROPS, DROPS),
    "cifar10_resnet20 group_norm momentum group_norm_study": (THIRTIES, THIRTIES),
    "cifar10_3c3d none sgd deepobs": ({0: 1, 50: 1, 99.99: 1}, None),
}


def spec(cell: str, *words: str) -> RunSpec:
    """Return the first run of a cell."""
    problem, norm, optimizer, protocol = cell.split()
    names = {"problem": problem, "norm": norm, "optimizer": optimizer, "protocol": protocol}
    return resolve(Request(**names, words=words), CATALOGUE)[0]


def factors(resolved: RunSpec, times: dict[float, float]) -> dict[float, float]:
    """Return the factor on the learning rate after so many epochs of 100 steps."""
    rules = resolved.protocol.rules
    steps = {time: divmod(round(100 * time), 100) for time in times}
    return {
        time: epoch_factors(rules, 1 + epoch, resolved.epochs, 100)[step]
        for time, (epoch, step) in steps.items()
    }


@pytest.mark.parametrize("cell", FACTORS)
def test_learning_rate_falls_when_the_source_s_does(cell):
    """The schedule's factors are the source's at the chosen epochs, corrected and as published."""
    for words, expected in zip(((), PUBLISHED), FACTORS[cell], strict=True):
        if expected is not None:
            assert pytest.approx(expected, rel=1e-6) == factors(spec(cell, *words), expected)


@pytest.mark.parametrize(
    ("cell", "batch_size", "corrected", "published"),
    [
        ("cifar100_plain10 batch_norm momentum beyond_batchnorm", 256, 0.1, 0.1),
        ("cifar100_plain10 batch_norm momentum beyond_batchnorm", 16, 0.00625, 1.6),
        ("cifar10_resnet20 group_norm momentum group_norm_study", 32, 0.1, 0.1),
        ("cifar10_resnet20 group_norm momentum group_norm_study", 2, 0.00625, 0.00625),
        ("cifar10_resnet18 batch_norm momentum bn_init", 64, 0.1, 0.1),
    ],
)
def test_learning_rate_follows_the_batch_size_as_in_the_source(
    cell, batch_size, corrected, published
):
    """Both studies of batch sizes scale the rate of 0.1; one of them the wrong way round."""
    size = f"problem.batch_size={batch_size}"
    rates = [spec(cell, size, *words).learning_rate for words in ((), PUBLISHED)]

    assert [corrected, published] == pytest.approx(rates)
