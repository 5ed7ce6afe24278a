"""Norm sites: where a network takes its normalization from, and what every parameter is for.

A network asks :class:`Sites` for a pair (norm, activation) wherever it has a norm site, in forward
order. What sits there is decided outside the network: by ``--norm``, a mask, or a plain
``norm_layer`` callable. Every parameter carries a role, known from how it was made, never from its
name or its number of dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from normbench.descriptions import Norm, SiteKind
from normbench.errors import PluginError, UsageError
from normbench.rules import Ablation
from normbench.streams import stream_seed


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
class Site:
    """One norm site, as a norm's factory sees it.

    Attributes:
        index: Number in forward order, from 0.
        kind: ``conv`` for (N, C, H, W), ``dense`` for (N, C), ``sequence`` for (N, T, C).
        features: C, the channels normalized.
        layer: The layer whose output arrives here; None where a sum or an activation does.
        activation_follows: Whether the network's activation follows at once.
    """

    index: int
    kind: SiteKind
    features: int
    layer: nn.Module | None
    activation_follows: bool


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """What a norm puts at one site.

    Attributes:
        norm: Acts on the activations.
        activation: Replaces the network's activation; None keeps it. Not used where no activation
            follows at once.
        weight: Parametrization of the feeding layer's weight, for norms that act there.
        groups: Number of equal groups of output channels of the feeding weight, each of which may
            be rescaled without changing the output; None if it is not scale invariant.
    """

    norm: nn.Module
    activation: nn.Module | None = None
    weight: nn.Module | None = None
    groups: int | None = None


Fit = Callable[[Site], Fitting]
BIAS_POLICIES = ("unless_centred", "unless_centred_dense", "always", "never", "weight_norms_only")


class Sites:
    """Hands a network its norms, numbered in forward order.

    Args:
        fit: Puts a norm at a site.
        mask: 1 for each site that carries the norm; None for all.
        centres: Whether the norm removes the mean, which makes a bias before it redundant.
        norm_name: For tables and messages.
        kinds: Site kinds the norm supports.
    """

    def __init__(
        self,
        fit: Fit | None = None,
        *,
        mask: Sequence[int] | None = None,
        centres: bool = False,
        norm_name: str = "none",
        kinds: Sequence[str] = ("conv", "dense", "sequence"),
    ) -> None:
        self._fit = fit
        self._mask = mask
        self._centres = centres
        self._norm_name = norm_name
        self._kinds = tuple(kinds)
        self._bias = "unless_centred"
        self.fitted: list[tuple[Site, Fitting | None]] = []

    @classmethod
    def of(cls, norm_layer: Callable[[int], nn.Module] | None) -> Sites:
        """Return sites for a plain constructor that takes the number of features."""
        if norm_layer is None:
            return cls()
        name = getattr(getattr(norm_layer, "func", norm_layer), "__name__", "custom")
        centres = getattr(getattr(norm_layer, "func", norm_layer), "centres", True)
        return cls(
            lambda site: Fitting(norm=norm_layer(site.features)), centres=centres, norm_name=name
        )

    @classmethod
    def for_norm(
        cls, norm: Norm, parameters: Mapping[str, Any], mask: Sequence[int] | None = None
    ) -> Sites:
        """Return sites for a described norm."""
        return cls(
            partial(_fit_described, norm, parameters),
            mask=mask,
            centres=norm.centres,
            norm_name=norm.name,
            kinds=norm.site_kinds,
        )

    def with_bias(self, policy: str) -> Sites:
        """Set the network's bias policy and return the sites.

        ``unless_centred`` drops the bias of a layer that a centring norm follows, where it is only
        noise; ``unless_centred_dense`` does so in dense layers alone, as source 3 of the reference
        results did; ``always`` and ``never`` say so; ``weight_norms_only`` keeps it only where the
        norm acts on the weights.
        """
        if policy not in BIAS_POLICIES:
            raise UsageError(
                f"bias={policy} is no bias policy: expected one of {', '.join(BIAS_POLICIES)}."
            )
        self._bias = policy
        return self

    def after(
        self, layer: nn.Module, activation: nn.Module | None = None
    ) -> tuple[nn.Module, nn.Module]:
        """Return the pair (norm, activation) for the site that *layer* feeds.

        Args:
            layer: A convolution or linear layer; its bias is dropped where the policy says so.
            activation: The network's activation if it follows at once.
        """
        kind: SiteKind = "dense" if isinstance(layer, nn.Linear) else "conv"
        features = getattr(layer, "out_features", None) or getattr(layer, "out_channels", None)
        if not isinstance(features, int):
            raise PluginError(
                f"norm site {len(self.fitted)}: {type(layer).__name__} has neither out_features "
                "nor out_channels. Use Sites.before(features, kind) there."
            )
        fitting = self._place(kind, features, layer, activation is not None)
        if not self._keeps_bias(kind, fitting):
            layer.register_parameter("bias", None)
        return _pair(fitting, activation)

    def before(
        self, features: int, kind: SiteKind, activation: nn.Module | None = None
    ) -> tuple[nn.Module, nn.Module]:
        """Return the pair for a site that no single layer feeds, as in pre-activation blocks."""
        return _pair(self._place(kind, features, None, activation is not None), activation)

    def finish(self, owner: str) -> None:
        """Check the mask against the sites that were asked for.

        Raises:
            UsageError: If its length is wrong, or the norm does not support a masked site.
        """
        count = len(self.fitted)
        if self._mask is not None and len(self._mask) != count:
            raise UsageError(
                f"--sites has {len(self._mask)} digits, but {owner} has {count} norm sites. "
                f"Give {count} digits, such as --sites {_digits([1] * count)}."
            )
        if self._norm_name != "none" and count == 0:
            raise UsageError(
                f"{owner} has no norm sites, so --norm {self._norm_name} has no place in it. "
                "Leave --norm out."
            )
        wrong = [site for site, _ in self.fitted if not self._supports(site)]
        if wrong:
            raise self._unsupported(wrong, owner)

    def _place(
        self, kind: SiteKind, features: int, layer: nn.Module | None, follows: bool
    ) -> Fitting | None:
        site = Site(
            index=len(self.fitted),
            kind=kind,
            features=features,
            layer=layer,
            activation_follows=follows,
        )
        carries = self._fit is not None and self._asked(site) and kind in self._kinds
        fitting = self._fit(site) if carries and self._fit is not None else None
        if fitting is not None and fitting.weight is not None and layer is not None:
            parametrize.register_parametrization(layer, "weight", fitting.weight)
        self.fitted.append((site, fitting))
        return fitting

    def _asked(self, site: Site) -> bool:
        return self._mask is None or site.index >= len(self._mask) or self._mask[site.index] == 1

    def _supports(self, site: Site) -> bool:
        return self._fit is None or not self._asked(site) or site.kind in self._kinds

    def _keeps_bias(self, kind: SiteKind, fitting: Fitting | None) -> bool:
        centred = fitting is not None and self._centres
        return {
            "unless_centred": not centred,
            "unless_centred_dense": not (centred and kind == "dense"),
            "always": True,
            "never": False,
            "weight_norms_only": fitting is not None and fitting.weight is not None,
        }[self._bias]

    def _unsupported(self, wrong: Sequence[Site], owner: str) -> UsageError:
        refused = {site.index for site in wrong}
        mask = [int(self._asked(site) and site.index not in refused) for site, _ in self.fitted]
        shown = ", ".join(f"{site.index} ({site.kind})" for site in wrong)
        fix = f"Leave them out: --sites {_digits(mask)}." if any(mask) else "Use another norm."
        return UsageError(
            f"norm {self._norm_name} does not support site {shown} of {owner}: it supports "
            f"{', '.join(self._kinds)} sites. {fix}"
        )


def _fit_described(norm: Norm, parameters: Mapping[str, Any], site: Site) -> Fitting:
    fitting = norm.load()(site, **parameters)
    if not isinstance(fitting, Fitting):
        raise PluginError(
            f"norm {norm.name!r} returned {type(fitting).__name__} for site {site.index}: expected "
            "a normbench.Fitting."
        )
    return fitting


def _pair(fitting: Fitting | None, activation: nn.Module | None) -> tuple[nn.Module, nn.Module]:
    norm = nn.Identity() if fitting is None else fitting.norm
    if activation is None:
        return norm, nn.Identity()
    replaced = None if fitting is None else fitting.activation
    return norm, activation if replaced is None else replaced


def _digits(mask: Sequence[int]) -> str:
    return ",".join(str(bit) for bit in mask)


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
    """

    index: int
    kind: SiteKind
    features: int
    layer: str
    norm: str
    groups: int | None


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
    infos = tuple(_site_info(site, fitting, names) for site, fitting in sites.fitted)
    return Built(network, infos, tuple(_parameter_infos(network, sites)))


