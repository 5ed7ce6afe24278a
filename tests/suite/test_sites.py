"""Sites are numbered in forward order, masks address them, and every parameter has a role."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench import Ablation, Fitting, PluginError, Sites, UsageError
from normbench.initial_values import initialise
from normbench.roles import Invariance, Role, apply_ablation, describe_network, parameter_groups


class Net(nn.Module):
    """Two convolutions and a dense layer, each feeding a site."""

    def __init__(self, sites: Sites, bias: str = "unless_centred") -> None:
        super().__init__()
        sites.with_bias(bias)
        self.first = nn.Conv2d(1, 4, 3)
        self.norm1, self.relu1 = sites.after(self.first, nn.ReLU())
        self.second = nn.Conv2d(4, 8, 3)
        self.norm2, self.relu2 = sites.after(self.second)
        self.dense = nn.Linear(8, 6)
        self.norm3, self.relu3 = sites.after(self.dense, nn.ReLU())
        self.out = nn.Linear(6, 2)


def batch_norm(groups=None, kinds=("conv", "dense"), mask=None, centres=True):
    """Return sites that carry torch's batch norm."""

    def fit(site):
        norm = nn.BatchNorm2d if site.kind == "conv" else nn.BatchNorm1d
        return Fitting(norm=norm(site.features), groups=groups or site.features)

    return Sites(fit, mask=mask, centres=centres, norm_name="bn", kinds=kinds)


def build(sites, **parameters):
    """Return the described network of *sites*."""
    return describe_network(Net(sites, **parameters), sites, "problem net")


def test_sites_are_numbered_in_forward_order():
    """Each site knows its number, kind, width, feeding layer and norm."""
    built = build(batch_norm())

    assert [
        (0, "conv", 4, "first", "norm1"),
        (1, "conv", 8, "second", "norm2"),
        (2, "dense", 6, "dense", "norm3"),
    ] == [(s.index, s.kind, s.features, s.layer, s.norm) for s in built.sites]


def test_mask_decides_which_sites_carry_the_norm():
    """A zero leaves an identity and the bias of the layer before it."""
    built = build(batch_norm(mask=(0, 1, 0)))

    assert ["", "norm2", ""] == [site.norm for site in built.sites]
    assert isinstance(built.network.norm1, nn.Identity)
    assert built.network.first.bias is not None
    assert built.network.second.bias is None


def test_mask_of_the_wrong_length_names_the_right_one():
    """The error says how many digits there were and gives a mask that works."""
    with pytest.raises(UsageError, match=r"has 2 digits, but .* has 3 norm sites.*1,1,1"):
        build(batch_norm(mask=(1, 1)))


def test_unsupported_site_is_answered_with_a_mask_that_works():
    """A norm for convolutions alone cannot sit behind a dense layer."""
    with pytest.raises(UsageError, match=r"does not support site 2 \(dense\).*--sites 1,1,0"):
        build(batch_norm(kinds=("conv",)))


def test_norm_on_a_network_without_sites_is_refused():
    """There is nowhere to put it."""
    with pytest.raises(UsageError, match="has no norm sites"):
        describe_network(nn.Linear(2, 2), batch_norm(), "problem plain")


@pytest.mark.parametrize(
    ("policy", "centres", "kept"),
    [
        ("unless_centred", True, (False, False, False)),
        ("unless_centred", False, (True, True, True)),
        ("unless_centred_dense", True, (True, True, False)),
        ("always", True, (True, True, True)),
        ("never", False, (False, False, False)),
        ("weight_norms_only", True, (False, False, False)),
    ],
)
def test_bias_policy_decides_which_layers_keep_their_bias(policy, centres, kept):
    """The last layer feeds no site and keeps its bias always."""
    network = build(batch_norm(centres=centres), bias=policy).network

    assert kept == tuple(
        layer.bias is not None for layer in (network.first, network.second, network.dense)
    )
    assert network.out.bias is not None


def test_unknown_bias_policy_is_refused():
    """The error lists the policies."""
    with pytest.raises(UsageError, match=r"bias=sometimes.*unless_centred"):
        build(Sites(), bias="sometimes")


def test_roles_follow_from_construction():
    """Weights, biases, scales and shifts are told apart by module type."""
    roles = {info.name: info.role for info in build(batch_norm()).parameters}

    assert Role.WEIGHT == roles["first.weight"]
    assert Role.NORM_SCALE == roles["norm3.weight"]
    assert Role.NORM_SHIFT == roles["norm3.bias"]
    assert Role.BIAS == roles["out.bias"]


