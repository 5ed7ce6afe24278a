"""Norms that use the batch, other than batch norm itself, against recorded numbers and formulas."""

from __future__ import annotations

import pytest
import torch

from normbench import UsageError
from normbench_plugins.norms import (
    BatchNorm,
    BatchRenorm,
    GhostBatchNorm,
    InstanceNorm,
    LayerNorm,
    MeanCentering,
    SwitchableNorm,
    VarianceNorm,
)


def wave():
    """Return sin(k) + cos(0.37·k)/4 for k = 0..511 as (4, 8, 4, 4) in float64."""
    k = torch.arange(512, dtype=torch.float64)
    return (k.sin() + 0.25 * (0.37 * k).cos()).view(4, 8, 4, 4)


def noise(*shape):
    """Return normal numbers about 2 in float64."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, dtype=torch.float64, generator=generator) + 2.0


def test_variance_norm_gives_the_recorded_numbers():
    """A training step gives the recorded values, their sum and their sum of squares."""
    outputs = VarianceNorm(8).double()(wave()).detach()

    first = torch.tensor([0.34390434, 1.47817353, 1.50480788, 0.34704816], dtype=torch.float64)
    torch.testing.assert_close(outputs.flatten()[:4], first, rtol=0, atol=1e-8)
    assert pytest.approx(3.114809, abs=1e-6) == outputs.sum().item()
    assert pytest.approx(512.496689, abs=1e-6) == outputs.square().sum().item()


def test_variance_norm_runs_the_biased_variance():
    """After a step the running variance is the recorded one, and evaluation divides by it."""
    norm = VarianceNorm(8).double()
    norm(wave())

    outputs = norm.eval()(wave())

    recorded = torch.tensor([0.9528440967, 0.9517109570], dtype=torch.float64)
    torch.testing.assert_close(norm.running_var[:2], recorded, rtol=0, atol=1e-10)
    expected = wave() / (norm.running_var + 1e-5).sqrt().view(-1, 1, 1)
    torch.testing.assert_close(outputs, expected)


def test_mean_centering_subtracts_the_mean_and_runs_it():
    """Training subtracts the batch's mean, evaluation the running one; β is added to both."""
    norm = MeanCentering(5, momentum=0.25, shift_init=0.5).double()
    inputs = noise(6, 5, 3, 3)
    mean = inputs.mean((0, 2, 3)).view(-1, 1, 1)

    torch.testing.assert_close(norm(inputs), inputs - mean + 0.5)
    torch.testing.assert_close(norm.eval()(inputs), inputs - 0.25 * mean + 0.5)


@pytest.mark.parametrize("kind", [MeanCentering, VarianceNorm, BatchRenorm, GhostBatchNorm])
def test_sequences_are_normalized_over_examples_and_positions(kind):
    """With channels last, (N, T, C) gives what (N, C, T) gives, transposed."""
    inputs = noise(4, 6, 5)

    expected = kind(5).double()(inputs.transpose(1, 2)).transpose(1, 2)

    torch.testing.assert_close(kind(5, sequence=True).double()(inputs), expected)


def renormalised(norm, inputs, largest, furthest):
    """Return the paper's formula for *norm* in training, with γ = 1 and β = 0."""
    mean = inputs.mean((0, 2, 3))
    deviation = (inputs.var((0, 2, 3), correction=0) + norm.eps).sqrt()
    r = (deviation / norm.running_std).clamp(1 / largest, largest)
    d = ((mean - norm.running_mean) / norm.running_std).clamp(-furthest, furthest)
    column = (-1, 1, 1)
    normal = (inputs - mean.view(column)) / deviation.view(column)
    return normal * r.view(column) + d.view(column), mean, deviation


@pytest.mark.parametrize(
    ("step", "largest", "furthest"),
    [(0, 1.0, 0.0), (10, 1.0, 0.0), (30, 1.4, 0.5), (60, 2.0, 1.25), (110, 3.0, 2.5), (999, 3, 5)],
)
def test_batch_renorm_follows_its_formula_and_schedule(step, largest, furthest):
    """Outputs and running statistics are the paper's, with limits that grow after plain steps."""
    norm = BatchRenorm(5, momentum=0.2, plain_steps=10, r_ramp_steps=100, d_ramp_steps=200).double()
    norm.steps.fill_(step)
    inputs = 4.0 * noise(6, 5, 3, 3)
    expected, mean, deviation = renormalised(norm, inputs, largest, furthest)

    torch.testing.assert_close(norm(inputs), expected)

    assert step + 1 == norm.steps.item()
    torch.testing.assert_close(norm.running_mean, 0.2 * mean)
    torch.testing.assert_close(norm.running_std, 0.8 + 0.2 * deviation)
    evaluated = (inputs - norm.running_mean.view(-1, 1, 1)) / norm.running_std.view(-1, 1, 1)
    torch.testing.assert_close(norm.eval()(inputs), evaluated)


