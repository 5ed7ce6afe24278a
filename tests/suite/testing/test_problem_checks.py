"""Checks of datasets, networks and problems catch what breaks them, and pass what is sound."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from normbench import (
    Classification,
    Data,
    Dataset,
    Metric,
    Network,
    Parameter,
    Part,
    Problem,
    Scores,
    UsageError,
)
from normbench.plugins import Catalogue, load_catalogue
from normbench.testing import (
    ContractError,
    DatasetCase,
    ProblemCase,
    check_dataset,
    check_network,
    check_problem,
    dataset_checks,
    network_checks,
    problem_checks,
)

BUILT_IN = load_catalogue()
CHECKS = {
    (kind, check.name): check
    for kind, checks in (
        ("dataset", dataset_checks()),
        ("network", network_checks()),
        ("problem", problem_checks()),
    )
    for check in checks
}


class Net(nn.Module):
    """A sound network: eight numbers, one norm site, three classes."""

    def __init__(self, sites):
        super().__init__()
        self.hidden = nn.Linear(8, 16)
        self.norm, self.relu = sites.after(self.hidden, nn.ReLU())
        self.out = nn.Linear(16, 3)

    def forward(self, inputs):
        return self.out(self.relu(self.norm(self.hidden(inputs))))


class ForgetsNorm(Net):
    def __init__(self, sites):
        super().__init__(sites)
        self.norm = nn.Identity()


class OwnNorm(Net):
    def __init__(self, sites):
        super().__init__(sites)
        if sites._norm_name != "none":
            self.out = nn.Sequential(self.out, nn.Linear(3, 3))


class IgnoresMask(Net):
    def __init__(self, sites):
        sites._mask = None
        super().__init__(sites)


class DrawsOutside(Net):
    def __init__(self, sites):
        super().__init__(sites)
        self.first = _Table()

    def forward(self, inputs):
        return super().forward(inputs) + self.first.table


class _Table(nn.Module):
    parameter_roles = {"table": "norm_other"}  # noqa: RUF012 - read by the harness

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(3))


class Idle(Net):
    def forward(self, inputs):
        return self.hidden(inputs)[:, :3]


class MeanScores(Classification):
    def __call__(self, network, batch, state):
        scores = super().__call__(network, batch, state)
        return dataclasses.replace(scores, sums=scores.sums / len(batch.inputs))


class TooFewSums(Classification):
    def __call__(self, network, batch, state):
        scores = super().__call__(network, batch, state)
        return dataclasses.replace(scores, sums=scores.sums[:1])


class LossOfEach(Classification):
    def __call__(self, network, batch, state):
        losses = network(batch.inputs).square().sum(1)
        return Scores(losses, torch.stack((losses.sum(), losses.sum())), state)


def table(seed=0, classes=3, dtype=np.float32):
    """Return a factory of twelve train and six test rows of eight numbers."""

    def load(request):
        generator = np.random.default_rng(seed)
        parts = [
            Part(
                generator.normal(size=(n, 8)).astype(dtype), np.arange(n, dtype=np.int64) % classes
            )
            for n in (12, 6)
        ]
        return Data(*parts)

    return load


def dataset(**fields):
    """Return the description of a sound table, with *fields* changed."""
    sound = {
        "name": "rows",
        "summary": "rows",
        "content": "table",
        "shape": (8,),
        "classes": 3,
        "train_size": 12,
        "test_size": 6,
        "factory": table(),
    }
    return Dataset(**{**sound, **fields})


def network(factory=Net, **fields):
    """Return the description of a network."""
    return Network(**{"name": "net", "summary": "a network", "factory": factory, **fields})


def problem(task=Classification, **fields):
    """Return the description of a problem of both."""
    metric = Metric(name="test_accuracy", direction="max", worst=0.3, smallest_difference=0.01)
    sound = {"dataset": "rows", "network": "net", "metric": metric}
    return Problem(name="rows_net", summary="rows", factory=task, **{**sound, **fields})


def case(task=Classification, net=Net, **fields):
    """Return a problem with its parts."""
    return ProblemCase(problem(task, **fields), dataset(), network(net), None)


def rows(**fields):
    """Return a dataset to check, with *fields* changed."""
    return DatasetCase(dataset(**fields), None)


def metric(name="test_accuracy", smallest_difference=0.01):
    """Return a metric record."""
    return Metric(name=name, direction="max", worst=0.3, smallest_difference=smallest_difference)


MUTANTS = [
    ("dataset", "describes_itself", rows(shape=())),
    ("dataset", "describes_itself", rows(mean=(0.0, 0.0))),
    ("dataset", "loads_what_it_says", rows(train_size=13)),
    ("dataset", "loads_what_it_says", rows(classes=2)),
    ("dataset", "loads_what_it_says", rows(factory=table(dtype=np.float64))),
    ("dataset", "loads_what_it_says", rows(factory=lambda request: [])),
    ("dataset", "loads_the_same_again", rows(factory=table(seed=None))),
    ("network", "describes_itself", network(name="Net")),
    (
        "network",
        "takes_its_parameters",
        network(parameters=(Parameter(name="width", kind="int", default=3, summary="units"),)),
    ),
    ("network", "takes_any_norm", network(ForgetsNorm)),
    ("network", "takes_any_norm", network(lambda sites: [Net(sites)])),
    ("network", "numbers_its_sites", network(OwnNorm)),
    ("network", "numbers_its_sites", network(IgnoresMask)),
    ("network", "starts_from_the_seed_alone", network(DrawsOutside)),
    ("problem", "is_scored_by_its_task", case(metric=metric("test_f1"))),
    ("problem", "is_scored_by_its_task", case(metric=metric(smallest_difference=0.0))),
    ("problem", "trains_with_any_norm", case(LossOfEach)),
    ("problem", "trains_with_any_norm", case(net=Idle)),
    ("problem", "scores_sums", case(MeanScores)),
    ("problem", "scores_sums", case(TooFewSums)),
]


@pytest.mark.parametrize(("kind", "check", "mutant"), MUTANTS)
def test_check_catches_what_breaks_it(kind, check, mutant):
    """A component with one defect fails the check of that contract, with three sentences."""
    with pytest.raises(ContractError) as caught:
        CHECKS[kind, check](mutant)

    assert all((caught.value.seen, caught.value.expected, caught.value.change))


def test_every_check_has_something_that_breaks_it():
    """No check is left that nothing was seen to fail."""
    assert set(CHECKS) == {(kind, check) for kind, check, _ in MUTANTS}


def test_sound_components_pass(tmp_path):
    """The parts that all mutants are made of fail no check, together and alone."""
    catalogue = Catalogue()
    for component in (dataset(), network()):
        catalogue.add(component, "mine", "file")
    found = [
        *check_dataset(dataset(), tmp_path),
        *check_network(network()),
        *check_problem(problem(), catalogue, tmp_path),
    ]

    assert {"passed"} == {finding.outcome for finding in found}


@pytest.mark.parametrize("name", ["digits_cnn", "quadratic_deep"])
def test_built_in_problems_pass(name, tmp_path):
    """A problem of images and one without norm sites or classes fail no check."""
    chosen = BUILT_IN.get(Problem, name)
    found = [
        *check_dataset(BUILT_IN.get(Dataset, chosen.dataset), tmp_path),
        *check_network(BUILT_IN.get(Network, chosen.network)),
        *check_problem(chosen, BUILT_IN, tmp_path),
    ]

    assert [] == [finding for finding in found if finding.outcome == "failed"]


def test_dataset_whose_files_are_missing_is_not_blamed(tmp_path):
    """Checks that need the files say that they do not apply, and where they looked."""
    found = {f.check: f for f in check_dataset(BUILT_IN.get(Dataset, "cifar10"), tmp_path)}

    assert "does not apply" == found["loads_what_it_says"].outcome
    assert str(tmp_path) in found["loads_what_it_says"].message


def test_problem_of_an_unknown_network_is_refused(tmp_path):
    """A name that no plugin offers is an error in the request, not in a check."""
    with pytest.raises(UsageError, match="unknown network 'nets'"):
        check_problem(problem(dataset="digits", network="nets"), BUILT_IN, tmp_path)
