"""Batch norm against recorded numbers, and where it has nothing to normalize by."""

from __future__ import annotations

import pytest
import torch

from normbench import Site, UsageError
from normbench_plugins.norms import BatchNorm
from normbench_plugins.norms.batch_norm import fit


def wave():
    """Return sin(k) + cos(0.37·k)/4 for k = 0..511 as (4, 8, 4, 4) in float64."""
    k = torch.arange(512, dtype=torch.float64)
    return (k.sin() + 0.25 * (0.37 * k).cos()).view(4, 8, 4, 4)


def test_training_output_is_the_recorded_one():
    """A training step gives the recorded values, their sum and their sum of squares."""
    outputs = BatchNorm(8).double()(wave()).detach()

    expected = torch.tensor([0.29570296, 1.42997215, 1.4566065, 0.29884678], dtype=torch.float64)
    torch.testing.assert_close(outputs.flatten()[:4], expected, rtol=0, atol=1e-8)
    assert pytest.approx(0.0, abs=1e-9) == outputs.sum().item()
    assert pytest.approx(511.990376, abs=1e-6) == outputs.square().sum().item()


MOVED = [
    (0.0, "unbiased", (0.0035039817, -0.0032801488), (0.9536828919, 0.9525317658)),
    (0.0, "biased", (0.0035039817, -0.0032801488), (0.9528440967, 0.9517109570)),
    (1.0, "biased", (0.9035039817, 0.8967198512), (0.9528440967, 0.9517109570)),
]


@pytest.mark.parametrize(("start", "kept", "mean", "variance"), MOVED)
def test_running_statistics_after_a_step_are_the_recorded_ones(start, kept, mean, variance):
    """One step moves mean and variance a tenth of the way from their starts to the batch's."""
    norm = BatchNorm(8, running_mean_init=start, running_variance=kept).double()

    norm(wave())

    for expected, actual in ((mean, norm.running_mean), (variance, norm.running_var)):
        expected = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(actual[:2], expected, rtol=0, atol=1e-10)


def test_evaluation_as_published_is_the_recorded_one():
    """With the source's running mean of 1 at the start, evaluation gives the source's numbers."""
    norm = BatchNorm(8, running_mean_init=1.0, running_variance="biased").double()
    norm(wave())

    outputs = norm.eval()(wave()).detach()

    first = torch.tensor([-0.66947603, 0.17522938, 0.19506434, -0.66713479], dtype=torch.float64)
    torch.testing.assert_close(outputs.flatten()[:4], first, rtol=0, atol=1e-8)
    assert pytest.approx(-469.773498, abs=1e-6) == outputs.sum().item()
    assert pytest.approx(717.24839, abs=1e-5) == outputs.square().sum().item()


def test_scale_starts_where_it_is_told():
    """γ starts at ``scale_init`` in the constructor, at a site, and after a reset."""
    site = Site(index=0, kind="conv", features=3, layer=None, activation_follows=True)

    for norm in (BatchNorm(3, scale_init=0.1), fit(site, scale_init=0.1).norm):
        with torch.no_grad():
            norm.weight.zero_()
        norm.reset_parameters()
        torch.testing.assert_close(norm.weight.detach(), torch.full((3,), 0.1), rtol=0, atol=0)


def test_unknown_running_variance_is_explained():
    """An estimate that does not exist is refused with those that do."""
    with pytest.raises(UsageError, match=r"running_variance='median'.*unbiased, biased"):
        BatchNorm(3, running_variance="median")


def test_sequences_are_normalized_over_examples_and_positions():
    """With channels last, (N, T, C) gives what (N, C, T) gives, transposed."""
    inputs = torch.randn(4, 6, 5)

    expected = BatchNorm(5)(inputs.transpose(1, 2)).transpose(1, 2)

    torch.testing.assert_close(BatchNorm(5, sequence=True)(inputs), expected)


@pytest.mark.parametrize("shape", [(1, 5), (1, 5, 1), (1, 5, 1, 1)], ids=str)
def test_one_value_for_each_channel_cannot_train(shape):
    """A training batch with one value a channel is refused, and the batch size named as the fix."""
    norm = BatchNorm(5)

    with pytest.raises(UsageError, match=r"problem\.batch_size"):
        norm(torch.randn(shape))

    assert shape == norm.eval()(torch.randn(shape)).shape


def test_one_example_with_several_positions_trains():
    """A single image has enough values for batch statistics."""
    outputs = BatchNorm(5)(torch.randn(1, 5, 4, 4))

    torch.testing.assert_close(outputs.mean((0, 2, 3)), torch.zeros(5), rtol=0, atol=1e-6)
