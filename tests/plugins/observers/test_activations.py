"""Activations are measured as the source defines it, through hooks on the copy."""

from __future__ import annotations

import math
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench import Batch, Classification, Fitting, Scores, Sites, View
from normbench.roles import describe_network
from normbench_plugins.observers.activations import Activations, activation_values, channel_std


def golden_input():
    """Return x_k = sin(k) + 0.25·cos(0.37k) as (4, 8, 4, 4) in float64."""
    k = torch.arange(512, dtype=torch.float64)
    return (torch.sin(k) + 0.25 * torch.cos(0.37 * k)).view(4, 8, 4, 4)


def make_view(network, inputs, task, sites=None):
    """Return a view of *network* on a batch that is given."""
    built = describe_network(network, sites or Sites(), "a test")
    return View(
        epoch=0.0,
        step=0,
        built=built,
        task=task,
        batch=lambda: Batch(inputs, torch.arange(len(inputs)) % 2),
        device=torch.device("cpu"),
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        learning_rates=[0.1],
        learning_rate_factor=1.0,
        precision=nullcontext(),
        seed=0,
    )


class MeanSquare(Classification):
    """mean(y²), the loss of the golden values."""

    def __call__(self, network, batch, state):
        """Return the loss, and no metrics."""
        return Scores(network(batch.inputs).square().mean(), torch.zeros(2), state)


class Flat(nn.Sequential):
    """A chain whose output is flattened."""

    def forward(self, inputs):
        """Return (N, everything else)."""
        return super().forward(inputs).flatten(1)


def identity_convolution():
    """Return a 1×1 convolution that changes nothing, in float64."""
    layer = nn.Conv2d(8, 8, 1, bias=False, dtype=torch.float64)
    nn.init.dirac_(layer.weight)
    return layer


def test_golden_values_of_the_source():
    """A convolution's output x, behind it y = ReLU(x), and the loss mean(y²), in float64."""
    network = Flat(identity_convolution(), nn.ReLU())
    seen = Activations().observe(make_view(network, golden_input(), MeanSquare()))

    expected = {
        "output_std": 0.7353988607,
        "gradient_norm": 0.0458255875,
        "activation_variance": 0.1646140803,
        "cosine_similarity": 0.2545249717,
        "stable_rank": 2.1117747265,
    }
    for name, value in expected.items():
        assert [value] == pytest.approx(seen[name].tolist(), abs=5e-11)


def test_values_follow_their_formulas():
    """Each number equals the one that its formula gives without hooks."""
    y = torch.relu(golden_input())
    rows = y.flatten(1)
    cosines = [
        F.cosine_similarity(rows[i], rows[j], dim=0) for i in range(4) for j in range(4) if i != j
    ]
    directions = rows / rows.norm(dim=1, keepdim=True)
    rank = directions.norm() ** 2 / torch.linalg.matrix_norm(directions, 2) ** 2
    expected = (
        torch.stack([y[:, c].var() for c in range(8)]).mean(),
        rows.norm(dim=1).mean(),
        torch.stack(cosines).mean(),
        rank,
    )

    assert torch.allclose(torch.stack(expected), activation_values(y), rtol=1e-12)
    stds = torch.stack([y[:, c].std() for c in range(8)])
    assert torch.allclose(stds, channel_std(y), rtol=1e-12)


def test_example_without_any_activation_has_no_direction():
    """Its cosines are 0 and the rank counts the others; of nothing at all the rank is 0."""
    y = torch.zeros(4, 8, 2, 2, dtype=torch.float64)
    y[:3] = torch.rand(3, 8, 2, 2, dtype=torch.float64)
    alone = activation_values(y[:3])

    assert torch.isfinite(activation_values(y)).all()
    assert activation_values(y)[2] == pytest.approx(alone[2].item() * 6 / 12, rel=1e-12)
    assert activation_values(y)[3] == pytest.approx(alone[3].item(), rel=1e-12)
    assert [0.0] * 4 == activation_values(torch.zeros(4, 8, 2, 2)).tolist()


def test_overflowing_network_gives_no_numbers():
    """Values that are not finite give NaN, not an exception."""
    values = activation_values(torch.full((4, 2, 3, 3), math.inf))

    assert torch.isnan(values[2:]).all()


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.Identity])
@pytest.mark.parametrize("inplace", [False, True])
def test_layer_outputs_are_those_before_norm_and_activation(inplace, norm):
    """An activation that works in place spoils neither spread nor gradient of the layer."""
    torch.manual_seed(0)
    network = Flat(nn.Conv2d(3, 2, 3), norm(2), nn.ReLU(inplace), nn.Conv2d(2, 2, 3))
    inputs = torch.randn(6, 3, 5, 5)
    seen = Activations().observe(make_view(network, inputs, Classification()))
    outputs = network[0](inputs)
    outputs.retain_grad()
    logits = network[3](torch.relu(network[1](outputs))).flatten(1)
    F.cross_entropy(logits, torch.arange(6) % 2).backward()

    assert ["0", "3"] == seen["layer_name"].tolist()
    assert torch.allclose(outputs.std((0, 2, 3)), seen["channel_std"][:2], rtol=1e-5)
    assert outputs.grad.norm().item() == pytest.approx(seen["gradient_norm"][0].item(), rel=1e-4)
    assert [0, 0, 1, 1] == seen["channel_layer"].tolist()


def test_dense_and_sequence_layers_have_their_channels_last():
    """A linear layer's channels are its last dimension, over sequences too."""
    torch.manual_seed(0)
    network = Flat(nn.Linear(4, 3), nn.Tanh())
    inputs = torch.randn(5, 7, 4)
    seen = Activations().observe(make_view(network, inputs, Classification()))
    outputs = network[0](inputs)

    assert torch.allclose(outputs.reshape(-1, 3).std(0), seen["channel_std"], rtol=1e-5)
    variance = torch.tanh(outputs).reshape(-1, 3).var(0).mean()
    assert variance.item() == pytest.approx(seen["activation_variance"][0].item(), rel=1e-5)


def test_activation_that_a_norm_brings_is_looked_at():
    """What follows a site is the activation, whichever module gives it."""
    sites = Sites(lambda site: Fitting(norm=nn.ReLU6(), activation=nn.Identity()))
    layer = nn.Linear(4, 3)
    network = Flat(layer, *sites.after(layer, nn.ReLU()))
    seen = Activations().observe(make_view(network, torch.randn(5, 4), Classification(), sites))

    assert ["1", "2"] == seen["activation_name"].tolist()
    assert [-1, 0] == seen["activation_site"].tolist()


def test_residual_network_is_seen_whole(observe):
    """The source's ResNet-56 has 57 convolutions, shortcuts included, and 55 activations."""
    moments = observe("activations:batch_size=2", "cifar100_resnet56_wide", train=False)

    names = moments.fixed["layer_name"].tolist()
    assert 57 == sum("dense" not in name for name in names) == len(names) - 1
    assert [-1, *range(57)] == sorted(moments.fixed["layer_site"])
    assert 55 == len(moments.fixed["activation_name"])
    assert (moments.arrays["gradient_norm"][0] > 0).all()
