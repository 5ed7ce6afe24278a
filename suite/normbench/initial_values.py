"""Initial values: drawn layer by layer, each from a stream of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.utils import parametrize

from normbench.streams import stream_seed


def initialise(network: nn.Module, seed: int) -> None:
    """Draw all initial values, layer by layer, each from a stream of its own.

    A layer's stream is keyed by its name, so a layer that two networks share starts equal in both.
    A network may define ``initialise(layer)`` to set how its layers are drawn; otherwise each
    layer's own ``reset_parameters`` is used.
    """
    custom = getattr(network, "initialise", None)
    for name, layer in network.named_modules():
        own = any(True for _ in layer.parameters(recurse=False))
        if not own and not parametrize.is_parametrized(layer):
            continue
        layer_seed = stream_seed(seed, "init", name)
        with torch.random.fork_rng(devices=[]), _raw_weight(layer):
            torch.manual_seed(layer_seed)
            reset = getattr(layer, "reset_parameters", None)
            if reset is not None:
                reset()
            if custom is not None:
                # Again from the start: what the reset drew depends on whether there is a bias.
                torch.manual_seed(layer_seed)
                custom(layer)


@contextmanager
def _raw_weight(layer: nn.Module) -> Iterator[None]:
    """Let ``layer.weight`` be the raw parameter of a parametrized weight, so that it can be drawn.

    Written to as it is, it would be a computed tensor, and the values would be lost.
    """
    if not parametrize.is_parametrized(layer, "weight"):
        yield
        return
    parametrized = type(layer)
    layer.__class__ = parametrized.__bases__[0]
    layer._parameters["weight"] = layer.get_parameter("parametrizations.weight.original")
    try:
        yield
    finally:
        del layer._parameters["weight"]
        layer.__class__ = parametrized
