"""Bridges without their packages: nothing offered, nothing imported, signatures read from text."""

from __future__ import annotations

import re
import sys

import pytest

from normbench import Network, Norm, Optimizer, Problem, UsageError
from normbench.plugins import BRIDGES, load_catalogue
from normbench_plugins.bridges import packages
from normbench_plugins.bridges.signatures import read_classes

CLASSES = '''
import torch

class Helper:
    def __init__(self, size: int) -> None:
        pass


class Swift(torch.optim.Optimizer):
    r"""Moves swiftly. And says more.

    Args: many.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        betas=(0.9, 0.99),
        power=2,
        steps: int = 3,
        clip: float | None = None,
        graph: object = None,
        weight_decay=0,
        nesterov=False,
        kind: str = "plain",
        *,
        foreach: bool | None = None,
        decoupled_decay: bool = False,
        **more,
    ) -> None:  # a remark
        if lr < 0:
            raise ValueError(lr)


class Needy(torch.optim.Optimizer):
    def __init__(self, params, model, lr=torch.tensor(1.0)):
        pass
'''


def test_constructors_are_read_from_text():
    """Each parameter that a word can say has the type, default and range of the signature."""
    swift, needy = read_classes(CLASSES)
    parameters = {p.name: p for p in swift.parameters({"power": 3}, 0.5)}

    assert ("Swift", "Moves swiftly") == (swift.name, swift.summary)
    assert {name: (p.kind, p.default) for name, p in parameters.items()} == {
        "lr": ("float", 0.01),
        "betas": ("floats", (0.9, 0.99)),
        "power": ("float", 3.0),
        "steps": ("int", 3),
        "clip": ("float", None),
        "weight_decay": ("float", 0.0),
        "nesterov": ("bool", False),
        "kind": ("str", "plain"),
    }
    assert parameters["clip"].optional
    assert 0.0 == parameters["weight_decay"].low
    assert (("model",), 0.5) == (needy.required, needy.parameters({}, 0.5)[0].default)


@pytest.mark.parametrize(
    ("text", "number"), [("1.0.31", 10031), ("4.1.0", 40100), ("1.2.0b0", 10200), ("7", 70000)]
)
def test_release_is_a_number(text, number, monkeypatch):
    """Every release of a package has a number of its own, larger than that of the one before."""
    monkeypatch.setattr(packages, "version", lambda _: text)

    assert number == packages.release_of("anything")


def test_nothing_is_offered_without_the_package(monkeypatch):
    """Bridges are there, and empty, where their packages are not installed."""
    for name in BRIDGES:
        monkeypatch.setattr(sys.modules.get(BRIDGES[name]) or _module(name), "folder_of", _nothing)
    catalogue = load_catalogue()
    names = [n for kind in (Network, Norm, Optimizer, Problem) for n in catalogue.names(kind)]

    assert [] == [name for name in names if ":" in name]
    assert BRIDGES.keys() <= {plugin.name for plugin in catalogue.plugins if not plugin.error}


def _module(name):
    return __import__(BRIDGES[name], fromlist=["folder_of"])


def _nothing(_package):
    return None


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        (
            "timm:sgd",
            "pip install -c constraints.txt '.[timm]' in the folder of normbench's source",
        ),
        ("pytorch_optimizer:sgd", "pip install -c constraints.txt '.[pytorch-optimizer]' in"),
        ("nobody:sgd", "nothing is offered under 'nobody'. See what is installed: normbench list"),
    ],
)
def test_unknown_prefix_says_how_to_get_it(monkeypatch, name, fix):
    """A name of a package that is not there says how to install it, if normbench has an extra."""
    monkeypatch.setenv("NORMBENCH_DISABLE_PLUGINS", "timm,pytorch_optimizer")
    with pytest.raises(UsageError, match=re.escape(fix)):
        load_catalogue().get(Optimizer, name)


def test_unknown_name_without_prefix_lists_none_with_one():
    """A misspelt name of our own is answered with our own names."""
    with pytest.raises(UsageError) as caught:
        load_catalogue().get(Optimizer, "sgdd")

    assert "Did you mean 'sgd'?" in str(caught.value)
    assert ":" not in str(caught.value).partition("Known:")[2]


def test_broken_bridge_leaves_the_rest_alone(monkeypatch, caplog):
    """A package whose text cannot be read costs a warning, and can be left out by name."""

    def fail(_package):
        raise SyntaxError("no Python")

    monkeypatch.setattr(_module("timm"), "folder_of", fail)
    catalogue = load_catalogue()
    assert "plugin 'timm' of bridge could not be loaded" in caplog.text
    assert "sgd" in catalogue.names(Optimizer)

    caplog.clear()
    monkeypatch.setenv("NORMBENCH_DISABLE_PLUGINS", "timm")
    assert "timm" not in {plugin.name for plugin in load_catalogue().plugins}
    assert "" == caplog.text
