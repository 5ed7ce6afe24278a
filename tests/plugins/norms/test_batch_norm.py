"""Batch norm against recorded numbers, against torch, and where it has nothing to normalize by."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench import UsageError
from normbench_plugins.norms import BatchNorm

SHAPES = [(6, 5), (4, 5, 7), (4, 5, 3, 3)]


def wave():
    """Return sin(k) + cos(0.37·k)/4 for k = 0..511 as (4, 8, 4, 4) in float64."""
    k = torch.arange(512, dtype=torch.float64)
    return (k.sin() + 0.25 * (0.37 * k).cos()).view(4, 8, 4, 4)


def twins(shape, momentum):
    """Return our batch norm and torch's for inputs of *shape*, with equal γ and β, in float64."""
    ours = BatchNorm(shape[1], momentum=momentum, scale_init=0.7, shift_init=-0.2)
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    theirs = kind(shape[1], momentum=momentum)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    return ours.double(), theirs.double()


def test_training_output_is_the_recorded_one():
    """A training step gives the recorded values, their sum and their sum of squares."""
    outputs = BatchNorm(8).double()(wave()).detach()

    expected = torch.tensor([0.29570296, 1.42997215, 1.4566065, 0.29884678], dtype=torch.float64)
    torch.testing.assert_close(outputs.flatten()[:4], expected, rtol=0, atol=1e-8)
    assert pytest.approx(0.0, abs=1e-9) == outputs.sum().item()
    assert pytest.approx(511.990376, abs=1e-6) == outputs.square().sum().item()


def test_running_statistics_after_a_step_are_the_recorded_ones():
    """One step moves mean and unbiased variance a tenth of the way from 0 and 1 to the batch's."""
    norm = BatchNorm(8).double()

    norm(wave())

    mean = torch.tensor([0.0035039817, -0.0032801488], dtype=torch.float64)
    biased = torch.tensor([0.9528440967, 0.9517109570], dtype=torch.float64)
    torch.testing.assert_close(norm.running_mean[:2], mean, rtol=0, atol=1e-10)
    unbiased = 0.9 + (biased - 0.9) * 64 / 63
    torch.testing.assert_close(norm.running_var[:2], unbiased, rtol=0, atol=2e-10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0])
def test_equals_torch_over_training_and_evaluation(shape, momentum):
    """Outputs, gradients and running statistics are torch's, in three steps and in evaluation."""
    ours, theirs = twins(shape, momentum)
    for training in (True, True, True, False):
        inputs = (3.0 * torch.randn(shape) + 2.0).double().requires_grad_()
        copy = inputs.detach().clone().requires_grad_()
        above = torch.randn(shape).double()
        expected, outputs = theirs.train(training)(copy), ours.train(training)(inputs)
        for loss in ((expected * above).sum(), (outputs * above).sum()):
            loss.backward()

        torch.testing.assert_close(outputs, expected)
        torch.testing.assert_close(inputs.grad, copy.grad)

    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


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
