"""The tables of datasets, networks and problems agree with the code and with one another."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import normbench_problems
from normbench.augmentation import Augmentation
from normbench.parameters import checked, defaults
from normbench.sites import BIAS_POLICIES
from normbench_problems.datasets.table import DATASETS, normbench_datasets
from normbench_problems.networks.table import NETWORKS, normbench_networks
from normbench_problems.table import PROBLEMS
from normbench_problems.table import normbench_problems as problems_hook

COMPONENTS = [*DATASETS, *NETWORKS, *PROBLEMS]
DATA = {dataset.name: dataset for dataset in DATASETS}
NETS = {network.name: network for network in NETWORKS}


def _by_name(component):
    return f"{component.kind}-{component.name}"


@pytest.mark.parametrize("component", COMPONENTS, ids=_by_name)
def test_factories_load(component):
    """Every table row names code that exists, and says what it is in one line."""
    assert callable(component.load())
    assert component.summary
    assert "\n" not in component.summary
    assert component.source.title


@pytest.mark.parametrize("network", NETWORKS, ids=_by_name)
def test_parameters_are_those_of_the_code(network):
    """A network's parameters have the names and defaults of its function's keywords."""
    signature = inspect.signature(network.load())
    keywords = {
        parameter.name: parameter.default
        for parameter in signature.parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name != "norm_layer"
    }
    assert keywords == defaults(network.parameters)


@pytest.mark.parametrize("network", NETWORKS, ids=_by_name)
def test_networks_are_public(network):
    """Each network can be imported from normbench_problems, for use without the harness."""
    assert network.load() is getattr(normbench_problems, network.name)
    assert network.name in normbench_problems.__all__


def test_bias_policies():
    """The tables offer the bias policies that norm sites know."""
    offered = {p.choices for network in NETWORKS for p in network.parameters if p.name == "bias"}
    assert {BIAS_POLICIES} == offered


@pytest.mark.parametrize("problem", PROBLEMS, ids=_by_name)
def test_problem_fits_its_parts(problem):
    """A problem's dataset and network exist, fit each other, and its words are known."""
    dataset, network = DATA[problem.dataset], NETS[problem.network]
    parameters = checked(network.parameters, problem.network_parameters, problem.name)

    if "classes" in parameters:
        assert dataset.classes == parameters["classes"]
    assert problem.training.batch_size <= dataset.train_size
    Augmentation.parse(problem.training.augmentation)


@pytest.mark.parametrize("problem", PROBLEMS, ids=_by_name)
def test_metric_is_the_tasks(problem):
    """A problem is judged by a metric of its task on the test part, with a sensible worst score."""
    part, _, metric = problem.metric.name.partition("_")

    assert "test" == part
    assert metric in problem.load().metrics
    assert "loss" == problem.load().metrics[0]
    if metric == "accuracy":
        assert 1 / DATA[problem.dataset].classes == problem.metric.worst
    if problem.metric.target is not None:
        assert problem.metric.better(problem.metric.target, problem.metric.worst)


def test_twins():
    """A twin differs from its base in name, summary and norm only."""
    by_name = {problem.name: problem for problem in PROBLEMS}
    twins = [problem for problem in PROBLEMS if problem.base]

    assert {
        "digits_cnn_bn",
        "fmnist_2c2d_bn",
        "cifar10_3c3d_bn",
        "cifar100_3c3d_bn",
        "cifar100_allcnnc_bn",
        "cifar10_vgg16_224_bn",
        "cifar10_vgg19_224_bn",
        "cifar100_vgg16_224_bn",
        "cifar100_vgg19_224_bn",
        "svhn_3c3d_bn",
        "mnist_2c2d_bn",
        "mnist_mlp_bn",
        "fmnist_mlp_bn",
    } == {twin.name for twin in twins}
    assert all(by_name[twin.base].twin(twin.name, "batch_norm") == twin for twin in twins)


def test_names_are_unique():
    """No kind offers a name twice, and the hooks offer the whole tables."""
    for rows, hook in (
        (DATASETS, normbench_datasets),
        (NETWORKS, normbench_networks),
        (PROBLEMS, problems_hook),
    ):
        assert len(rows) == len({row.name for row in rows})
        assert rows == hook()


def test_tables_need_no_torch():
    """Listing datasets, networks and problems imports neither torch nor numpy."""
    code = (
        "import sys\n"
        "import normbench_problems.table\n"
        "import normbench_problems.datasets.table\n"
        "import normbench_problems.networks.table\n"
        "print([name for name in ('torch', 'numpy', 'sklearn') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "[]\n" == result.stdout, result.stderr
