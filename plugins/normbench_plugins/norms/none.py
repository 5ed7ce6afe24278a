"""No norm: the network as it is."""

from __future__ import annotations

from torch import nn

from normbench import Fitting, Site


def fit(site: Site) -> Fitting:  # noqa: ARG001 - the same at every site
    """Put nothing at *site*; the weight before it has no scale invariance."""
    return Fitting(norm=nn.Identity(), groups=None)
