"""Norm sites: where a network takes its normalization from.

A network asks :class:`Sites` for a pair (norm, activation) wherever it has a norm site, in forward
order. What sits there is decided outside the network: by ``--norm``, a mask, or a plain
``norm_layer`` callable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from normbench.descriptions import Norm, SiteKind
from normbench.errors import PluginError, UsageError


@dataclass(frozen=True, kw_only=True)
class Site:
    """One norm site, as a norm's factory sees it.

    Attributes:
        index: Number in forward order, from 0.
        kind: ``conv`` for (N, C, H, W), ``dense`` for (N, C), ``sequence`` for (N, T, C).
        features: C, the channels normalized.
        layer: The layer whose output arrives here; None where a sum or an activation does.
        activation_follows: Whether the network's activation follows at once.
        sum_follows: Whether a residual sum follows, and an activation after that.
        feeds: Where no layer feeds the site: the layer that the site feeds, if there is one. A norm
            that acts on weights acts on *layer*, else on this one.
        fed_by: At a site whose norm on weights acts on *feeds*: the layer whose output arrives here
            and nowhere else, so that a norm on activations makes its weight scale invariant.
    """

    index: int
    kind: SiteKind
    features: int
    layer: nn.Module | None
    activation_follows: bool
    sum_follows: bool = False
    feeds: nn.Module | None = None
    fed_by: nn.Module | None = None


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """What a norm puts at one site.

    Attributes:
        norm: Acts on the activations.
        activation: Replaces the network's activation, behind the residual sum if there is one;
            None keeps it. Not used where no activation follows.
        weight: Parametrization of the weight of the site's layer, for norms that act there.
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
        self.activations: list[nn.Module | None] = []

    @classmethod
    def of(cls, norm_layer: Callable[[int], nn.Module] | None) -> Sites:
        """Return sites for a plain constructor that takes the number of features."""
        if norm_layer is None:
            return cls()
        name = getattr(getattr(norm_layer, "func", norm_layer), "__name__", "custom")
        centres = getattr(getattr(norm_layer, "func", norm_layer), "centres", True)
        return cls(partial(_fit_plain, norm_layer), centres=centres, norm_name=name)

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
        self, layer: nn.Module, activation: nn.Module | None = None, *, joins: bool = False
    ) -> tuple[nn.Module, nn.Module]:
        """Return the pair (norm, activation) for the site that *layer* feeds.

        Args:
            layer: A convolution or linear layer; its bias is dropped where the policy says so.
            activation: The network's activation if it follows at once.
            joins: A residual sum comes between the norm and *activation*; the network applies the
                activation returned to the sum.
        """
        kind: SiteKind = "dense" if isinstance(layer, nn.Linear) else "conv"
        features = getattr(layer, "out_features", None) or getattr(layer, "out_channels", None)
        if not isinstance(features, int):
            raise PluginError(
                f"norm site {len(self.fitted)}: {type(layer).__name__} has neither out_features "
                "nor out_channels. Use Sites.before(features, kind) there."
            )
        site = Site(
            index=len(self.fitted),
            kind=kind,
            features=features,
            layer=layer,
            activation_follows=activation is not None and not joins,
            sum_follows=joins,
        )
        fitting = self._place(site)
        if not self._keeps_bias(kind, fitting):
            layer.register_parameter("bias", None)
        return self._handed_out(fitting, activation)

    def before(
        self,
        features: int,
        kind: SiteKind,
        activation: nn.Module | None = None,
        *,
        feeds: nn.Module | None = None,
        fed_by: nn.Module | None = None,
    ) -> tuple[nn.Module, nn.Module]:
        """Return the pair for a site that belongs to the layer behind it, as in pre-activation.

        Args:
            features: Channels that arrive.
            kind: Their layout.
            activation: The network's activation if it follows at once.
            feeds: The layer behind the pair, for norms that act on weights. Its bias is dropped
                where the policy keeps biases at such norms alone, or nowhere.
            fed_by: The layer whose output arrives here and nowhere else, if there is one. Its bias
                is dropped as before any other norm.
        """
        site = Site(
            index=len(self.fitted),
            kind=kind,
            features=features,
            layer=None,
            activation_follows=activation is not None,
            feeds=feeds,
            fed_by=fed_by,
        )
        fitting = self._place(site)
        acts_there = fitting is not None and fitting.weight is not None
        if feeds is not None and not self._keeps_bias(kind, fitting if acts_there else None):
            feeds.register_parameter("bias", None)
        # A norm on its weight had its say at the site before it.
        if fed_by is not None and not parametrize.is_parametrized(fed_by, "weight"):
            arriving = None if acts_there else fitting
            if not self._keeps_bias(kind, arriving):
                fed_by.register_parameter("bias", None)
        return self._handed_out(fitting, activation)

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

    def _place(self, site: Site) -> Fitting | None:
        carries = self._fit is not None and self._asked(site) and site.kind in self._kinds
        fitting = self._fit(site) if carries and self._fit is not None else None
        weighted = site.feeds if site.layer is None else site.layer
        if fitting is not None and fitting.weight is not None and weighted is not None:
            parametrize.register_parametrization(weighted, "weight", fitting.weight)
        if fitting is not None and (owner := weight_owner(site, fitting)) is not None:
            # Read by parameter_groups.
            owner.invariant_groups = fitting.groups  # type: ignore[assignment]
            owner.is_centred = getattr(fitting.norm, "centres", True)  # type: ignore[assignment]
        self.fitted.append((site, fitting))
        return fitting

    def _handed_out(
        self, fitting: Fitting | None, activation: nn.Module | None
    ) -> tuple[nn.Module, nn.Module]:
        pair = _pair(fitting, activation)
        self.activations.append(None if activation is None else pair[1])
        return pair

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


def weight_owner(site: Site, fitting: Fitting) -> nn.Module | None:
    """Return the module that holds the weight which the norm at *site* normalizes."""
    if fitting.weight is None:
        return site.fed_by if site.layer is None else site.layer
    layer = site.feeds if site.layer is None else site.layer
    return None if layer is None else layer.get_submodule("parametrizations.weight")


def _fit_plain(norm_layer: Callable[[int], nn.Module], site: Site) -> Fitting:
    norm = norm_layer(site.features)
    return Fitting(norm=norm, groups=_invariant_groups(norm, site.features))


def _invariant_groups(norm: nn.Module, features: int) -> int | None:
    """Return how many equal groups of channels may be rescaled before *norm*, if that is known."""
    if isinstance(norm, nn.modules.batchnorm._NormBase):
        return features
    if isinstance(norm, nn.GroupNorm):
        return norm.num_groups
    groups: int | None = getattr(norm, "invariant_groups", None)
    return groups


def _fit_described(norm: Norm, parameters: Mapping[str, Any], site: Site) -> Fitting:
    try:
        fitting = norm.load()(site, **parameters)
    except TypeError as error:
        raise PluginError(
            f"norm {norm.name!r} could not be put at site {site.index} with {dict(parameters)}: "
            f"{error}. Its factory takes a normbench.Site and, by keyword, each parameter that its "
            "description lists."
        ) from error
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
