"""Fixtures for the tests of problems: networks built as the harness builds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from normbench.parameters import checked
from normbench.roles import Built, describe_network
from normbench.sites import Sites
from normbench_plugins.norms.table import NORMS
from normbench_problems.networks.table import NETWORKS

Build = Callable[..., Built]


@pytest.fixture(scope="session")
def build() -> Build:
    """Return ``build(network, norm, mask, **parameters)``; mask ``conv`` takes conv sites only."""

    def build_network(
        name: str, norm: str = "none", mask: Sequence[int] | str | None = None, **given: Any
    ) -> Built:
        network = next(network for network in NETWORKS if network.name == name)
        chosen = next(candidate for candidate in NORMS if candidate.name == norm)
        if mask == "conv":
            described = build_network(name, **given)
            mask = [int(site.kind == "conv") for site in described.sites]
        sites = Sites.for_norm(chosen, checked(chosen.parameters, {}, norm), mask)
        parameters = checked(network.parameters, given, name)
        return describe_network(network.load()(sites, **parameters), sites, name)

    return build_network
