"""The tables of norms and optimizers say what the code behind them does."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from normbench import Norm, Optimizer
from normbench.parameters import defaults
from normbench.plugins import load_catalogue

CATALOGUE = load_catalogue()
BUILT_IN = [
    offer.component
    for kind in (Norm, Optimizer)
    for offer in CATALOGUE.offers(kind)
    if offer.origin == "built-in"
]

NUMBERED = [c for c in BUILT_IN if c.source.reference.startswith(("arXiv:", "doi:"))]


@pytest.fixture(params=BUILT_IN, ids=lambda component: f"{component.kind}-{component.name}")
def component(request):
    """Each built-in norm and optimizer."""
    return request.param


def test_factory_takes_the_described_parameters(component):
    """A factory's keywords and their defaults are the described parameters and theirs."""
    signature = inspect.signature(component.load())

    keywords = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }

    assert defaults(component.parameters) == keywords


def test_module_is_named_as_registered(component):
    """A component lives in a module of its own name."""
    module = component.factory.partition(":")[0]

    assert component.name == module.rpartition(".")[2]


@pytest.mark.parametrize("component", NUMBERED, ids=lambda component: component.name)
def test_module_cites_the_described_source(component):
    """The arXiv number or DOI of the table stands in the module's docstring."""
    module = sys.modules[component.load().__module__]

    assert component.source.reference in module.__doc__


def test_defaults_pass_their_own_checks(component):
    """Every default lies in the range that its parameter allows."""
    for parameter in component.parameters:
        assert parameter.default == parameter.check(parameter.default, component.name)


def test_search_spaces_lie_in_the_allowed_range(component):
    """A tuner never draws a value that the parameter refuses."""
    for parameter in component.parameters:
        if parameter.search is None:
            continue
        ends = parameter.search.choices or (parameter.search.low, parameter.search.high)
        for end in ends:
            assert end == parameter.check(end, component.name)


def test_each_optimizer_searches_its_learning_rate():
    """Every built-in optimizer has a learning rate that a tuner draws on a logarithmic scale."""
    optimizers = [component for component in BUILT_IN if isinstance(component, Optimizer)]

    scales = {
        component.name: {p.name: p.search for p in component.parameters}["lr"].scale
        for component in optimizers
    }

    assert dict.fromkeys(scales, "log") == scales


def test_tables_need_neither_torch_nor_numpy():
    """Listing norms and optimizers imports neither torch nor numpy."""
    program = (
        "import sys, normbench_plugins.norms.table, normbench_plugins.optimizers.table; "
        "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )

    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout

    assert "[]" == output.strip()
