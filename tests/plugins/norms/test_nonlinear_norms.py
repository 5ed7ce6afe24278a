"""Norms that bring a nonlinearity: recorded numbers, and where they go in a network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench import Site, UsageError
from normbench_plugins.norms import (
    EvoNormB0,
    EvoNormS0,
    FilterResponseNorm,
    ThresholdedLinearUnit,
    evonorm_b0,
    evonorm_s0,
    filter_response_norm,
)
from normbench_plugins.norms.nonlinear import Affine
from normbench_plugins.norms.row_maximum import row_maximum

RESPONSE = (0.32602401, 1.4013201, 1.42656967, 0.32900438)
GATED = (0.19082142, 1.08759593, 1.11262329, 0.19275848)
BATCHED = (0.24171782, 0.57808435, 0.58243379, 0.24338968)
WITH_UNIT = nn.Sequential(FilterResponseNorm(8, 1e-5), ThresholdedLinearUnit(8))
RECORDED = [
    (FilterResponseNorm(8, 1e-5), RESPONSE, 3.473292, 511.990349),
    (FilterResponseNorm(8, 1e-5, learn_eps=True), RESPONSE, 3.473292, 511.990349),
    (WITH_UNIT, RESPONSE, 229.109733, 258.51568),
    (EvoNormS0(8, 2, variance="unbiased"), GATED, 88.168119, 150.909497),
    (EvoNormB0(8, variance="unbiased"), BATCHED, -115.540011, 307.812473),
]


def wave():
    """Return sin(k) + cos(0.37·k)/4 for k = 0..511 as (4, 8, 4, 4) in float64."""
    k = torch.arange(512, dtype=torch.float64)
    return (k.sin() + 0.25 * (0.37 * k).cos()).view(4, 8, 4, 4)


def site(follows, kind="conv", features=16):
    """Return a norm site that an activation, a sum or nothing follows."""
    return Site(
        index=3,
        kind=kind,
        features=features,
        layer=None,
        activation_follows=follows == "activation",
        sum_follows=follows == "sum",
    )


@pytest.mark.parametrize(("norm", "first", "total", "squares"), RECORDED, ids=str)
def test_output_is_the_recorded_one(norm, first, total, squares):
    """A fresh norm gives the recorded values, their sum and their sum of squares."""
    outputs = norm.double()(wave()).detach()

    expected = torch.tensor(first, dtype=torch.float64)
    torch.testing.assert_close(outputs.flatten()[:4], expected, rtol=0, atol=1e-8)
    assert pytest.approx(total, abs=1e-6) == outputs.sum().item()
    assert pytest.approx(squares, abs=1e-6) == outputs.square().sum().item()


def test_b0_in_evaluation_is_the_recorded_one():
    """After a step evaluation uses the running variance, and gives the recorded sums."""
    norm = EvoNormB0(8, variance="unbiased").double()
    norm(wave())

    outputs = norm.eval()(wave()).detach()

    expected = torch.tensor(BATCHED, dtype=torch.float64)
    torch.testing.assert_close(outputs.flatten()[:4], expected, rtol=0, atol=1e-8)
    assert pytest.approx(-58.858568, abs=1e-6) == outputs.sum().item()
    assert pytest.approx(195.353307, abs=1e-6) == outputs.square().sum().item()


def gated(inputs, groups):
    """Return EvoNorm S0 by its formula, with the biased variance."""
    rows = inputs.view(len(inputs), groups, -1)
    deviation = (rows.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
    return (rows * torch.sigmoid(rows) / deviation).view_as(inputs)


def divided(inputs):
    """Return EvoNorm B0 by its formula, with biased variances."""
    batch = (inputs.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    own = (inputs.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    return inputs / torch.maximum(batch, inputs + own)


def test_variances_are_biased_unless_said():
    """By default both EvoNorms divide by the number of values, as the paper does."""
    torch.testing.assert_close(EvoNormS0(8, 4).double()(wave()), gated(wave(), 4))
    torch.testing.assert_close(EvoNormB0(8).double()(wave()), divided(wave()))


@pytest.mark.parametrize("variance", ["biased", "unbiased"])
def test_b0_takes_maps_of_one_position(variance):
    """With a single position the instance variance is 0, and the output finite."""
    inputs = wave()[:, :, :1, :1]

    outputs = EvoNormB0(8, variance=variance).double()(inputs)

    torch.testing.assert_close(outputs, divided(inputs))


@pytest.mark.parametrize(
    ("fit", "kind"), [(evonorm_s0.fit, EvoNormS0), (evonorm_b0.fit, EvoNormB0)]
)
@pytest.mark.parametrize(
    ("placement", "follows", "norm", "activation"),
    [
        ("at_once", "activation", "complete", nn.Identity),
        ("at_once", "sum", Affine, None),
        ("at_once", "nothing", Affine, None),
        ("after_addition", "activation", "complete", nn.Identity),
        ("after_addition", "sum", nn.Identity, "complete"),
        ("after_addition", "nothing", nn.Identity, None),
    ],
)
def test_evonorms_stand_where_their_placement_says(fit, kind, placement, follows, norm, activation):
    """A complete EvoNorm replaces an activation; without one its affine part or nothing stays."""
    fitting = fit(site(follows), placement=placement)

    complete = {"complete": kind}
    assert complete.get(norm, norm) is type(fitting.norm)
    expected = complete.get(activation, activation) or type(None)
    assert expected is type(fitting.activation)


@pytest.mark.parametrize("follows", ["activation", "sum", "nothing"])
def test_thresholds_stand_wherever_an_activation_does(follows):
    """FRN brings its unit for an activation, behind a sum too, and none to a shortcut."""
    fitting = filter_response_norm.fit(site(follows))

    assert isinstance(fitting.norm, FilterResponseNorm)
    assert (follows != "nothing") == isinstance(fitting.activation, ThresholdedLinearUnit)


def test_trained_eps_counts_by_its_size():
    """Where ε trains its sign does not matter, and its gradient is that of the formula."""
    norm = FilterResponseNorm(8, 0.3, learn_eps=True).double()
    with torch.no_grad():
        norm.trained_eps.neg_()
    eps = norm.trained_eps.detach().clone().requires_grad_()
    formula = wave() / (wave().square().mean((2, 3), keepdim=True) + eps.abs()).sqrt()

    expected = torch.autograd.grad(formula.cos().sum(), eps)
    actual = torch.autograd.grad(norm(wave()).cos().sum(), norm.trained_eps)

    torch.testing.assert_close(norm(wave()), formula)
    torch.testing.assert_close(actual, expected)


def test_reset_brings_a_trained_eps_back():
    """After training, a reset sets ε to where it started, with γ and β."""
    norm = FilterResponseNorm(8, 0.3, learn_eps=True)
    fresh = {name: value.clone() for name, value in norm.state_dict().items()}
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(2.5)

    norm.reset_parameters()

    torch.testing.assert_close(norm.state_dict(), fresh, rtol=0, atol=0)


ROWS = [((3, 4), (4,)), ((3, 4, 5), (1, 4)), ((2, 4, 3, 3), (4,)), ((2, 4, 3, 3), (2, 4))]


@pytest.mark.parametrize(("shape", "row_shape"), ROWS, ids=str)
def test_row_maximum_is_torch_s_with_its_derivatives(shape, row_shape):
    """Values are torch's to the bit; both derivatives of first and second order are right."""
    values = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    row = torch.randn(row_shape, dtype=torch.float64, requires_grad=True)
    broadcast = row.view(*row_shape, *(1,) * (len(shape) - 2))

    assert torch.equal(torch.maximum(values, broadcast), row_maximum(values, row))
    assert torch.autograd.gradcheck(row_maximum, (values, row))
    assert torch.autograd.gradgradcheck(row_maximum, (values, row))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_row_maximum_keeps_dtype_and_layout(dtype):
    """Output and gradient are as the input, and the row's gradient is summed in its own dtype."""
    values = torch.randn(40, 8, 5, 5).to(dtype, memory_format=torch.channels_last).requires_grad_()
    row = torch.full((8,), -0.25, requires_grad=True)
    outputs = row_maximum(values, row)

    gradient, toward = torch.autograd.grad(outputs, (values, row), torch.ones_like(outputs))

    for tensor in (outputs, gradient):
        assert dtype == tensor.dtype
        assert tensor.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(gradient, (values > -0.25).to(dtype), rtol=0, atol=0)
    assert torch.equal((values <= -0.25).sum((0, 2, 3)).float(), toward)


