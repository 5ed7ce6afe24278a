"""LARS: momentum with a learning rate for each layer.

Large Batch Training of Convolutional Networks, Y. You, I. Gitman and B. Ginsburg, 2017,
arXiv:1708.03888. As for ``momentum`` the learning rate multiplies the buffer, so a schedule acts on
past gradients too; the paper has it inside. Biases and the norms' parameters take plain momentum,
as has become usual since; the paper adapts every parameter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normbench_plugins.optimizers.kernels import Groups
from normbench_plugins.optimizers.lists import Group, ListOptimizer, descend
from normbench_plugins.optimizers.trust_ratio import adapts, norms, ratios


class LARS(ListOptimizer):
    """LARS over parameter groups; formula and arguments: :func:`lars`.

    Args:
        foreach: Whether to update all tensors of a group together, or one after another.
    """

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float = 1.0,
        momentum: float = 0.9,
        trust_coefficient: float = 0.001,
        weight_decay: float = 0.0,
        foreach: bool = True,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(
            groups, {**defaults, "trust_coefficient": trust_coefficient, "foreach": foreach}
        )

    def update(self, parameters: list[Tensor], gradients: list[Tensor], group: Group) -> None:
        """Update the parameters of one group."""
        buffers = self.buffers(parameters, "momentum_buffer")
        if group["foreach"]:
            _update_lists(parameters, gradients, buffers, group)
            return
        for parameter, gradient, buffer in zip(parameters, gradients, buffers, strict=True):
            _update_one(parameter, gradient, buffer, group)


def _update_lists(
    parameters: list[Tensor], gradients: list[Tensor], buffers: list[Tensor], group: Group
) -> None:
    decay = group["weight_decay"]
    directions = list(torch._foreach_add(gradients, parameters, alpha=decay))
    if adapts(group):
        weights = norms(parameters)
        local = ratios(group["trust_coefficient"] * weights, norms(gradients) + decay * weights)
        torch._foreach_mul_(directions, local)
    torch._foreach_mul_(buffers, group["momentum"])
    torch._foreach_add_(buffers, directions)
    torch._foreach_copy_(directions, buffers)
    descend(parameters, directions, group["lr"])


def _update_one(parameter: Tensor, gradient: Tensor, buffer: Tensor, group: Group) -> None:
    decay, local = group["weight_decay"], 1.0
    weight = group["trust_coefficient"] * parameter.norm().item()
    update = gradient.norm().item() + decay * parameter.norm().item()
    if adapts(group) and weight > 0 and update > 0:
        local = weight / update
    buffer.mul_(group["momentum"]).add_(local * (gradient + decay * parameter))
    parameter.sub_(group["lr"] * buffer)


def lars(
    groups: Groups,
    *,
    lr: float = 1.0,
    momentum: float = 0.9,
    trust_coefficient: float = 0.001,
    weight_decay: float = 0.0,
) -> LARS:
    r"""Return LARS.

    .. math::
        \rho = \tau \frac{\lVert w \rVert}{\lVert g \rVert + \lambda \lVert w \rVert}, \qquad
        b \leftarrow \mu b + \rho \, (g + \lambda w), \qquad w \leftarrow w - \eta b

    with g = ∇f, b = 0 at the start, and the norms taken over one tensor. ρ = 1 where a norm is 0,
    and for all parameters whose role is not weight.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        momentum: μ.
        trust_coefficient: τ, the relative change of a weight in a step at η = 1.
        weight_decay: λ, where a group has none of its own.
    """
    return LARS(
        groups,
        lr=lr,
        momentum=momentum,
        trust_coefficient=trust_coefficient,
        weight_decay=weight_decay,
    )
