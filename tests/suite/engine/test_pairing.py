"""Swapping the norm leaves everything else bit-identical: the ground of every paired test."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from normbench import Data, Dataset, Network, Norm, Part, Problem, Sites, UsageError
from normbench.build import build_network
from normbench.engine.session import assemble
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
MOST_PARAMETERS = 1_500_000


def parameter_count(problem) -> int:
    """Return the number of parameters without norm, drawing none."""
    network = CATALOGUE.get(Network, problem.network)
    with torch.device("meta"):
        module = network.load()(Sites(), **network_values(problem))
    return sum(parameter.numel() for parameter in module.parameters())


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
    return [each.name for each in found.values() if parameter_count(each) <= MOST_PARAMETERS]


PROBLEMS = one_of_each_network()
NORMS = [name for name in CATALOGUE.names(Norm) if name != "none" and ":" not in name]


def spec(problem, norm):
    """Return one run."""
    return resolve(Request(problem=problem, optimizer="sgd", norm=norm, seeds=[5]), CATALOGUE)[0]


def supported(problem, norm):
    """Return a run with *norm* at every site that supports it, or None if there is none."""
    try:
        run = spec(problem, norm)
        return run, build_network(run, CATALOGUE)
    except UsageError as error:
        mask = str(error).rpartition("--sites ")[2].rstrip(".")
        if "--sites " not in str(error):
            return None
        sites = tuple(int(bit) for bit in mask.split(","))
        request = Request(problem=problem, optimizer="sgd", norm=norm, sites=sites, seeds=[5])
        run = resolve(request, CATALOGUE)[0]
        return run, build_network(run, CATALOGUE)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_norms_share_all_other_parameters(problem):
    """Every parameter present with and without a norm starts from the same bits."""
    plain = dict(build_network(spec(problem, "none"), CATALOGUE).network.named_parameters())
    compared = 0
    for norm in NORMS:
        found = supported(problem, norm)
        if found is None:
            continue
        for info in found[1].parameters:
            if not info.role.startswith("norm"):
                name = info.name.replace(".parametrizations.weight.original", ".weight")
                assert torch.equal(plain[name], info.parameter), (norm, info.name)
                compared += 1
    sites = build_network(spec(problem, "none"), CATALOGUE).sites
    assert compared > 0 or not sites


@pytest.mark.parametrize("problem", PROBLEMS)
def test_norms_share_order_and_augmentation(problem):
    """Every batch of an epoch, pixels and targets, is the same under every norm."""
    batches = []
    for norm in ["none", *NORMS]:
        found = (spec(problem, "none"), None) if norm == "none" else supported(problem, norm)
        if found is not None:
            batches.append(_batch(found[0]))

    assert all(torch.equal(batches[0].inputs, batch.inputs) for batch in batches)
    assert all(torch.equal(batches[0].targets, batch.targets) for batch in batches)


def _batch(run):
    dataset = CATALOGUE.get(Dataset, run.problem.dataset.name)
    opened = assemble(run, CATALOGUE, _data(dataset, run.problem.training.batch_size), CPU)
    opened.source.start_epoch(3)
    return opened.source.batch(torch.tensor(0), 16)


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
