"""The suites on offer: every cell resolves, and the tables have their published size."""

from __future__ import annotations

import pytest
import torch

from normbench import Network, Norm, Protocol, Sites, Suite
from normbench.plugins import load_catalogue
from normbench.resolve import resolve
from normbench.roles import describe_network
from normbench.suites import expand, find_suite

CATALOGUE = load_catalogue()
CELLS = {
    # 11 norms by 4 networks, 8 group sizes by 3, 4 pre-activated, 3 with SkipInit, 4 at batch 16.
    "beyond_batchnorm": 79,
    "bn_init": 25,
    # 3 problems without a norm; 9 masks by 4 modes, twice; 15 masks by 4 modes; 2 with Adam.
    "dissect_bn": 137,
    # 7 optimizers by 7 problems, and 5 on ImageNet.
    "spherical": 54,
    # 2 norms by 5 batch sizes, and 3 numbers of groups.
    "group_norm_study": 13,
    "deepobs_small": 12,
    "deepobs_large": 12,
    "digits_factorial": 16,
}


@pytest.mark.parametrize("name", CATALOGUE.names(Suite))
def test_every_cell_resolves(name):
    """Each cell names things that exist, and no two cells are one row."""
    plan = expand(find_suite(name, CATALOGUE), CATALOGUE)
    rows = [resolve(request, CATALOGUE)[0].row for request in plan.requests]

    assert len(rows) == len(set(rows))
    assert len(rows) == CELLS[name]


def test_paper_on_spheres_has_a_published_setting_in_every_cell():
    """No cell of the optimizers' table falls back to defaults."""
    plan = expand(find_suite("spherical", CATALOGUE), CATALOGUE)
    origins = {resolve(request, CATALOGUE)[0].setting_origin for request in plan.requests}

    assert {"published"} == origins


def test_ablations_of_batch_norm_use_the_committed_learning_rates():
    """Every cell of 3c3d on CIFAR-10 trains at the rate that its source commits."""
    plan = expand(find_suite("dissect_bn", CATALOGUE), CATALOGUE)
    rates = {
        resolve(request, CATALOGUE)[0].learning_rate
        for request in plan.requests
        if request.problem == "cifar10_3c3d"
    }

    assert {0.022610510812765} == rates


def published(name: str) -> bool:
    """Whether a suite's protocol holds words for what its source did."""
    plan = expand(find_suite(name, CATALOGUE), CATALOGUE)
    return bool(CATALOGUE.get(Protocol, plan.requests[0].protocol).published)


CASES = [(name, ()) for name in CATALOGUE.names(Suite)] + [
    (name, ("protocol.as_published=true",)) for name in CATALOGUE.names(Suite) if published(name)
]


@pytest.mark.parametrize(("name", "words"), CASES)
def test_every_cell_s_network_can_be_built(name, words):
    """Each cell's norm, mask and network options fit together, corrected and as published."""
    plan = expand(find_suite(name, CATALOGUE), CATALOGUE, words)
    specs = [resolve(request, CATALOGUE)[0] for request in plan.requests]
    blueprints = {repr((s.problem.network, s.norm, s.ablation.sites)): s for s in specs}

    for spec in blueprints.values():
        norm = CATALOGUE.get(Norm, spec.norm.name)
        sites = Sites.for_norm(norm, spec.norm.parameters, spec.ablation.sites)
        network = CATALOGUE.get(Network, spec.problem.network.name)
        with torch.device("meta"):
            module = network.load()(sites, **spec.problem.network.parameters)
        assert describe_network(module, sites, spec.problem.name).parameter_count > 0
