"""Swapping the norm leaves everything else bit-identical: the ground of every paired test."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from normbench import Data, Dataset, Norm, Part, Problem, UsageError
from normbench.build import build_network
from normbench.engine.session import assemble
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
PROBLEMS = [offer.component.name for offer in CATALOGUE.offers(Problem) if not offer.component.base]
NORMS = [name for name in CATALOGUE.names(Norm) if name != "none"]


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
                assert torch.equal(plain[info.name], info.parameter), (norm, info.name)
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
    else:
        inputs = generator.normal(size=(count, *dataset.shape)).astype(np.float32)
    targets = np.arange(count, dtype=np.int64) % max(dataset.classes, 1)
    return Data(Part(inputs, targets), Part(inputs[:8], targets[:8]))
