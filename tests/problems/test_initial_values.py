"""Initial values: their distributions, and that a swap of the norm leaves them alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import normbench_problems
from normbench import Fitting, Sites, UsageError
from normbench.initial_values import initialise


def _layers(network: nn.Module) -> dict[str, nn.Module]:
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return {name: m for name, m in network.named_modules() if isinstance(m, kinds)}


def _fans(layer: nn.Module) -> tuple[int, int]:
    weight = layer.weight
    return weight[0].numel(), weight.shape[0] * weight[0, 0].numel()


def _std(name: str, layer: nn.Module) -> float:
    """Return the standard deviation that the references give for a layer's weight."""
    fan_in, fan_out = _fans(layer)
    if name in ("resnet20", "digits_cnn"):
        return 1 / math.sqrt(3 * fan_in)
    if name == "net_2c2d":
        return 0.05 * 0.8796  # of a normal distribution cut off at two standard deviations
    if name == "mlp":
        return 0.03 * 0.8796
    return math.sqrt(2 / (fan_in + fan_out))


def _bound(name: str, layer: nn.Module) -> float:
    """Return the largest magnitude a weight may have."""
    if name in ("net_2c2d", "mlp"):
        return {"net_2c2d": 0.1, "mlp": 0.06}[name]
    normal = isinstance(layer, nn.Conv2d) and name in ("net_3c3d", "allcnnc")
    return math.inf if normal else math.sqrt(3) * _std(name, layer)


BIAS = {"net_3c3d": 0.0, "vae": 0.0, "net_2c2d": 0.05, "allcnnc": 0.1, "mlp": 0.0}


@pytest.mark.parametrize(
    "name", ["net_3c3d", "net_2c2d", "allcnnc", "vae", "resnet20", "digits_cnn", "mlp"]
)
def test_distributions(name, build):
    """Weights have the references' spread and bounds, biases their exact value."""
    network = build(name).network
    initialise(network, 0)

    for layer in _layers(network).values():
        weight, error = layer.weight, 4 / math.sqrt(layer.weight.numel())
        assert _std(name, layer) == pytest.approx(weight.std().item(), rel=error)
        assert abs(weight.mean()) < error * _std(name, layer)
        assert weight.abs().max() <= _bound(name, layer) * (1 + 1e-6)
        if name in BIAS and layer.bias is not None:
            assert torch.equal(torch.full_like(layer.bias, BIAS[name]), layer.bias)


def test_logistic_regression_starts_at_zero(build):
    """Every number of logreg is 0."""
    network = build("logreg").network
    initialise(network, 0)

    assert not any(parameter.any() for parameter in network.parameters())


def test_kaiming_variant(build):
    """init=kaiming draws convolutions by fan-in, the dense layer within √(6/fan-in), no bias."""
    network = build("resnet20", "batch_norm", init="kaiming").network
    initialise(network, 0)

    for layer in _layers(network).values():
        scale = math.sqrt(2 / _fans(layer)[0])
        error = 4 / math.sqrt(layer.weight.numel())
        assert scale == pytest.approx(layer.weight.std().item(), rel=error)
    assert network.dense.weight.abs().max() <= math.sqrt(6 / 64)
    assert not network.dense.bias.any()


def test_bias_start_of_allcnnc(build):
    """bias_init sets every bias of All-CNN-C."""
    network = build("allcnnc", bias_init=0.0).network
    initialise(network, 0)
    assert not any(layer.bias.any() for layer in _layers(network).values())


SMALL = {
    "digits_cnn": {},
    "net_3c3d": {},
    "net_2c2d": {},
    "allcnnc": {},
    "vae": {},
    "resnet20": {},
    "resnet56": {},
    "resnet18": {"width": 16},
}


@pytest.mark.parametrize("norm", ["batch_norm", "group_norm", "layer_norm", "instance_norm"])
@pytest.mark.parametrize("name", sorted(SMALL))
def test_norm_leaves_initial_values_alone(name, norm, build):
    """A parameter that two norms share starts bit by bit the same in both."""
    mask = "conv" if norm == "instance_norm" else None
    plain, normed = build(name, **SMALL[name]), build(name, norm, mask, **SMALL[name])
    initialise(plain.network, 7)
    initialise(normed.network, 7)

    there = dict(normed.network.named_parameters())
    shared = [info for info in plain.parameters if info.name in there]
    assert shared
    assert all(torch.equal(info.parameter, there[info.name]) for info in shared)
    weights = {info.name for info in plain.parameters if info.role == "weight"}
    assert weights <= there.keys()


class _Halved(nn.Module):
    """A parametrization of a weight, as norms that act on weights use."""

    def forward(self, weight):
        return weight / 2


@pytest.mark.parametrize("name", ["digits_cnn", "net_2c2d", "resnet20"])
def test_weight_norm_leaves_initial_values_alone(name, build):
    """The raw weight under a norm that acts on weights starts as the plain weight does."""
    plain = build(name).network
    sites = Sites(lambda _: Fitting(norm=nn.Identity(), weight=_Halved()), norm_name="halved")
    halved = getattr(normbench_problems, name)(sites)
    initialise(plain, 7)
    initialise(halved, 7)

    there = _layers(halved)
    for layer_name, layer in _layers(plain).items():
        fed = hasattr(there[layer_name], "parametrizations")
        expected = layer.weight / 2 if fed else layer.weight
        assert torch.equal(expected, there[layer_name].weight)
    assert len(sites.fitted) == sum(hasattr(layer, "parametrizations") for layer in there.values())


@pytest.mark.parametrize("name", ["digits_cnn", "net_3c3d"])
def test_seeds_differ(name, build):
    """Every weight depends on the seed."""
    first, second = build(name), build(name)
    initialise(first.network, 1)
    initialise(second.network, 2)

    pairs = zip(first.parameters, second.parameters, strict=True)
    weights = [(a.parameter, b.parameter) for a, b in pairs if a.role == "weight"]
    assert not any(torch.equal(a, b) for a, b in weights)


def test_building_order_does_not_matter(build):
    """Initial values depend on the seed and the layer, not on what was built before."""
    first = build("digits_cnn")
    initialise(first.network, 3)
    state = torch.get_rng_state()
    torch.rand(1000)
    second = build("digits_cnn", "group_norm")
    initialise(second.network, 3)
    torch.set_rng_state(state)

    assert torch.equal(first.network.dense2.weight, second.network.dense2.weight)


def test_plain_use_draws_the_reference_values():
    """Without the harness a network starts with its own distribution and takes any norm layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = normbench_problems.net_2c2d(classes=5)
        resnet = normbench_problems.resnet20(
            norm_layer=lambda features: nn.GroupNorm(4, features), classes=100
        )

    assert torch.equal(torch.full((1024,), 0.05), network.dense1.bias)
    assert network.conv1.weight.abs().max() <= 0.1
    assert 21 == sum(isinstance(module, nn.GroupNorm) for module in resnet.modules())
    assert (2, 100) == resnet(torch.zeros(2, 3, 32, 32)).shape


def test_sites_and_norm_layer_exclude_each_other():
    """A network given both the harness's sites and a norm layer refuses."""
    with pytest.raises(UsageError, match="Leave out norm_layer"):
        normbench_problems.digits_cnn(Sites(), norm_layer=nn.BatchNorm2d)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet20", {"init": "he"}), ("quadratic", {"rotation": "none"}), ("vae", {"bias": "no"})],
)
def test_unknown_words_are_refused(name, parameters):
    """A word that a network does not know is named, with those it knows."""
    with pytest.raises(UsageError, match="expected one of"):
        getattr(normbench_problems, name)(**parameters)