@pytest.mark.parametrize(("plain", "step"), [(0, 0), (10, 10), (10, 11)])
def test_batch_renorm_without_ramps_corrects_fully_at_once(plain, step):
    """With ramps of 0 steps the first step after the plain ones already has the full limits."""
    norm = BatchRenorm(5, plain_steps=plain, r_ramp_steps=0, d_ramp_steps=0).double()
    norm.steps.fill_(step)
    inputs = 4.0 * noise(6, 5, 3, 3)
    expected, *_ = renormalised(norm, inputs, norm.r_max, norm.d_max)

    torch.testing.assert_close(norm(inputs), expected)


def test_batch_renorm_without_ramps_keeps_its_plain_steps():
    """With ramps of 0 steps the last plain step still is batch norm's."""
    norm = BatchRenorm(5, plain_steps=10, r_ramp_steps=0, d_ramp_steps=0).double()
    norm.steps.fill_(9)
    inputs = 4.0 * noise(6, 5, 3, 3)

    torch.testing.assert_close(norm(inputs), BatchNorm(5).double()(inputs))


def test_batch_renorm_starts_as_batch_norm():
    """During the plain steps outputs and gradients are batch norm's."""
    inputs = noise(6, 5, 3, 3).requires_grad_()
    above = noise(6, 5, 3, 3)

    expected, actual = (
        torch.autograd.grad(norm.double()(inputs), (inputs, *norm.parameters()), above)
        for norm in (BatchNorm(5), BatchRenorm(5))
    )

    torch.testing.assert_close(actual, expected)


def test_batch_renorm_gradient_is_orthogonal_to_the_weight():
    """Even with corrections, no gradient points along a channel of the weight before."""
    norm = BatchRenorm(4, plain_steps=0, r_ramp_steps=0, d_ramp_steps=0, eps=1e-12).double()
    weight = noise(4, 7).requires_grad_()
    outputs = norm(3.0 * noise(9, 7) @ weight.T)

    (gradient,) = torch.autograd.grad(outputs.cos().sum(), weight)

    along = (gradient * weight).sum(1) / gradient.norm(dim=1) / weight.norm(dim=1)
    torch.testing.assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("examples", "sizes"),
    [(12, [4, 4, 4]), (10, [4, 4, 2]), (8, [4, 4]), (5, [4, 1]), (4, [4]), (3, [3])],
)
def test_ghosts_are_batches_of_their_own(examples, sizes):
    """Each ghost is normalized as batch norm would, and moves the running statistics in turn."""
    ghost_norm, norm = GhostBatchNorm(5, 4).double(), BatchNorm(5).double()
    inputs = noise(examples, 5, 3, 3)

    expected = torch.cat([norm(ghost) for ghost in inputs.split(sizes)])

    torch.testing.assert_close(ghost_norm(inputs), expected)
    torch.testing.assert_close(ghost_norm.state_dict(), norm.state_dict())
    torch.testing.assert_close(ghost_norm.eval()(inputs), norm.eval()(inputs))


def test_ghost_of_one_value_is_refused():
    """A last ghost with a single dense example cannot train; the ghost's size is the fix."""
    with pytest.raises(UsageError, match=r"\(1, 5\).*norm\.virtual_batch_size"):
        GhostBatchNorm(5, 4)(torch.randn(9, 5))


@pytest.mark.parametrize(("chosen", "kind"), [(0, InstanceNorm), (1, LayerNorm), (2, BatchNorm)])
def test_switchable_norm_can_become_each_of_its_parts(chosen, kind):
    """With all weight on one of the three statistics it is that norm, in training."""
    norm = SwitchableNorm(5).double()
    inputs = noise(6, 5, 3, 3)
    with torch.no_grad():
        norm.mean_weights[chosen] = norm.variance_weights[chosen] = 100.0

    torch.testing.assert_close(norm(inputs), kind(5).double()(inputs), rtol=1e-9, atol=1e-9)


def test_switchable_norm_mixes_by_softmax():
    """Means and variances are mixed each by its own weights, biased, and the batch's run."""
    norm = SwitchableNorm(5, momentum=0.2).double()
    inputs = noise(6, 5, 3, 3)
    with torch.no_grad():
        norm.mean_weights.copy_(torch.tensor([0.0, 1.0, 2.0]))
        norm.variance_weights.copy_(torch.tensor([1.0, -1.0, 0.5]))
    over = [(2, 3), (1, 2, 3), (0, 2, 3)]
    parts = [torch.var_mean(inputs, dims, correction=0, keepdim=True) for dims in over]
    variance, mean = (
        sum(weight * part[which] for weight, part in zip(weights.softmax(0), parts, strict=True))
        for which, weights in enumerate((norm.variance_weights, norm.mean_weights))
    )

    torch.testing.assert_close(norm(inputs), (inputs - mean) / (variance + 1e-5).sqrt())
    torch.testing.assert_close(norm.running_mean, 0.2 * parts[2][1].flatten())
    torch.testing.assert_close(norm.running_var, 0.8 + 0.2 * parts[2][0].flatten())
