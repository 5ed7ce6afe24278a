"""What the networks here are built with: chains of layers with norm sites, and two small layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from torch import Tensor, nn

from normbench import Sites, UsageError

NormLayer = Callable[[int], nn.Module]
N = TypeVar("N", bound=nn.Module)


def build(
    make: Callable[[Sites], N], sites: Sites | None, norm_layer: NormLayer | None, bias: str
) -> N:
    """Return ``make(sites)``, for the harness or for use without it.

    Args:
        make: Builds the network.
        sites: The harness's norm sites; it draws the initial values itself.
        norm_layer: Without *sites*: called with the number of features at each norm site; None for
            no norm. Initial values then come from torch's global generator.
        bias: Policy, as in :meth:`normbench.Sites.with_bias`.

    Raises:
        UsageError: If both *sites* and *norm_layer* are given, or the policy does not exist.
    """
    if sites is not None and norm_layer is not None:
        raise UsageError("received both sites and norm_layer: expected one. Leave out norm_layer.")
    if sites is not None:
        return make(sites.with_bias(bias))
    network = make(Sites.of(norm_layer).with_bias(bias))
    draw = getattr(network, "initialise", None)
    if draw is not None:
        for layer in network.modules():
            draw(layer)
    return network


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Check that *value* is one of *choices*.

    Raises:
        UsageError: If it is none of them.
    """
    if value not in choices:
        raise UsageError(f"{name}={value} is unknown: expected one of {', '.join(choices)}.")


class Chain(nn.Sequential):
    """Layers one after another, some of them followed by a norm site."""

    def add_site(
        self, sites: Sites, name: str, layer: nn.Module, activation: nn.Module | None = None
    ) -> None:
        """Append *layer*, its norm and *activation*, the latter two named after the layer.

        The activation must not work in place: a norm may need its output for the backward pass.
        """
        norm, activation = sites.after(layer, activation)
        self.add_module(name, layer)
        self.add_module(f"{name}_norm", norm)
        self.add_module(f"{name}_activation", activation)


class Flatten(nn.Module):
    """Return (N, C, H, W) as (N, H·W·C): TensorFlow's order, and no copy in channels_last."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return all numbers of an example in one row."""
        return inputs.permute(0, 2, 3, 1).flatten(1)


class GlobalMean(nn.Module):
    """Return (N, C, H, W) as (N, C), averaged over all positions."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the mean of each channel."""
        return inputs.mean((2, 3))
