"""DeepOBS 1.2's networks, made from its own source file.

``import deepobs`` needs packages that have moved on since 2019 and changes matplotlib's settings.
The networks need none of that, so their file alone is loaded.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from normbench import PluginError, Sites
from normbench_plugins.bridges.packages import folder_of

_PACKAGE = "normbench_deepobs_originals"
_FILES = ("testproblems_utils", "testproblems_modules")


def net_logreg(sites: Sites | None = None, *, classes: int = 10) -> nn.Module:  # noqa: ARG001
    """Return DeepOBS's logistic regression, (N, 1, 28, 28) to (N, classes)."""
    return _prepared(originals().net_mnist_logreg(classes))


def net_mlp(sites: Sites | None = None, *, classes: int = 10) -> nn.Module:  # noqa: ARG001
    """Return DeepOBS's perceptron, (N, 1, 28, 28) to (N, classes)."""
    return _prepared(originals().net_mlp(classes))


def net_2c2d(sites: Sites | None = None, *, classes: int = 10) -> nn.Module:  # noqa: ARG001
    """Return DeepOBS's 2c2d, (N, 1, 28, 28) to (N, classes)."""
    return _prepared(originals().net_mnist_2c2d(classes))


def net_3c3d(sites: Sites | None = None, *, classes: int = 10) -> nn.Module:  # noqa: ARG001
    """Return DeepOBS's 3c3d, (N, 3, 32, 32) to (N, classes)."""
    return _prepared(originals().net_cifar10_3c3d(classes))


def net_allcnnc(sites: Sites | None = None) -> nn.Module:  # noqa: ARG001
    """Return DeepOBS's All-CNN-C, (N, 3, 32, 32) to (N, 100)."""
    return _prepared(originals().net_cifar100_allcnnc())


def net_wrn164(sites: Sites | None = None, *, classes: int = 10) -> nn.Module:  # noqa: ARG001
    """Return DeepOBS's wide ResNet 16-4, (N, 3, 32, 32) to (N, classes)."""
    return _prepared(originals().net_wrn(2, 4, classes))


@cache
def originals() -> ModuleType:
    """Return DeepOBS's module of networks.

    Raises:
        PluginError: If DeepOBS 1.2 is not installed.
    """
    folder = folder_of("deepobs")
    home = folder / "pytorch" / "testproblems" if folder else None
    if home is None or not (home / f"{_FILES[-1]}.py").is_file():
        raise PluginError(
            "DeepOBS's networks for torch are not installed. Install them: "
            "pip install -c constraints.txt '.[deepobs]' in the folder of normbench's source"
        )
    package = ModuleSpec(_PACKAGE, None, is_package=True)
    sys.modules[_PACKAGE] = module_from_spec(package)
    for name in _FILES:
        spec = spec_from_file_location(f"{_PACKAGE}.{name}", home / f"{name}.py")
        assert spec is not None  # noqa: S101 - a .py file always has one
        assert spec.loader is not None  # noqa: S101
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return module


def _prepared(network: nn.Module) -> nn.Module:
    """Keep the initial values of *network* as drawn, and let it take channels_last images."""
    drawn = {layer: _copied(layer) for layer in network.modules()}

    def initialise(layer: nn.Module) -> None:
        with torch.no_grad():
            for name, value in drawn.get(layer, {}).items():
                layer.get_parameter(name).copy_(value)

    network.initialise = initialise
    for layer in network.modules():
        if type(layer).__name__ == "flatten":
            layer.register_forward_pre_hook(_contiguous)
    return network


def _copied(layer: nn.Module) -> dict[str, Tensor]:
    own = layer.named_parameters(recurse=False)
    return {name: parameter.detach().clone() for name, parameter in own}


def _contiguous(_layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.contiguous() for value in inputs)
