"""Norms that act on weights: recorded numbers, every kind of layer, use without the harness."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize

from normbench import Norm, Role, Site, Sites, UsageError
from normbench.initial_values import initialise
from normbench.parameters import defaults
from normbench.plugins import load_catalogue
from normbench.roles import Invariance, describe_network
from normbench_plugins.norms import (
    GroupNorm,
    ScaledReLU,
    ScaledWeightStandardization,
    WeightCentering,
    WeightNorm,
    WeightStandardization,
)

CATALOGUE = load_catalogue()
NAMES = (
    "weight_norm",
    "scaled_weight_standardization",
    "weight_centering",
    "weight_standardization",
)
SCALED = ("weight_norm", "scaled_weight_standardization", "weight_standardization")
CLASSES = (WeightNorm, ScaledWeightStandardization, WeightCentering, WeightStandardization)
LAYERS = (
    nn.Linear(6, 8),
    nn.Conv1d(6, 8, 3),
    nn.Conv2d(6, 8, 3, groups=2),
    nn.ConvTranspose2d(6, 8, 3),
    nn.ConvTranspose2d(6, 8, 3, groups=2),
)
# The recorded numbers were computed with π in single precision.
SINGLE_PI = float(torch.tensor(math.pi))
RECORDED = [
    (
        ScaledWeightStandardization,
        {"gain": math.sqrt(2 * SINGLE_PI / (SINGLE_PI - 1))},
        (0.28091341, 0.14955986, -0.12373492, -0.28770499),
        11.735206,
        (-2.4830879, -0.32577754, 0.35269341, -0.50983328),
    ),
    (
        WeightNorm,
        {},
        (0.16677438, 0.09010858, -0.06940263, -0.16510539),
        3.999987,
        (-1.44225653, -0.17686246, 0.22326046, -0.28441801),
    ),
    (WeightCentering, {}, (0.98311201, 0.52341431, -0.43303483, -1.00688049), None, None),
]

over_names = pytest.mark.parametrize("name", NAMES)
over_scaled = pytest.mark.parametrize("name", SCALED)
over_classes = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
over_layers = pytest.mark.parametrize("layer", LAYERS, ids=str)


def wave():
    """Return sin(k) + cos(0.37·k)/4 for k = 0..511 as (4, 8, 4, 4) in float64."""
    k = torch.arange(512, dtype=torch.float64)
    return (k.sin() + 0.25 * (0.37 * k).cos()).view(4, 8, 4, 4)


def cosine_layer():
    """Return a convolution without bias whose weight is cos(k), (4, 8, 3, 3), in float64."""
    layer = nn.Conv2d(8, 4, 3, padding=1, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.arange(288, dtype=torch.float64).cos().view(4, 8, 3, 3))
    return layer


def close(expected, actual, tolerance=1.01e-8):
    """Compare the first values of *actual* to recorded ones, to the digits that were recorded."""
    first = actual.detach().flatten()[: len(expected)]
    torch.testing.assert_close(
        first, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=tolerance
    )


def rows(layer, weight):
    """Return *weight* as one row for each output channel of *layer*."""
    if not isinstance(layer, nn.ConvTranspose2d):
        return weight.flatten(1)
    return weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1).flatten(1)


def network_with(name, **parameters):
    """Return a described convolution and dense layer with norm *name* behind each, in float64."""
    norm = CATALOGUE.get(Norm, name)
    sites = Sites.for_norm(norm, {**defaults(norm.parameters), **parameters})
    first, second = nn.Conv2d(3, 8, 3), nn.Linear(8, 16)
    network = nn.Sequential(
        first,
        *sites.after(first, nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        second,
        *sites.after(second, nn.ReLU()),
    )
    return describe_network(network, sites, "a test network")


@pytest.mark.parametrize(
    ("kind", "parameters", "weight", "squares", "outputs"), RECORDED, ids=lambda one: str(one)[:20]
)
def test_weight_and_output_are_the_recorded_ones(kind, parameters, weight, squares, outputs):
    """The weight cos(k) becomes the recorded one, and so does the output of the layer."""
    layer = kind.apply_to(cosine_layer(), **parameters).double()

    close(weight, layer.weight)
    if outputs is not None:
        assert pytest.approx(squares, abs=1e-6) == layer.weight.square().sum().item()
        close(outputs, layer(wave()))


def test_sum_of_squares_of_scaled_standardization_is_the_recorded_one():
    """All 512 outputs together have the recorded sum of squares."""
    _, parameters, *_ = RECORDED[0]
    layer = ScaledWeightStandardization.apply_to(cosine_layer(), **parameters).double()

    assert pytest.approx(439.050659, abs=1e-6) == layer(wave()).square().sum().item()


def test_scaled_relu_is_the_recorded_one():
    """With π in single precision, as the source has it, every printed digit comes out."""
    gain = math.sqrt(2 * SINGLE_PI / (SINGLE_PI - 1))
    outputs = ScaledReLU(gain, math.sqrt(0.5 / SINGLE_PI))(wave())

    close((-0.25511705, 1.15722529, 1.19038922, -0.2512025), outputs, 5.1e-9)
    assert pytest.approx(-63.639774, abs=5.1e-7) == outputs.sum().item()
    assert pytest.approx(251.674358, abs=5.1e-7) == outputs.square().sum().item()


def test_scaled_relu_with_exact_pi_is_close_to_the_recorded_one():
    """π itself moves the recorded values by no more than 2e-8."""
    outputs = ScaledReLU()(wave())

    close((-0.25511705, 1.15722529, 1.19038922, -0.2512025), outputs, 2e-8)
    assert pytest.approx(-63.639774, abs=512 * 2e-8) == outputs.sum().item()


def test_scaled_relu_standardizes_normal_inputs():
    """For a million numbers drawn from N(0, 1) mean and variance are 0 and 1 within 4 errors."""
    inputs = torch.randn(10**6, generator=torch.Generator().manual_seed(0))
    outputs = ScaledReLU()(inputs)

    assert pytest.approx(0.0, abs=4e-3) == outputs.mean().item()
    assert pytest.approx(1.0, abs=4e-3 * 2) == outputs.var().item()


@over_layers
@given(offset=st.floats(-3.0, 3.0), scale=st.floats(0.1, 10.0), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_each_output_channel_follows_the_formula(layer, offset, scale, seed):
    """In every kind of layer each output channel is computed from its own numbers alone."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(layer.weight.shape, dtype=torch.float64, generator=generator)
    weight = scale * drawn + offset
    raw = rows(layer, weight)
    distance = raw - raw.mean(1, keepdim=True)
    deviation, size = raw.std(1, correction=0, keepdim=True), raw.shape[1]
    expected = {
        WeightNorm: raw / (raw.norm(dim=1, keepdim=True) + 1e-5),
        ScaledWeightStandardization: 1.5 / math.sqrt(size) * distance / (deviation + 1e-5),
        WeightCentering: distance,
        WeightStandardization: distance / (deviation + 1e-5),
    }

    for kind, rule in expected.items():
        given_ = {"gain": 1.5} if kind is ScaledWeightStandardization else {}
        actual = rows(layer, kind.of(layer, **given_)(weight))
        torch.testing.assert_close(actual, rule, rtol=1e-9, atol=1e-9)


