"""``normbench.parameter_groups``: roles and scale invariances of a network without the harness."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from functools import partial

import pytest
import torch
from torch import nn

import normbench
from normbench import Ablation, PluginError, Sites, UsageError
from normbench.roles import describe_network
from normbench.roles import parameter_groups as groups_of_roles
from normbench_plugins.norms import BatchNorm, GroupNorm, LayerNorm
from normbench_plugins.optimizers import AdamSRT
from normbench_problems import resnet20

NORMS = {
    "BatchNorm": (partial(BatchNorm, scale_init=0.1), 16),
    "GroupNorm": (partial(GroupNorm, num_groups=4), 4),
    "LayerNorm": (LayerNorm, 1),
    "torch's BatchNorm2d": (nn.BatchNorm2d, 16),
    "torch's InstanceNorm2d": (partial(nn.InstanceNorm2d, affine=True), 16),
    "torch's GroupNorm": (partial(nn.GroupNorm, 2), 2),
}


def small_network(norm_layer):
    """Return a convolution, a norm and a dense layer."""
    sites = Sites.of(norm_layer)
    layer = nn.Conv2d(3, 16, 3)
    return nn.Sequential(layer, *sites.after(layer, nn.ReLU()), nn.Flatten(), nn.Linear(16, 2))


@pytest.mark.parametrize("name", NORMS)
def test_weights_carry_their_norms_invariance(name):
    """A convolution's weight may be rescaled in as many groups as its norm leaves free."""
    norm_layer, groups = NORMS[name]

    weights = normbench.parameter_groups(small_network(norm_layer))[0]

    assert "weight" == weights["role"]
    assert [((groups, 16 // groups, 3, 3, 3), (0,)), None] == weights["invariances"]


def test_groups_are_those_of_the_harness():
    """A network described by its sites gives the same groups."""
    sites = Sites.of(partial(GroupNorm, num_groups=4))
    layer = nn.Conv2d(3, 16, 3)
    network = nn.Sequential(layer, *sites.after(layer, nn.ReLU()), nn.Flatten(), nn.Linear(16, 2))
    built = describe_network(network, sites, "a test network")

    expected = groups_of_roles(
        built.parameters, lr=0.1, weight_decay=0.01, ablation=Ablation(scale_lr_divisor=5.0)
    )

    assert expected == normbench.parameter_groups(
        network, lr=0.1, weight_decay=0.01, scale_lr_divisor=5.0
    )


def test_decay_reaches_weights_alone():
    """Weights get the coefficient, all other roles 0, and no learning rate unless one is given."""
    groups = normbench.parameter_groups(small_network(BatchNorm), weight_decay=5e-4)

    assert {"weight": 5e-4, "bias": 0.0, "norm_scale": 0.0, "norm_shift": 0.0} == {
        group["role"]: group["weight_decay"] for group in groups
    }
    assert not any("lr" in group for group in groups)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])  # noqa: S301
def test_invariances_survive_copies_and_a_larger_network(duplicate):
    """A copied or pickled network inside another one still knows what follows its layers."""
    network = nn.Sequential(nn.Identity(), duplicate(small_network(BatchNorm)))

    weights = normbench.parameter_groups(network)[0]

    assert ((16, 1, 3, 3, 3), (0,)) == weights["invariances"][0]


def test_trains_a_network_on_spheres():
    """AdamSRT over a plain ResNet-20 leaves the dense layer element-wise, and moves all weights."""
    network = resnet20(norm_layer=partial(BatchNorm, scale_init=0.1))
    groups = normbench.parameter_groups(network, weight_decay=5e-4)
    optimizer = AdamSRT(groups, lr=1e-3)
    before = [parameter.detach().clone() for parameter in network.parameters()]

    network(torch.randn(4, 3, 32, 32)).logsumexp(1).sum().backward()
    optimizer.step()

    assert (16, 1, 1, 1) == tuple(optimizer.state[network.stem.weight]["exp_avg_sq"].shape)
    assert (10, 64) == tuple(optimizer.state[network.dense.weight]["exp_avg_sq"].shape)
    assert 21 == sum(one is not None for one in groups[0]["invariances"])
    assert not any(map(torch.equal, before, network.parameters()))


def test_parameters_without_gradient_are_left_out():
    """What does not train is in no group; nothing left to train is an error."""
    network = small_network(BatchNorm)
    network[1].weight.requires_grad_(False)
    roles = [group["role"] for group in normbench.parameter_groups(network)]
    assert "norm_scale" not in roles

    with pytest.raises(UsageError, match="no parameter that needs a gradient"):
        normbench.parameter_groups(network.requires_grad_(False))


def test_network_that_knows_no_sites_warns():
    """Norms that no layer knows of would leave optimizers on spheres element-wise in silence."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    with pytest.warns(UserWarning, match="no layer of Sequential says which norm follows it"):
        groups = normbench.parameter_groups(network)

    assert [None] == groups[0]["invariances"]


def test_network_without_norms_does_not_warn():
    """Where there is no norm there is nothing to know."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        groups = normbench.parameter_groups(nn.Linear(2, 3))

    assert ["weight", "bias"] == [group["role"] for group in groups]


def test_divisor_needs_a_learning_rate():
    """A divided learning rate cannot be written without one."""
    with pytest.raises(UsageError, match=r"scale_lr_divisor=100.0 without lr"):
        normbench.parameter_groups(small_network(BatchNorm), scale_lr_divisor=100.0)


def test_parameter_without_a_role_is_refused():
    """A module of unknown type must say what its parameters are for."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.knob = nn.Parameter(torch.ones(1))

    with pytest.raises(PluginError, match=r"'0.knob' of Odd has no role"):
        normbench.parameter_groups(nn.Sequential(Odd()))


def test_optimizers_are_listed_without_torch():
    """The package of optimizers imports torch only when a class is asked for."""
    program = (
        "import sys, normbench_plugins.optimizers as o; before = 'torch' in sys.modules; "
        "o.AdamSRT; print(before, 'torch' in sys.modules)"
    )

    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout

    assert "False True" == output.strip()
