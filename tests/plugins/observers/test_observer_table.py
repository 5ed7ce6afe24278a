"""The table of observers says what the code behind it does."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from normbench import Observer
from normbench.parameters import defaults
from normbench.plugins import load_catalogue
from normbench.series import RESERVED

CATALOGUE = load_catalogue()
BUILT_IN = [o.component for o in CATALOGUE.offers(Observer) if o.origin == "built-in"]


@pytest.fixture(params=BUILT_IN, ids=lambda observer: observer.name)
def observer(request):
    """Each built-in observer."""
    return request.param


def test_module_is_named_as_registered_and_cites_its_source(observer):
    """An observer lives in a module of its own name, which names the paper."""
    module = inspect.getmodule(observer.load())

    assert observer.name == module.__name__.rpartition(".")[2]
    assert observer.source.reference in " ".join(module.__doc__.split())


def test_factory_takes_the_described_parameters(observer):
    """A factory's keywords and their defaults are the described parameters and theirs."""
    signature = inspect.signature(observer.load())

    keywords = {name: given.default for name, given in signature.parameters.items()}
    assert defaults(observer.parameters) == keywords


def test_every_dimension_has_names_along_it(observer):
    """Each dimension of a series has a fixed array that says what lies along it."""
    names = [measure.name for measure in observer.measures]
    labelled = {m.dims for m in observer.measures if m.fixed}

    assert len(set(names)) == len(names)
    assert not RESERVED & set(names)
    assert {m.dims for m in observer.measures if not m.fixed} <= labelled


@pytest.mark.parametrize("norm", ["batch_norm", "group_norm", "none", "weight_norm", "evonorm_s0"])
def test_observer_returns_what_it_describes(observer, norm, observe):
    """Names, numbers of dimensions and lengths fit, whatever norm sits at the sites."""
    moments = observe(f"{observer.name}:every_steps=2", "cifar10_3c3d", "adam", norm=norm)

    assert [0, 2, 4, 5] == moments.steps
    described = {measure.name for measure in observer.measures}
    assert described == moments.fixed.keys() | moments.arrays.keys()


@pytest.mark.parametrize("problem", ["quadratic_deep", "fmnist_vae"])
def test_observer_knows_networks_without_images_and_classes(observer, problem, observe):
    """A table and an autoencoder are looked at like any other."""
    moments = observe(f"{observer.name}:every_steps=2", problem, "adam", ["lr=1e-6"])

    assert [0, 2, 4] == moments.steps[:3]


def test_table_needs_neither_torch_nor_numpy():
    """Listing observers imports neither torch nor numpy."""
    program = (
        "import sys, normbench_plugins.observers.table; "
        "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout

    assert "[]" == output.strip()
