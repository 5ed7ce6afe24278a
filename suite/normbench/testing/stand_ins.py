"""Norms to check networks with, one of each sort, so that no other plugin is needed."""

from __future__ import annotations

from torch import nn

from normbench.descriptions import Norm, SiteKind
from normbench.sites import Fitting, Site

_KINDS: tuple[SiteKind, ...] = ("conv", "dense", "sequence")


def _nothing(site: Site) -> Fitting:  # noqa: ARG001 - the same at every site
    return Fitting(norm=nn.Identity())


def _over_batch(site: Site) -> Fitting:
    if site.kind == "sequence":
        return Fitting(norm=nn.LayerNorm(site.features), groups=1)
    kind = nn.BatchNorm2d if site.kind == "conv" else nn.BatchNorm1d
    return Fitting(norm=kind(site.features), groups=site.features)


def _over_example(site: Site) -> Fitting:
    if site.kind == "sequence":
        return Fitting(norm=nn.LayerNorm(site.features), groups=1)
    return Fitting(norm=nn.GroupNorm(1, site.features), groups=1)


NOTHING = Norm(
    name="none", summary="the activations as they are", factory=_nothing, site_kinds=_KINDS
)
OVER_BATCH = Norm(
    name="batch_norm",
    summary="torch's batch norm",
    factory=_over_batch,
    site_kinds=_KINDS,
    centres=True,
)
OVER_EXAMPLE = Norm(
    name="group_norm",
    summary="torch's group norm with one group",
    factory=_over_example,
    site_kinds=_KINDS,
    centres=True,
)
STAND_INS = (NOTHING, OVER_BATCH, OVER_EXAMPLE)