@over_classes
@over_layers
def test_gradients_are_right_to_second_order(kind, layer):
    """First and second derivatives of W' agree with finite differences in float64."""
    rule = kind.of(layer).double()
    weight = torch.randn(layer.weight.shape, dtype=torch.float64, requires_grad=True)
    inputs = (weight, *rule.parameters())

    assert torch.autograd.gradcheck(lambda values, *_: rule(values), inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda values, *_: rule(values), inputs, fast_mode=True)


@over_classes
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_weight_keeps_dtype_and_layout(kind, dtype):
    """W' has the dtype of the layer, and its channels come last where the layer's do."""
    layer = kind.apply_to(nn.Conv2d(6, 8, 3)).to(dtype, memory_format=torch.channels_last)

    assert dtype == layer.weight.dtype
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)


@over_classes
def test_zero_weight_has_finite_values_and_gradients(kind):
    """A channel whose weights are all 0 stays 0 and gets a finite gradient."""
    layer = nn.Linear(4, 3)
    nn.init.zeros_(layer.weight)
    kind.apply_to(layer)
    layer(torch.ones(2, 4)).sum().backward()

    assert not layer.weight.any()
    assert layer.parametrizations.weight.original.grad.isfinite().all()


@over_classes
def test_layer_survives_copying_and_saving(kind):
    """A copy and a loaded state compute what the layer computes; taken off, W' remains."""
    layer = kind.apply_to(nn.Conv2d(6, 8, 3))
    inputs = torch.randn(2, 6, 5, 5)
    expected = layer(inputs)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    loaded = kind.apply_to(nn.Conv2d(6, 8, 3))
    loaded.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))

    torch.testing.assert_close(copy.deepcopy(layer)(inputs), expected, rtol=0, atol=0)
    torch.testing.assert_close(loaded(inputs), expected, rtol=0, atol=0)
    parametrize.remove_parametrizations(layer, "weight")
    torch.testing.assert_close(layer(inputs), expected, rtol=0, atol=0)


@over_classes
def test_other_modules_are_refused(kind):
    """A module that is neither linear nor a convolution is named, with what to use."""
    with pytest.raises(UsageError, match=r"type BatchNorm2d: expected a linear layer"):
        kind.apply_to(nn.BatchNorm2d(3))


