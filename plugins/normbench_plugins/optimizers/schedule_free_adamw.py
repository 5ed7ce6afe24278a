"""AdamW with averaging in place of a learning-rate schedule.

The Road Less Scheduled, A. Defazio, X. Yang, H. Mehta, K. Mishchenko, A. Khaled and A. Cutkosky,
NeurIPS 2024, arXiv:2405.15682. Warm-up is the protocol's (``protocol.warmup_epochs``); the authors'
code has its own, and no weight decay by default. The protocol's schedule acts on the learning rate
as for any optimizer; the paper's is ``protocol.schedule=constant``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normbench_plugins.optimizers.kernels import Groups
from normbench_plugins.optimizers.lists import Group, scalar_for
from normbench_plugins.optimizers.schedule_free import ScheduleFree


class ScheduleFreeAdamW(ScheduleFree):
    """Schedule-free AdamW over parameter groups; arguments: :func:`schedule_free_adamw`.

    Args:
        foreach: Whether to update all tensors of a group together, or one after another.
    """

    interpolation = "beta1"

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float = 0.0025,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        weight_decay: float = 0.01,
        foreach: bool = True,
    ) -> None:
        defaults = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "r": r}
        more = {"weight_decay": weight_decay, "foreach": foreach, "training": True}
        super().__init__(groups, {**defaults, "weight_lr_power": weight_lr_power, **more})

    def directions(
        self, parameters: list[Tensor], gradients: list[Tensor], step: Tensor, group: Group
    ) -> list[Tensor]:
        """Return g/(√v̂ + ε) + λy, and move v."""
        squares = self.buffers(parameters, "square")
        if not group["foreach"]:
            lists = zip(parameters, gradients, squares, strict=True)
            return [_direction(*tensors, step.item(), group) for tensors in lists]
        beta2 = group["beta2"]
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, scalar_for(roots, (1 - beta2**step).sqrt()))
        torch._foreach_add_(roots, group["eps"])
        directions = list(torch._foreach_div(gradients, roots))
        torch._foreach_add_(directions, parameters, alpha=group["weight_decay"])
        return directions


def _direction(
    parameter: Tensor, gradient: Tensor, square: Tensor, step: float, group: Group
) -> Tensor:
    beta2 = group["beta2"]
    square.copy_(beta2 * square + (1 - beta2) * gradient**2)
    root = (square / (1 - beta2**step)).sqrt() + group["eps"]
    return gradient / root + group["weight_decay"] * parameter


def schedule_free_adamw(
    groups: Groups,
    *,
    lr: float = 0.0025,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    weight_decay: float = 0.01,
) -> ScheduleFreeAdamW:
    r"""Return schedule-free AdamW.

    .. math::
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad g = \nabla f(y) \\
        z &\leftarrow z - \eta
            \left(\frac{g}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} + \lambda y\right) \\
        x &\leftarrow (1 - c) x + c z, \qquad y = (1 - \beta_1) z + \beta_1 x

    in step t = 1, 2, ..., with c as in
    :class:`normbench_plugins.optimizers.schedule_free.ScheduleFree`. The parameters hold y while
    training; x is evaluated.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        beta1: β₁, which stands in for the mean of gradients.
        beta2: β₂, decay of the mean of squared gradients.
        eps: ε, in units of the gradient.
        r: r, power of the step in the weights of the average.
        weight_lr_power: p, power of the largest learning rate so far in them.
        weight_decay: λ, where a group has none of its own.
    """
    return ScheduleFreeAdamW(
        groups,
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        r=r,
        weight_lr_power=weight_lr_power,
        weight_decay=weight_decay,
    )
