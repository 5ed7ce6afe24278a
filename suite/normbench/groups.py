"""Optimizer groups of a network by role, for use without the harness."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from torch import nn

from normbench import roles
from normbench.errors import UsageError
from normbench.roles import ParameterInfo, Role, invariance_of, role_of
from normbench.rules import Ablation


def parameter_groups(
    network: nn.Module,
    *,
    weight_decay: float = 0.0,
    lr: float | None = None,
    scale_lr_divisor: float = 1.0,
) -> list[dict[str, Any]]:
    """Return groups for any torch optimizer, one for each role that trains.

    A group says its ``role``; ``weight_decay``, which is 0 for all but weights; and
    ``invariances``: for each parameter, the slices that may be rescaled without effect, which is
    what the optimizers on spheres go by, or None. Roles come from how a parameter was made: from
    the type of its module, or from the module's ``parameter_roles``. Scale invariance is known
    where the network was built with :class:`normbench.Sites`, as the networks here are, and with a
    norm of torch or one that has an attribute ``invariant_groups``: the number of equal groups of
    channels that may be rescaled before it.

    Args:
        network: Any module. Parameters that need no gradient are left out.
        weight_decay: Coefficient for weights.
        lr: Learning rate; None leaves it to the optimizer.
        scale_lr_divisor: What the learning rate of the norms' scales is divided by; needs *lr*.

    Raises:
        UsageError: If nothing trains, or *scale_lr_divisor* comes without *lr*.
        PluginError: If a parameter has no role.

    Warns:
        UserWarning: If the network has norms, and none of its layers says what follows it.
    """
    if lr is None and scale_lr_divisor != 1.0:
        raise UsageError(
            f"parameter_groups received scale_lr_divisor={scale_lr_divisor} without lr: expected "
            "both, as groups hold learning rates. Give lr too."
        )
    parameters = tuple(_parameters(network))
    groups = roles.parameter_groups(
        parameters,
        lr=1.0 if lr is None else lr,
        weight_decay=weight_decay,
        ablation=Ablation(scale_lr_divisor=scale_lr_divisor),
    )
    if not groups:
        raise UsageError(
            f"{type(network).__name__} has no parameter that needs a gradient: expected one or "
            "more. Set requires_grad on those that are to train."
        )
    if lr is None:
        for group in groups:
            del group["lr"]
    _warn_unmarked(network, parameters)
    return groups


def _parameters(network: nn.Module) -> Iterator[ParameterInfo]:
    seen: set[nn.Parameter] = set()
    for name, module in network.named_modules():
        for own_name, parameter in module.named_parameters(recurse=False):
            if parameter in seen:
                continue
            seen.add(parameter)
            full_name = f"{name}.{own_name}" if name else own_name
            role = role_of(module, own_name, full_name)
            groups = getattr(module, "invariant_groups", None) if role is Role.WEIGHT else None
            yield ParameterInfo(
                name=full_name,
                parameter=parameter,
                role=role,
                invariance=invariance_of(module, parameter, groups),
            )


def _warn_unmarked(network: nn.Module, parameters: tuple[ParameterInfo, ...]) -> None:
    has_norms = any(info.role is Role.NORM_SCALE for info in parameters)
    has_marks = any(hasattr(module, "invariant_groups") for module in network.modules())
    if has_norms and not has_marks:
        warnings.warn(
            f"no layer of {type(network).__name__} says which norm follows it, so no weight counts "
            "as scale invariant, and optimizers on spheres treat all element by element. Build the "
            "network with normbench.Sites, or give such an optimizer groups with channel_dims.",
            stacklevel=3,
        )