def test_parameter_without_a_role_is_an_error_for_its_author():
    """The message gives the attribute to add."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = nn.Parameter(torch.ones(3))

    with pytest.raises(PluginError, match=r"'slope' of Odd has no role.*parameter_roles"):
        describe_network(Odd(), Sites(), "problem odd")


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (None, Invariance((8, 1, 4, 3, 3), (0,))),
        (2, Invariance((2, 4, 4, 3, 3), (0,))),
        (1, Invariance((1, 8, 4, 3, 3), (0,))),
    ],
)
def test_weight_knows_its_scale_invariance(groups, expected):
    """Each group of output channels that a norm rescales together is one sphere."""
    infos = {info.name: info for info in build(batch_norm(groups)).parameters}

    assert expected == infos["second.weight"].invariance
    assert infos["out.weight"].invariance is None


def test_bias_breaks_the_invariance_of_groups():
    """With a bias left before a group norm, rescaling the weight changes the output."""
    infos = {info.name: info for info in build(batch_norm(2), bias="always").parameters}

    assert infos["second.weight"].invariance is None


def test_shared_layers_start_equal_whatever_the_norm():
    """Initial values are keyed by the layer's name and the seed alone."""
    plain, normed = build(Sites()).network, build(batch_norm()).network
    initialise(plain, 3)
    before = torch.random.get_rng_state()
    initialise(normed, 3)

    shared = set(dict(plain.named_parameters())) & set(dict(normed.named_parameters()))
    assert {"first.weight", "second.weight", "dense.weight", "out.weight", "out.bias"} == shared
    for name in shared:
        assert torch.equal(plain.get_parameter(name), normed.get_parameter(name))
    assert torch.equal(before, torch.random.get_rng_state())


def test_other_seed_gives_other_values():
    """Two seeds share no initial weight."""
    one, two = build(Sites()).network, build(Sites()).network
    initialise(one, 0)
    initialise(two, 1)

    assert not torch.equal(one.first.weight, two.first.weight)


@pytest.mark.parametrize(
    ("train", "scale", "shift"),
    [
        ("trained", True, True),
        ("fixed", False, False),
        ("fixed_gamma", False, True),
        ("fixed_beta", True, False),
    ],
)
def test_ablation_fixes_what_it_says(train, scale, shift):
    """Fixed parameters keep their start and take no gradient."""
    built = build(batch_norm())
    apply_ablation(built, Ablation(train=train, scale_init=0.25))

    norm = built.network.norm1
    assert (scale, shift) == (norm.weight.requires_grad, norm.bias.requires_grad)
    assert torch.equal(torch.full((4,), 0.25), norm.weight.detach())


def test_groups_decay_weights_alone_and_slow_the_scale():
    """One group a role; weight decay on weights, the divisor on γ."""
    built = build(batch_norm())
    ablation = Ablation(scale_lr_divisor=10.0)
    groups = parameter_groups(built.parameters, lr=0.5, weight_decay=0.01, ablation=ablation)

    found = {group["role"]: (group["lr"], group["weight_decay"]) for group in groups}
    assert {
        "weight": (0.5, 0.01),
        "bias": (0.5, 0.0),
        "norm_scale": (0.05, 0.0),
        "norm_shift": (0.5, 0.0),
    } == found


class PreActivated(nn.Module):
    """A convolution, and a site that it feeds but that belongs to the convolution behind."""

    def __init__(self, sites: Sites, bias: str = "unless_centred") -> None:
        super().__init__()
        sites.with_bias(bias)
        self.first = nn.Conv2d(1, 4, 3)
        self.second = nn.Conv2d(4, 8, 3)
        self.norm, self.relu = sites.before(
            4, "conv", nn.ReLU(), feeds=self.second, fed_by=self.first
        )


def test_layer_before_a_pre_activation_site_is_scale_invariant():
    """The norm makes the weight of the layer that feeds it invariant, not that of the next."""
    sites = batch_norm()
    built = describe_network(PreActivated(sites), sites, "network pre")

    invariances = {info.name: info.invariance for info in built.parameters}

    assert Invariance((4, 1, 1, 3, 3), (0,)) == invariances["first.weight"]
    assert invariances["second.weight"] is None
    assert "first" == built.sites[0].layer


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("unless_centred", (False, True)),
        ("always", (True, True)),
        ("never", (False, False)),
        ("weight_norms_only", (False, False)),
    ],
)
def test_bias_policy_at_a_pre_activation_site(policy, kept):
    """A centring norm makes the bias before it redundant, never the one behind it."""
    network = PreActivated(batch_norm(), policy)
    assert kept == (network.first.bias is not None, network.second.bias is not None)
