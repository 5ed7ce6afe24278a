"""Our networks beside DeepOBS's own: as many parameters, and the same output at equal weights."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench import Network, Problem, Sites
from normbench.build import build_network
from normbench.parameters import checked
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.roles import describe_network

if find_spec("deepobs") is None:
    pytest.skip("deepobs 1.2.0b0 is not installed", allow_module_level=True)
from normbench_plugins.bridges.deepobs_networks import originals

CATALOGUE = load_catalogue()
# Ours, theirs, parameters, the shape of an image, and the maps that are flattened before the first
# dense layer: ours in TensorFlow's order (H, W, C), theirs in torch's.
PAIRS = [
    ("net_2c2d", "2c2d", {}, (1, 28, 28), (64, 7, 7), 3_274_634),
    ("net_3c3d", "3c3d", {}, (3, 32, 32), (128, 3, 3), 895_210),
    ("net_3c3d", "3c3d", {"classes": 100}, (3, 32, 32), (128, 3, 3), 918_340),
    ("allcnnc", "allcnnc", {}, (3, 32, 32), None, 1_387_108),
    ("mlp", "mlp", {}, (1, 28, 28), None, 1_336_610),
    ("logreg", "logreg", {}, (1, 28, 28), None, 7_850),
    ("wrn_16_4", "wrn164", {}, (3, 32, 32), None, 2_748_890),
]


def build(name, given, norm_layer=None):
    """Return a registered network as plain torch."""
    network = CATALOGUE.get(Network, name)
    sites = Sites.of(norm_layer)
    values = checked(network.parameters, given, name)
    return describe_network(network.load()(sites, **values), sites, name)


def copied(theirs: nn.Module, ours: nn.Module, maps: tuple[int, int, int] | None) -> None:
    """Give *ours* the values of *theirs*, those of one shape in the order of their layers."""
    values = _by_shape(theirs)
    for shape, targets in _by_shape(ours).items():
        for target, value in zip(targets, values[shape], strict=True):
            new = value.detach()
            if maps is not None and new.ndim == 2 and shape[1] == torch.Size(maps).numel():
                new = new.view(len(new), *maps).permute(0, 2, 3, 1).reshape(shape)
            target.data.copy_(new)


def _by_shape(network: nn.Module) -> dict[torch.Size, list[nn.Parameter]]:
    found: dict[torch.Size, list[nn.Parameter]] = {}
    for parameter in network.parameters():
        found.setdefault(parameter.shape, []).append(parameter)
    return found


def pad_as_tensorflow(network: nn.Module) -> None:
    """Pad before strided convolutions right and below, where the paper's code pads left and above.

    It is the one difference between our wide residual networks and DeepOBS's.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2) and layer.padding == (1, 1):
            layer.padding = (0, 0)
            layer.register_forward_pre_hook(lambda _, inputs: F.pad(inputs[0], (0, 1, 0, 1)))


@pytest.mark.parametrize(("ours", "theirs", "given", "shape", "maps", "count"), PAIRS)
def test_parameter_counts_agree(ours, theirs, given, shape, maps, count):
    """Both networks have the published number of parameters."""
    assert count == build(f"deepobs:{theirs}", given).parameter_count
    norm_layer = nn.BatchNorm2d if ours.startswith("wrn") else None
    assert count == build(ours, given, norm_layer).parameter_count


@pytest.mark.parametrize(("ours", "theirs", "given", "shape", "maps", "count"), PAIRS)
def test_outputs_agree_at_equal_weights(ours, theirs, given, shape, maps, count):
    """In evaluation mode, with the weights of one in the other, the logits are the same."""
    torch.manual_seed(0)
    norm_layer = nn.BatchNorm2d if theirs.startswith("wrn") else None
    mine = build(ours, given, norm_layer).network.double().eval()
    original = build(f"deepobs:{theirs}", given).network.double().eval()
    for parameter in original.parameters():
        nn.init.normal_(parameter, std=0.05 if parameter.ndim > 1 else 1.0)
    copied(original, mine, maps)
    if theirs.startswith("wrn"):
        pad_as_tensorflow(mine)
    images = torch.randn(2, *shape, dtype=torch.float64)

    torch.testing.assert_close(mine(images), original(images), rtol=1e-9, atol=1e-9)


def test_encoders_agree_at_equal_weights():
    """Both autoencoders have as many parameters, and encode an image to the same latent values."""
    torch.manual_seed(0)
    theirs = originals().net_vae(8).double().eval()
    ours = build("vae", {}).network.double().eval()
    assert 10_151_489 == sum(parameter.numel() for parameter in theirs.parameters())
    assert 10_151_489 == sum(parameter.numel() for parameter in ours.parameters())
    copied(theirs, ours, (64, 7, 7))
    images = torch.rand(2, 1, 28, 28, dtype=torch.float64)

    for mine, original in zip(ours(images)[1:], theirs(images)[1:], strict=True):
        torch.testing.assert_close(mine, original, rtol=1e-10, atol=1e-12)


def test_original_keeps_its_own_initial_values():
    """Built by the harness, the biases start where DeepOBS puts them, and seeds differ."""
    problem = "deepobs:fmnist_2c2d"
    specs = resolve(Request(problem=problem, optimizer="sgd", seeds=2), CATALOGUE)
    networks = [build_network(spec, CATALOGUE).network for spec in (*specs, specs[0])]
    first, second, again = (network.conv1[-1].weight for network in networks)

    assert {0.05} == {round(value, 6) for value in networks[0].dense1.bias.tolist()}
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert first.abs().max() <= 0.1


@pytest.mark.parametrize("name", [n for n in CATALOGUE.names(Problem) if n.startswith("deepobs:")])
def test_problem_takes_channels_last_images(name):
    """Every original network takes images as the engine lays them out, and gives its classes."""
    problem = CATALOGUE.get(Problem, name)
    network = build(problem.network, problem.network_parameters).network
    shape = (1, 28, 28) if "mnist" in name else (3, 32, 32)
    images = torch.randn(2, *shape).to(memory_format=torch.channels_last)
    classes = 100 if "cifar100" in name else 10

    network.to(memory_format=torch.channels_last)
    assert (2, classes) == network(images).shape
