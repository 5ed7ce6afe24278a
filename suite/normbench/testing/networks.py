"""Checks of networks: norm sites, roles, and initial values that pair."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import nn

from normbench.descriptions import Network, Norm
from normbench.errors import UsageError
from normbench.initial_values import initialise
from normbench.parameters import Value, defaults
from normbench.roles import Built, describe_network
from normbench.sites import Sites
from normbench.testing import ranges
from normbench.testing.checking import Check, ContractError, Finding, findings, require
from normbench.testing.stand_ins import NOTHING, OVER_BATCH, STAND_INS


def build(
    network: Network,
    norm: Norm,
    parameters: Mapping[str, Value] | None = None,
    mask: Sequence[int] | None = None,
) -> Built:
    """Return *network* with *norm* at its sites, or at those of *mask*."""
    sites = Sites.for_norm(norm, defaults(norm.parameters), mask)
    values = {**defaults(network.parameters), **(parameters or {})}
    module = network.load()(sites, **values)
    if not isinstance(module, nn.Module):
        raise ContractError(
            f"the factory returned {type(module).__name__}.",
            "a torch.nn.Module.",
            "return the network itself.",
        )
    return describe_network(module, sites, f"network {network.name}")


def started(network: Network, norm: Norm, parameters: Mapping[str, Value] | None = None) -> Built:
    """Return *network* with *norm* at its sites, and the initial values of seed 0."""
    built = build(network, norm, parameters)
    initialise(built.network, 0)
    return built


def takes_any_norm(network: Network) -> str | None:
    """It builds with no norm, batch norm and group norm, and every parameter has a role."""
    if not build(network, NOTHING).sites:
        return "it has no norm sites"
    for norm in STAND_INS:
        built = build(network, norm)
        require(
            norm is NOTHING or all(site.norm for site in built.sites),
            f"with {norm.name} some sites hold no module of the network: "
            f"{[site.index for site in built.sites if not site.norm]}.",
            "every norm that the sites hand out is part of the network.",
            "assign both modules that sites.after(...) returns to attributes, and use them.",
        )
    return None


def numbers_its_sites(network: Network) -> str | None:
    """A mask of the wrong length is refused, and a mask of zeros is the network without norm."""
    plain = build(network, NOTHING)
    count = len(plain.sites)
    if not count:
        return "it has no norm sites"
    try:
        build(network, OVER_BATCH, mask=[1] * (count + 1))
    except UsageError:
        pass
    else:
        raise ContractError(
            f"a mask of {count + 1} digits is accepted for {count} sites.",
            "a UsageError with the right length, which the sites raise.",
            "ask the Sites that the factory is given for every norm, and keep none of your own.",
        )
    masked = build(network, OVER_BATCH, mask=[0] * count)
    require(
        masked.parameter_count == plain.parameter_count,
        f"with all sites masked it has {masked.parameter_count} parameters, with no norm "
        f"{plain.parameter_count}.",
        "the same network.",
        "take norms from the sites alone.",
    )
    return None


def starts_from_the_seed_alone(network: Network) -> None:
    """Initial values depend on the seed alone, and a norm leaves all shared ones as they are."""
    first = started(network, NOTHING)
    for norm in (NOTHING, OVER_BATCH) if first.sites else (NOTHING,):
        torch.rand(7)
        again = started(network, norm)
        there = dict(again.network.named_parameters())
        moved = [
            info.name
            for info in first.parameters
            if info.name in there and not torch.equal(info.parameter, there[info.name])
        ]
        require(
            not moved,
            f"with the same seed these start with other values: {', '.join(moved[:5])}.",
            "initial values that depend on seed and layer name, so that runs pair.",
            "draw them in reset_parameters() of each layer or in the network's "
            "initialise(layer), never in forward or from torch's state at construction.",
        )


NETWORK_CHECKS: tuple[Check[Network], ...] = (
    Check(ranges.describes_itself),
    Check(ranges.takes_its_parameters),
    Check(takes_any_norm),
    Check(numbers_its_sites),
    Check(starts_from_the_seed_alone),
)


def network_checks() -> tuple[Check[Network], ...]:
    """Return all checks of networks, to call with a :class:`normbench.Network`."""
    return NETWORK_CHECKS


def check_network(network: Network, *, skip: Collection[str] = ()) -> list[Finding]:
    """Return what every check makes of *network* at its default parameters.

    Raises:
        UsageError: If a name to skip is none of the checks'.
    """
    return findings(NETWORK_CHECKS, network, network.kind, network.name, skip)
