"""Fixtures for the tests of problems: networks built as the harness builds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch

from normbench.parameters import checked
from normbench.roles import Built, describe_network
from normbench.sites import Sites
from normbench_plugins.norms.table import normbench_norms
from normbench_problems.networks.table import NETWORKS

Build = Callable[..., Built]


@pytest.fixture(scope="session")
def build() -> Build:
    """Return ``build(network, norm, mask, norm_parameters=..., **parameters)``.

    Mask ``conv`` takes conv sites only.
    """

    def build_network(
        name: str,
        norm: str = "none",
        mask: Sequence[int] | str | None = None,
        *,
        norm_parameters: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> Built:
        network = next(network for network in NETWORKS if network.name == name)
        chosen = next(candidate for candidate in normbench_norms() if candidate.name == norm)
        if mask == "conv":
            described = build_network(name, **given)
            mask = [int(site.kind == "conv") for site in described.sites]
        sites = Sites.for_norm(
            chosen, checked(chosen.parameters, norm_parameters or {}, norm), mask
        )
        parameters = checked(network.parameters, given, name)
        return describe_network(network.load()(sites, **parameters), sites, name)

    return build_network


@pytest.fixture(scope="session")
def blueprint(build: Build) -> Build:
    """Return ``build`` on the meta device: shapes without numbers, at once for any size."""

    def build_without_numbers(*args: Any, **given: Any) -> Built:
        with torch.device("meta"):
            return build(*args, **given)

    return build_without_numbers