@over_scaled
def test_raw_weight_may_be_rescaled_channel_by_channel(name):
    """Each output channel is a sphere of its own, at convolutions and at dense layers."""
    built = network_with(name)
    weights = [info for info in built.parameters if info.role is Role.WEIGHT]
    network = built.network.double()
    inputs = torch.randn(4, 3, 7, 7, dtype=torch.float64)
    expected = network(inputs)

    assert [(8, 1, 3, 3, 3), (16, 1, 8)] == [info.invariance.view for info in weights]
    with torch.no_grad():
        for info in weights:
            factors = torch.linspace(1.0, 3.0, len(info.parameter), dtype=torch.float64)
            info.parameter.mul_(factors.view(-1, *(1,) * (info.parameter.ndim - 1)))
    torch.testing.assert_close(network(inputs), expected, rtol=2e-3, atol=2e-4)


def test_centred_weight_has_no_invariance():
    """Rescaling a centred weight rescales the output, and the description says so."""
    built = network_with("weight_centering")

    assert {None} == {info.invariance for info in built.parameters}


@over_scaled
def test_transposed_weight_claims_no_invariance(name):
    """Output channels of a transposed convolution are not where invariances are counted."""
    layer = nn.ConvTranspose2d(3, 8, 3)
    norm = CATALOGUE.get(Norm, name)
    sites = Sites.for_norm(norm, defaults(norm.parameters))
    network = nn.Sequential(layer, *sites.after(layer, nn.ReLU()))
    built = describe_network(network, sites, "a test network")

    assert {None} == {info.invariance for info in built.parameters}
    assert network(torch.randn(2, 3, 4, 4)).isfinite().all()


@over_names
def test_scales_have_their_role_and_site(name):
    """γ of a weight norm is a norm_scale of its site; the raw weight is a weight of it."""
    built = network_with(name)
    found = {(info.role, info.site, info.parameter.numel()) for info in built.parameters}

    assert {(Role.WEIGHT, 0, 216), (Role.WEIGHT, 1, 128)} <= found
    scaled = name != "weight_centering"
    assert scaled == ({(Role.NORM_SCALE, 0, 8), (Role.NORM_SCALE, 1, 16)} <= found)


@over_names
def test_initial_values_are_those_of_the_plain_network(name):
    """The raw weights start bit by bit as without a norm, and γ at 1."""
    built, plain = network_with(name), network_with("none")
    initialise(built.network, 5)
    initialise(plain.network, 5)

    raw = [info.parameter for info in built.parameters if info.role is Role.WEIGHT]
    expected = [info.parameter for info in plain.parameters if info.role is Role.WEIGHT]
    assert all(torch.equal(one, other) for one, other in zip(raw, expected, strict=True))
    scales = [info.parameter for info in built.parameters if info.role is Role.NORM_SCALE]
    assert all(torch.equal(torch.ones_like(scale), scale) for scale in scales)


@over_names
def test_preactivation_site_acts_on_the_layer_it_feeds(name):
    """Where no layer feeds the site, the weight of the one behind it is taken."""
    norm = CATALOGUE.get(Norm, name)
    sites = Sites.for_norm(norm, defaults(norm.parameters))
    layer = nn.Conv2d(8, 4, 3)
    pair = sites.before(8, "conv", nn.ReLU(), feeds=layer)
    built = describe_network(nn.Sequential(*pair, layer), sites, "a test network")

    assert parametrize.is_parametrized(layer, "weight")
    invariances = [info.invariance for info in built.parameters if info.role is Role.WEIGHT]
    expected = None if name == "weight_centering" else Invariance((4, 1, 8, 3, 3), (0,))
    assert [expected] == invariances


@over_names
def test_site_without_a_layer_is_refused(name):
    """There is no weight behind a sum; the error names the site and the digit to change."""
    site = Site(index=3, kind="conv", features=8, layer=None, activation_follows=True)
    norm = CATALOGUE.get(Norm, name)

    with pytest.raises(UsageError) as caught:
        norm.load()(site, **defaults(norm.parameters))

    assert f"norm {name} acts on the weight" in str(caught.value)
    assert "site 3 (conv, 8 channels) has none" in str(caught.value)
    assert "put 0 in place 4 of --sites" in str(caught.value)


@pytest.mark.parametrize(("given_", "kind"), [(True, ScaledReLU), (False, nn.ReLU)])
def test_weight_norm_brings_the_scaled_relu_unless_told_otherwise(given_, kind):
    """norm.scaled_relu=false keeps the network's own activation."""
    network = network_with("weight_norm", scaled_relu=given_).network

    assert isinstance(network[2], kind)


def test_weight_standardization_brings_a_group_norm():
    """Its groups are the parameters'; groups that do not divide are refused as by group_norm."""
    network = network_with("weight_standardization", group_size=4, eps=1e-3).network

    assert isinstance(network[1], GroupNorm)
    assert (2, 1e-3) == (network[1].num_groups, network[1].eps)
    with pytest.raises(UsageError, match=r"norm.num_groups=3 does not divide the 8 channels"):
        network_with("weight_standardization", num_groups=3)
