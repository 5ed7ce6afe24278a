"""A problem's network as ``normbench describe`` shows it; the one part that imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from normbench.build import sketch_network
from normbench.descriptions import Optimizer
from normbench.overrides import parse_mask
from normbench.plugins import Catalogue
from normbench.resolve import Request, resolve
from normbench.roles import Built, Invariance, ParameterInfo, Role
from normbench.specs import RunSpec


def view_network(
    catalogue: Catalogue,
    problem: str,
    *,
    norm: str | None = None,
    sites: str | None = None,
    words: Sequence[str] = (),
) -> dict[str, Any]:
    """Build the network of *problem* and return its norm sites and parameter groups.

    Raises:
        UsageError: If the norm, the mask or a word does not fit the problem.
    """
    request = Request(
        problem=problem,
        optimizer=catalogue.names(Optimizer)[0],  # any will do: the network is the same
        norm=norm,
        sites=None if sites is None else parse_mask(sites),
        seeds=1,
        words=words,
    )
    spec = resolve(request, catalogue)[0]
    built = sketch_network(spec, catalogue)
    return {
        "norm": spec.norm_label,
        "parameter_count": built.parameter_count,
        "sites": _sites(built),
        "parameter_groups": _groups(built, spec),
    }


def _sites(built: Built) -> list[dict[str, Any]]:
    invariances = {
        info.site: info.invariance for info in built.parameters if info.invariance is not None
    }
    return [
        {
            "index": site.index,
            "layer": site.layer,
            "kind": site.kind,
            "features": site.features,
            "norm": site.norm,
            "scale_invariance": _words(invariances.get(site.index)),
        }
        for site in built.sites
    ]


def _words(invariance: Invariance | None) -> str:
    """Return which slices of a weight may be rescaled, in words."""
    if invariance is None:
        return ""
    groups, channels = invariance.view[:2]
    if channels == 1:
        return "each output channel"
    return "the whole weight" if groups == 1 else f"{groups} groups of {channels} output channels"


def _groups(built: Built, spec: RunSpec) -> list[dict[str, Any]]:
    by_role = {role: [i for i in built.parameters if i.role is role] for role in Role}
    return [_group(role, members, spec) for role, members in by_role.items() if members]


def _group(role: Role, members: Sequence[ParameterInfo], spec: RunSpec) -> dict[str, Any]:
    return {
        "role": role.value,
        "tensors": len(members),
        "numbers": sum(info.parameter.numel() for info in members),
        "trained": any(info.parameter.requires_grad for info in members),
        "weight_decay": spec.problem.training.weight_decay if role is Role.WEIGHT else 0.0,
    }
