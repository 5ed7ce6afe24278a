"""SGD with averaging in place of a learning-rate schedule.

The Road Less Scheduled, A. Defazio, X. Yang, H. Mehta, K. Mishchenko, A. Khaled and A. Cutkosky,
NeurIPS 2024, arXiv:2405.15682. Warm-up is the protocol's (``protocol.warmup_epochs``); the authors'
code has its own. The protocol's schedule acts on the learning rate as for any optimizer; the
paper's is ``protocol.schedule=constant``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normbench_plugins.optimizers.kernels import Groups
from normbench_plugins.optimizers.lists import Group
from normbench_plugins.optimizers.schedule_free import ScheduleFree


class ScheduleFreeSGD(ScheduleFree):
    """Schedule-free SGD over parameter groups; arguments: :func:`schedule_free_sgd`.

    Args:
        foreach: Whether to update all tensors of a group together, or one after another.
    """

    interpolation = "momentum"

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float = 1.0,
        momentum: float = 0.9,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        weight_decay: float = 0.0,
        foreach: bool = True,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "r": r, "weight_lr_power": weight_lr_power}
        more = {"weight_decay": weight_decay, "foreach": foreach, "training": True}
        super().__init__(groups, {**defaults, **more})

    def directions(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        step: Tensor,  # noqa: ARG002 - for directions that have moments
        group: Group,
    ) -> list[Tensor]:
        """Return g + λy."""
        decay = group["weight_decay"]
        if group["foreach"]:
            return list(torch._foreach_add(gradients, parameters, alpha=decay))
        return [g + decay * p for p, g in zip(parameters, gradients, strict=True)]


def schedule_free_sgd(
    groups: Groups,
    *,
    lr: float = 1.0,
    momentum: float = 0.9,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    weight_decay: float = 0.0,
) -> ScheduleFreeSGD:
    r"""Return schedule-free SGD.

    .. math::
        z &\leftarrow z - \eta \, (\nabla f(y) + \lambda y) \\
        x &\leftarrow (1 - c) x + c z, \qquad y = (1 - \beta) z + \beta x

    with c as in :class:`normbench_plugins.optimizers.schedule_free.ScheduleFree`: 1/t at a constant
    learning rate and r = 0. The parameters hold y while training; x is evaluated.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        momentum: β.
        r: r, power of the step in the weights of the average.
        weight_lr_power: p, power of the largest learning rate so far in them.
        weight_decay: λ, where a group has none of its own.
    """
    return ScheduleFreeSGD(
        groups,
        lr=lr,
        momentum=momentum,
        r=r,
        weight_lr_power=weight_lr_power,
        weight_decay=weight_decay,
    )
