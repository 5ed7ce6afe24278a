"""A norm put to use: at one site of a small network, behind a layer and before an activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normbench.descriptions import Norm, SiteKind
from normbench.errors import UsageError
from normbench.parameters import defaults
from normbench.roles import Built, Role, describe_network
from normbench.sites import Fitting, Sites
from normbench.testing.checking import ContractError

# Tried in turn: some norms want many channels, none wants so many that checks become slow.
WIDTHS = (16, 32, 64)
EXAMPLES = 8
_INPUTS: Mapping[str, tuple[int, ...]] = {"conv": (3, 5, 5), "dense": (12,), "sequence": (4, 12)}
_POSITIONS: Mapping[str, tuple[int, ...]] = {"conv": (3, 3), "dense": ()}
_FOLLOWS = ("activation", "sum", "nothing")


@dataclass(frozen=True)
class Placed:
    """A norm at a site.

    Attributes:
        kind: Kind of the site.
        features: Its channels.
        built: The network and its roles.
        front: The layer that feeds the site.
        pair: The norm and, where it brings one, its own activation; without the network's.
        fitting: What the factory returned.
    """

    kind: SiteKind
    features: int
    built: Built
    front: nn.Module
    pair: nn.Module
    fitting: Fitting

    @property
    def network(self) -> nn.Module:
        """Front layer, norm and activation; at a sequence site a layer behind them too."""
        return self.built.network

    def inputs(self, examples: int = EXAMPLES) -> Tensor:
        """Return inputs of the network, drawn from N(0, 1), in the precision of its weights."""
        return torch.randn(examples, *_INPUTS[self.kind], dtype=next(self.front.parameters()).dtype)

    def activations(self, examples: int = EXAMPLES) -> Tensor:
        """Return what might arrive at the site, drawn from N(0, 1)."""
        if self.kind == "sequence":
            return torch.randn(examples, _INPUTS["sequence"][0], self.features)
        return torch.randn(examples, self.features, *_POSITIONS[self.kind])


def place(
    norm: Norm,
    kind: SiteKind,
    *,
    parameters: Mapping[str, Any] | None = None,
    follows: str = "activation",
    bias: str = "unless_centred",
) -> Placed:
    """Return *norm* at a site of *kind*, as wide as it needs.

    Args:
        norm: Its factory is called.
        kind: Kind of the site.
        parameters: Values that differ from the defaults.
        follows: What comes behind the norm: ``activation``, ``sum`` or ``nothing``.
        bias: Bias policy of the front layer.

    Raises:
        UsageError: If the norm refuses every width, with its own words for the widest.
    """
    values = {**defaults(norm.parameters), **(parameters or {})}
    for width in WIDTHS[:-1]:
        try:
            return _place(norm, kind, values, width, follows, bias)
        except UsageError:
            continue
    return _place(norm, kind, values, WIDTHS[-1], follows, bias)


def _place(
    norm: Norm, kind: SiteKind, values: Mapping[str, Any], width: int, follows: str, bias: str
) -> Placed:
    sites = Sites.for_norm(norm, values).with_bias(bias)
    front = nn.Conv2d(3, width, 3) if kind == "conv" else nn.Linear(12, width)
    activation = None if follows == "nothing" else nn.ReLU()
    behind: list[nn.Module] = []
    if kind == "sequence":
        behind = [nn.Linear(width, width)]
        pair = sites.before(width, "sequence", activation, feeds=behind[0])
    else:
        pair = sites.after(front, activation, joins=follows == "sum")
    network = nn.Sequential(front, *pair, *behind)
    built = describe_network(network, sites, f"a network with norm {norm.name}")
    fitting = sites.fitted[0][1]
    if fitting is None:
        raise ContractError(
            f"site_kinds={norm.site_kinds} leaves {kind} sites out.",
            "a norm is asked for at the kinds it declares.",
            f"add {kind!r} to site_kinds.",
        )
    own = fitting.activation if activation is not None else None
    return Placed(kind, width, built, front, nn.Sequential(fitting.norm, own or _Same()), fitting)


class _Same(nn.Module):
    """The identity; unlike torch's it is no shared module that a norm might have used itself."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return *inputs*."""
        return inputs


def draw_scales(placed: Placed) -> None:
    """Move γ and β away from 1 and 0, so that leaving one of them out shows."""
    for info in placed.built.parameters:
        if info.role in (Role.NORM_SCALE, Role.NORM_SHIFT):
            nn.init.uniform_(info.parameter, 0.5, 1.5)


def parameters_of(placed: Placed) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that the norm itself brings, with their names."""
    parts = (placed.fitting.norm, placed.fitting.activation, placed.fitting.weight)
    return [item for part in parts if part is not None for item in part.named_parameters()]
