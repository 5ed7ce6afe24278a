"""Swapping the norm leaves everything else bit-identical: the ground of every paired test."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from normbench import Data, Dataset, Network, Norm, Part, Problem, Sites, UsageError
from normbench.engine.session import assemble
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
# Deeper ones of the same kind take long and show no more.
MOST_PARAMETERS, MOST_LAYERS = 1_500_000, 150


def is_small(problem) -> bool:
    """Return whether the network without norm can be drawn for every norm."""
    network = CATALOGUE.get(Network, problem.network)
    with torch.device("meta"):
        module = network.load()(Sites(), **network_values(problem))
    count = sum(parameter.numel() for parameter in module.parameters())
    return count <= MOST_PARAMETERS and len(list(module.modules())) <= MOST_LAYERS


def network_values(problem):
    """Return the parameters of a problem's network."""
    return resolve(Request(problem=problem.name, optimizer="sgd"), CATALOGUE)[
        0
    ].problem.network.parameters


def one_of_each_network() -> list[str]:
    """Return a problem for each network that is not too large to draw for every norm."""
    offers = [
        offer.component for offer in CATALOGUE.offers(Problem) if ":" not in offer.component.name
    ]
    found = {each.network: each for each in reversed(offers) if not each.base}
    return [each.name for each in found.values() if is_small(each)]


PROBLEMS = one_of_each_network()
NORMS = [name for name in CATALOGUE.names(Norm) if name != "none" and ":" not in name]


def spec(problem, norm):
    """Return one run."""
    return resolve(Request(problem=problem, optimizer="sgd", norm=norm, seeds=[5]), CATALOGUE)[0]


def supported(problem, norm):
    """Return a session with *norm* at every site that supports it, or None if there is none."""
    try:
        return _session(spec(problem, norm))
    except UsageError as error:
        mask = str(error).rpartition("--sites ")[2].rstrip(".")
        if "--sites " not in str(error):
            return None
        sites = tuple(int(bit) for bit in mask.split(","))
        request = Request(problem=problem, optimizer="sgd", norm=norm, sites=sites, seeds=[5])
        return _session(resolve(request, CATALOGUE)[0])


@pytest.mark.parametrize("problem", PROBLEMS)
def test_norms_share_all_other_parameters_order_and_augmentation(problem):
    """Whatever the norm: the other parameters start, and batches of an epoch are, the same bits."""
    plain = _session(spec(problem, "none"))
    weights, batch = dict(plain.network.named_parameters()), _batch(plain)
    compared = 0
    for session in filter(None, (supported(problem, norm) for norm in NORMS)):
        norm = session.spec.norm.name
        for info in session.built.parameters:
            if not info.role.startswith("norm"):
                name = info.name.replace(".parametrizations.weight.original", ".weight")
                assert torch.equal(weights[name], info.parameter), (norm, info.name)
                compared += 1
        other = _batch(session)
        assert torch.equal(batch.inputs, other.inputs), norm
        assert torch.equal(batch.targets, other.targets), norm
    assert compared > 0 or not plain.built.sites


def _session(run):
    dataset = CATALOGUE.get(Dataset, run.problem.dataset.name)
    return assemble(run, CATALOGUE, _data(dataset, run.problem.training.batch_size), CPU)


def _batch(session):
    session.source.start_epoch(3)
    return session.source.batch(torch.tensor(0), 16)


def _data(dataset, batch_size):
    generator = np.random.default_rng(0)
    count = 2 * batch_size
    if dataset.content == "images":
        inputs = generator.integers(0, 256, (count, *dataset.shape), dtype=np.uint8)
    elif dataset.content == "tokens":
        count *= 2 * dataset.shape[0]
        inputs = generator.integers(0, dataset.classes, count)
    else:
        inputs = generator.normal(size=(count, *dataset.shape)).astype(np.float32)
    targets = np.arange(count, dtype=np.int64) % max(dataset.classes, 1)
    return Data(Part(inputs, targets), Part(inputs[:8], targets[:8]))