def test_a_tie_is_the_row_s():
    """Where x equals τ the gradient is τ's alone."""
    values = torch.tensor([[0.5, -1.0, 2.0]], requires_grad=True)
    row = torch.tensor([0.5, -1.0, 1.0], requires_grad=True)

    toward = torch.autograd.grad(row_maximum(values, row).sum(), (values, row))

    torch.testing.assert_close(toward, (torch.tensor([[0.0, 0, 1]]), torch.tensor([1.0, 1, 0])))


def test_threshold_is_the_smallest_output():
    """The unit gives max(x, τ) channel by channel."""
    unit = ThresholdedLinearUnit(2)
    with torch.no_grad():
        unit.threshold.copy_(torch.tensor([-0.5, 1.0]))

    outputs = unit(torch.tensor([[-2.0, 0.0], [0.25, 3.0]]))

    torch.testing.assert_close(outputs.detach(), torch.tensor([[-0.5, 1.0], [0.25, 3.0]]))


def test_groups_that_do_not_fit_are_explained():
    """S0 names the site, what was given and what would fit."""
    with pytest.raises(UsageError, match=r"norm\.num_groups=8 .* 12 channels of norm site 3"):
        evonorm_s0.fit(site("activation", features=12))
    with pytest.raises(UsageError, match="single value in each group of the 8 channels of dense"):
        evonorm_s0.fit(site("activation", "dense", 8))
