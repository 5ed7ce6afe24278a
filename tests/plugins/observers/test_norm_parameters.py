"""γ, β and biases are followed number by number."""

from __future__ import annotations

import numpy as np
import pytest

# Rows of the source's own files for the same networks.
ROWS = [
    ("cifar100_3c3d", "none", "bias", 1156),
    ("cifar100_allcnnc", "none", "bias", 1348),
    ("cifar100_allcnnc", "batch_norm", "gamma", 1248),
    ("cifar100_allcnnc", "batch_norm", "beta", 1248),
    ("cifar100_allcnnc", "none", "gamma", 0),
    ("cifar100_3c3d", "weight_norm", "beta", 0),
    ("cifar100_3c3d", "weight_norm", "gamma", 1056),
]


@pytest.mark.parametrize(("problem", "norm", "array", "rows"), ROWS)
def test_every_number_has_a_row(problem, norm, array, rows, observe):
    """As many rows as the source logs: all channels of all sites, or all biases."""
    moments = observe("norm_parameters", problem, norm=norm, train=False)

    assert rows == len(moments.arrays[array][0])


def test_rows_are_the_parameters_behind_each_step(session, observe):
    """Value, site, channel and name belong together, and the last moment is the trained network."""
    words = ("digits_cnn_bn", "momentum", ["lr=0.3"])
    moments = observe("norm_parameters:every_steps=1", *words)

    assert [0, 1, 2, 3, 4, 5] == moments.steps
    initial = session(*words).built
    scales = [info for info in initial.parameters if info.role == "norm_scale"]
    numbers = np.concatenate([info.parameter.detach().numpy() for info in scales])
    assert np.array_equal(numbers, moments.arrays["gamma"][0])
    sites = np.concatenate([np.full(info.parameter.numel(), info.site) for info in scales])
    assert np.array_equal(sites, moments.fixed["gamma_site"])
    assert np.array_equal([0, 1, 2], moments.fixed["gamma_index"][:3])
    assert not np.array_equal(moments.arrays["gamma"][3], moments.arrays["gamma"][4])


def test_biases_are_those_without_a_shift(observe):
    """Where a mask leaves a site free its layer's bias is followed, elsewhere β is."""
    moments = observe(
        "norm_parameters", "cifar10_3c3d", norm="batch_norm", sites=(0, 0, 1, 1, 1), train=False
    )

    assert [-1, 0, 1] == sorted(set(moments.fixed["bias_site"]))
    assert [2, 3, 4] == sorted(set(moments.fixed["beta_site"]))
