"""timm's optimizers and norms; ``getattr`` of this module gives the factories."""

from __future__ import annotations

from functools import partial
from typing import Any

from timm import layers
from timm.optim import get_optimizer_info
from torch import nn
from torch.optim import Optimizer

from normbench import Fitting, Role, Site
from normbench_plugins.bridges.construction import Groups, construct

_ROLES = {"weight": Role.NORM_SCALE, "bias": Role.NORM_SHIFT}
_NORMS = {
    "evonorm_b0": layers.EvoNorm2dB0,
    "evonorm_b1": layers.EvoNorm2dB1,
    "evonorm_b2": layers.EvoNorm2dB2,
    "evonorm_s0": layers.EvoNorm2dS0,
    "evonorm_s0a": layers.EvoNorm2dS0a,
    "evonorm_s1": layers.EvoNorm2dS1,
    "evonorm_s1a": layers.EvoNorm2dS1a,
    "evonorm_s2": layers.EvoNorm2dS2,
    "evonorm_s2a": layers.EvoNorm2dS2a,
    "filter_response_norm_tlu": layers.FilterResponseNormTlu2d,
}
_PLAIN = {"simple_norm": layers.SimpleNorm2d, "rms_norm": layers.RmsNorm2d}


def __getattr__(name: str) -> Any:
    if name in _NORMS:
        return partial(_fit_with_activation, _NORMS[name])
    if name in _PLAIN:
        return partial(_fit_plain, _PLAIN[name])
    try:
        info = get_optimizer_info(name)
    except ValueError:
        raise AttributeError(f"timm has neither optimizer nor norm {name!r}") from None
    return partial(_make, name, info.opt_class, info.defaults or {})


def _make(
    name: str, kind: type[Optimizer], fixed: dict[str, Any], groups: Groups, **values: Any
) -> Optimizer:
    return construct(f"timm:{name}", kind, groups, {**fixed, **values})


def _fit_with_activation(
    kind: type[nn.Module], site: Site, num_groups: int | None = None
) -> Fitting:
    """Put a norm at *site* that brings its own nonlinearity where one follows at once."""
    more = {} if num_groups is None else {"groups": num_groups}
    norm = kind(site.features, apply_act=site.activation_follows, **more)
    activation = nn.Identity() if site.activation_follows else None
    return Fitting(norm=_with_roles(norm), activation=activation)


def _fit_plain(kind: type[nn.Module], site: Site) -> Fitting:
    """Put a norm of each position at *site*: the whole weight before it may be rescaled."""
    return Fitting(norm=_with_roles(kind(site.features)), groups=1)


def _with_roles(norm: nn.Module) -> nn.Module:
    """Declare what *norm*'s parameters are for, which timm's classes do not."""
    names = [name for name, _ in norm.named_parameters(recurse=False)]
    norm.parameter_roles = {name: _ROLES.get(name, Role.NORM_OTHER) for name in names}
    return norm
