"""From a spec to a network: sites fitted, values drawn, ablation applied."""

from __future__ import annotations

import torch

from normbench.descriptions import Network, Norm
from normbench.errors import UsageError
from normbench.initial_values import initialise
from normbench.plugins import Catalogue
from normbench.roles import Built, apply_ablation, describe_network
from normbench.sites import Sites
from normbench.specs import RunSpec
from normbench.streams import stream_seed


def build_network(spec: RunSpec, catalogue: Catalogue) -> Built:
    """Build the network of *spec* on the CPU with its initial values.

    The global random state is left as it was.

    Raises:
        UsageError: If the norm, the mask or a parameter does not fit the network.
    """
    norm = catalogue.get(Norm, spec.norm.name)
    network = catalogue.get(Network, spec.problem.network.name)
    sites = Sites.for_norm(norm, spec.norm.parameters, spec.ablation.sites)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(spec.seed, "init"))
        try:
            module = network.load()(sites, **spec.problem.network.parameters)
        except TypeError as error:
            raise UsageError(
                f"network {network.name!r} could not be built with "
                f"{dict(spec.problem.network.parameters)}: {error}."
            ) from error
    built = describe_network(module, sites, f"problem {spec.problem.name}")
    initialise(built.network, spec.seed)
    apply_ablation(built, spec.ablation)
    return built
