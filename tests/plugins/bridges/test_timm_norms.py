"""timm's norms at norm sites: in place of norm and activation, with roles, and as ours compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench import Norm, Sites
from normbench.parameters import checked
from normbench.plugins import load_catalogue
from normbench.roles import describe_network

pytest.importorskip("timm", reason="timm is not installed")
CATALOGUE = load_catalogue()
NORMS = [o.component for o in CATALOGUE.offers(Norm) if o.component.name.startswith("timm:")]
over_norms = pytest.mark.parametrize("norm", NORMS, ids=lambda norm: norm.name)


def place(norm, *, activation=True, **given):
    """Return a convolution with *norm* behind it."""
    torch.manual_seed(0)
    sites = Sites.for_norm(norm, checked(norm.parameters, given, norm.name))
    layer = nn.Conv2d(3, 16, 3)
    pair = sites.after(layer, nn.ReLU() if activation else None)
    return describe_network(nn.Sequential(layer, *pair), sites, "a test network")


@over_norms
def test_norm_trains_at_a_site(norm):
    """Forward and backward are finite, and every parameter has a role."""
    built = place(norm)
    inputs = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    built.network(inputs).square().mean().backward()

    roles = [info.role.value for info in built.parameters]
    assert roles[0] == "weight"
    assert "norm_scale" in roles
    assert all(info.parameter.grad.isfinite().all() for info in built.parameters)


@over_norms
def test_own_nonlinearity_replaces_the_activation_alone(norm):
    """Where no activation follows at once, a norm brings none; else it takes its place."""
    own = norm.name.startswith(("timm:evonorm", "timm:filter"))
    following, plain = place(norm).network, place(norm, activation=False).network

    assert own == isinstance(following[2], nn.Identity)
    assert (own and following[1].apply_act) in (own, False)
    if own:
        assert not plain[1].apply_act


SHARED = {"evonorm_b0": {"eps": 1e-3}, "evonorm_s0": {"num_groups": 4}}


@pytest.mark.parametrize("name", SHARED)
def test_agrees_with_ours(name):
    """timm's layer and ours give the same numbers at the same parameters."""
    theirs = CATALOGUE.get(Norm, f"timm:{name}")
    ours = CATALOGUE.get(Norm, name)
    given = SHARED[name]
    known = {parameter.name for parameter in theirs.parameters}
    inputs = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    networks = [
        place(ours, **given).network,
        place(theirs, **{n: v for n, v in given.items() if n in known}).network,
    ]
    networks[1][0].load_state_dict(networks[0][0].state_dict(), strict=False)
    outputs = [network(inputs) for network in networks]

    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