def _site_info(site: Site, fitting: Fitting | None, names: Mapping[nn.Module, str]) -> SiteInfo:
    return SiteInfo(
        index=site.index,
        kind=site.kind,
        features=site.features,
        layer=names.get(site.layer, "") if site.layer is not None else "",
        norm=names.get(fitting.norm, "") if fitting is not None else "",
        groups=None if fitting is None else fitting.groups,
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
        if site.layer is not None:
            fed[site.layer] = (site, fitting)
    seen: set[nn.Parameter] = set()
    for name, module in network.named_modules():
        for own_name, parameter in module.named_parameters(recurse=False):
            if parameter in seen:
                continue
            seen.add(parameter)
            role = _role(module, own_name, f"{name}.{own_name}" if name else own_name)
            site_fit = fed.get(module) if role is Role.WEIGHT else None
            yield ParameterInfo(
                name=f"{name}.{own_name}" if name else own_name,
                parameter=parameter,
                role=role,
                site=placed.get(module, site_fit[0].index if site_fit else None),
                invariance=_invariance(module, parameter, site_fit),
            )


_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear, nn.Embedding, nn.RNNBase)
_NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)


def _role(module: nn.Module, own_name: str, name: str) -> Role:
    """Return the role that *module* declares, or that follows from its type."""
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


def _invariance(
    layer: nn.Module, weight: nn.Parameter, fed: tuple[Site, Fitting] | None
) -> Invariance | None:
    """Return the scale invariance of *weight*; a bias breaks it unless each channel is centred."""
    if fed is None or fed[1].groups is None:
        return None
    groups, features = fed[1].groups, fed[0].features
    if getattr(layer, "bias", None) is not None and groups != features:
        return None
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):
        return None
    rest = tuple(weight.shape[1:])
    return Invariance((groups, features // groups, *rest), (0,))


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
) -> list[dict[str, Any]]:
    """Return optimizer groups, one for each role that trains.

    Weight decay acts on role ``weight`` alone, so that a swap of the norm never changes what is
    decayed. The learning rate of γ is divided by the ablation's divisor.

    Args:
        parameters: All parameters of a network.
        lr: Learning rate.
        weight_decay: Coefficient; None if the optimizer takes none.
        ablation: Says which roles train.
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
            group["weight_decay"] = weight_decay if role is Role.WEIGHT else 0.0
        groups.append(group)
    return groups


def sphere_size(weight: Tensor, invariance: Invariance) -> int:
    """Return d, how many numbers lie on one sphere of *weight*."""
    return weight.numel() // prod(invariance.view[dim] for dim in invariance.dims)
