"""Roles: what every parameter of a built network is for, and which scalings change nothing.

A role is known from how a parameter was made - by the type of its module, or by what the module
declares - never from its name or its number of dimensions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from normbench.descriptions import SiteKind
from normbench.errors import PluginError
from normbench.rules import Ablation
from normbench.sites import Fitting, Site, Sites, weight_owner


class Role(StrEnum):
    """What a parameter is for."""

    WEIGHT = "weight"
    BIAS = "bias"
    NORM_SCALE = "norm_scale"
    NORM_SHIFT = "norm_shift"
    NORM_OTHER = "norm_other"
    GAIN = "gain"


@dataclass(frozen=True)
class Invariance:
    """Scale invariance of a weight: each slice may be rescaled without changing the network.

    Attributes:
        view: Shape to view the weight in, (groups, output channels of a group, ...).
        dims: The dimensions of that view that index independent slices.
    """

    view: tuple[int, ...]
    dims: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class SiteInfo:
    """One norm site of a built network.

    Attributes:
        index: Number in forward order.
        kind: Kind of site.
        features: Channels.
        layer: Name of the feeding layer, empty if there is none.
        norm: Name of the norm's module, empty where none sits.
        groups: Scale-invariant groups of the feeding weight, if any.
        activation: Name of the module that gives the site's activation, behind the residual sum if
            there is one; empty where none follows.
    """

    index: int
    kind: SiteKind
    features: int
    layer: str
    norm: str
    groups: int | None
    activation: str = ""


@dataclass(frozen=True, kw_only=True)
class ParameterInfo:
    """One parameter of a built network.

    Attributes:
        name: Dotted name.
        parameter: The tensor.
        role: What it is for.
        site: Number of the site that it belongs to or that normalizes it.
        invariance: Its scale invariance, where it has one.
    """

    name: str
    parameter: nn.Parameter
    role: Role
    site: int | None = None
    invariance: Invariance | None = None


@dataclass(frozen=True)
class Built:
    """A network together with its norm sites and the roles of its parameters."""

    network: nn.Module
    sites: tuple[SiteInfo, ...]
    parameters: tuple[ParameterInfo, ...]

    @property
    def parameter_count(self) -> int:
        """Number of numbers in all parameters, fixed ones included."""
        return sum(info.parameter.numel() for info in self.parameters)


def describe_network(network: nn.Module, sites: Sites, owner: str) -> Built:
    """Return *network* with its sites and roles.

    Raises:
        UsageError: If the mask or the norm does not fit the sites.
        PluginError: If a parameter has no role.
    """
    sites.finish(owner)
    names = {module: name for name, module in network.named_modules()}
    infos = tuple(
        _site_info(site, fitting, activation, names)
        for (site, fitting), activation in zip(sites.fitted, sites.activations, strict=True)
    )
    return Built(network, infos, tuple(_parameter_infos(network, sites)))


def _site_info(
    site: Site,
    fitting: Fitting | None,
    activation: nn.Module | None,
    names: Mapping[nn.Module, str],
) -> SiteInfo:
    layer = site.fed_by if site.layer is None else site.layer
    return SiteInfo(
        index=site.index,
        kind=site.kind,
        features=site.features,
        layer="" if layer is None else names.get(layer, ""),
        norm=names.get(fitting.norm, "") if fitting is not None else "",
        groups=fitting.groups if fitting is not None and weight_owner(site, fitting) else None,
        activation="" if activation is None else names.get(activation, ""),
    )


def _parameter_infos(network: nn.Module, sites: Sites) -> Iterator[ParameterInfo]:
    placed: dict[nn.Module, int] = {}
    fed: dict[nn.Module, tuple[Site, Fitting]] = {}
    for site, fitting in sites.fitted:
        if fitting is None:
            continue
        for part in (fitting.norm, fitting.activation, fitting.weight):
            for module in part.modules() if part is not None else ():
                placed[module] = site.index
        if (owner := weight_owner(site, fitting)) is not None:
            fed[owner] = (site, fitting)
    seen: set[nn.Parameter] = set()
    for name, module in network.named_modules():
        for own_name, parameter in module.named_parameters(recurse=False):
            if parameter in seen:
                continue
            seen.add(parameter)
            role = role_of(module, own_name, f"{name}.{own_name}" if name else own_name)
            site_fit = fed.get(module) if role is Role.WEIGHT else None
            yield ParameterInfo(
                name=f"{name}.{own_name}" if name else own_name,
                parameter=parameter,
                role=role,
                site=placed.get(module, site_fit[0].index if site_fit else None),
                invariance=invariance_of(
                    module, parameter, site_fit[1].groups if site_fit else None
                ),
            )


_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear, nn.Embedding, nn.RNNBase)
_NORMS = (
    nn.modules.batchnorm._NormBase,  # of torch's batch and instance norms
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)


def role_of(module: nn.Module, own_name: str, name: str) -> Role:
    """Return the role that *module* declares for a parameter, or that follows from its type.

    Args:
        module: Holds the parameter itself.
        own_name: The parameter's name there.
        name: Its full name, for the message.

    Raises:
        PluginError: If the parameter has no role.
    """
    declared: Mapping[str, str] = getattr(module, "parameter_roles", {})
    if own_name in declared:
        return Role(declared[own_name])
    if isinstance(module, _NORMS):
        return Role.NORM_SCALE if own_name == "weight" else Role.NORM_SHIFT
    if isinstance(module, _LAYERS):
        return Role.BIAS if own_name.startswith("bias") else Role.WEIGHT
    if isinstance(module, parametrize.ParametrizationList):
        return Role.WEIGHT
    raise PluginError(
        f"parameter {name!r} of {type(module).__name__} has no role. Give the class an attribute "
        f'parameter_roles = {{"{own_name}": ROLE}} with one of {", ".join(Role)}.'
    )


def invariance_of(layer: nn.Module, weight: nn.Parameter, groups: int | None) -> Invariance | None:
    """Return the scale invariance of *weight*, of *groups* groups of output channels.

    A bias breaks it unless each channel is centred.
    """
    if groups is None:
        return None
    features = len(weight)
    centred = groups == features and getattr(layer, "is_centred", True)
    if getattr(layer, "bias", None) is not None and not centred:
        return None
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):
        return None
    rest = tuple(weight.shape[1:])
    return Invariance((groups, features // groups, *rest), (0,))


def apply_ablation(built: Built, ablation: Ablation) -> None:
    """Set γ and β where the ablation gives their start, and stop what it fixes from training."""
    starts = {Role.NORM_SCALE: ablation.scale_init, Role.NORM_SHIFT: ablation.shift_init}
    for info in built.parameters:
        start = starts.get(info.role)
        if start is not None:
            with torch.no_grad():
                info.parameter.fill_(start)
        info.parameter.requires_grad_(ablation.trains(info.role))


def parameter_groups(
    parameters: Sequence[ParameterInfo],
    *,
    lr: float,
    weight_decay: float | None,
    ablation: Ablation,
    decayed: Collection[str] = (Role.WEIGHT,),
) -> list[dict[str, Any]]:
    """Return optimizer groups, one for each role that trains.

    Weight decay acts by role, so that a swap of the norm never changes what is decayed. The
    learning rate of γ is divided by the ablation's divisor.

    Args:
        parameters: All parameters of a network.
        lr: Learning rate.
        weight_decay: Coefficient; None if the optimizer takes none.
        ablation: Says which roles train.
        decayed: Roles that weight decay acts on.
    """
    groups = []
    for role in Role:
        members = [p for p in parameters if p.role is role and p.parameter.requires_grad]
        if not members:
            continue
        divisor = ablation.scale_lr_divisor if role is Role.NORM_SCALE else 1.0
        group: dict[str, Any] = {
            "params": [member.parameter for member in members],
            "role": role.value,
            "lr": lr / divisor,
            "invariances": [
                (m.invariance.view, m.invariance.dims) if m.invariance else None for m in members
            ],
        }
        if weight_decay is not None:
            group["weight_decay"] = weight_decay if role in decayed else 0.0
        groups.append(group)
    return groups
