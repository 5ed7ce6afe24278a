"""Lion: the sign of an interpolated momentum.

Symbolic Discovery of Optimization Algorithms, X. Chen, C. Liang, D. Huang, E. Real, K. Wang,
Y. Liu, H. Pham, X. Dong, T. Luong, C.-J. Hsieh, Y. Lu and Q. V. Le, NeurIPS 2023, arXiv:2302.06675.
The authors' code has no weight decay by default; here the default keeps η·λ at AdamW's, as the
paper advises.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normbench_plugins.optimizers.kernels import Groups
from normbench_plugins.optimizers.lists import Group, ListOptimizer, descend, shrink


class Lion(ListOptimizer):
    """Lion over parameter groups; formula and arguments: :func:`lion`.

    Args:
        foreach: Whether to update all tensors of a group together, or one after another.
    """

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float = 1e-4,
        beta1: float = 0.9,
        beta2: float = 0.99,
        weight_decay: float = 0.1,
        foreach: bool = True,
    ) -> None:
        defaults = {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": weight_decay}
        super().__init__(groups, {**defaults, "foreach": foreach})

    def update(self, parameters: list[Tensor], gradients: list[Tensor], group: Group) -> None:
        """Update the parameters of one group."""
        means = self.buffers(parameters, "mean")
        if group["foreach"]:
            _update_lists(parameters, gradients, means, group)
            return
        for parameter, gradient, mean in zip(parameters, gradients, means, strict=True):
            _update_one(parameter, gradient, mean, group)


def _update_lists(
    parameters: list[Tensor], gradients: list[Tensor], means: list[Tensor], group: Group
) -> None:
    shrink(parameters, group)
    between = torch._foreach_lerp(means, gradients, 1 - group["beta1"])
    directions = list(torch._foreach_sign(between))
    torch._foreach_add_(directions, between, alpha=0)  # the sign of NaN is 0, which would hide it
    descend(parameters, directions, group["lr"])
    torch._foreach_lerp_(means, gradients, 1 - group["beta2"])


def _update_one(parameter: Tensor, gradient: Tensor, mean: Tensor, group: Group) -> None:
    lr, beta1, beta2 = group["lr"], group["beta1"], group["beta2"]
    between = beta1 * mean + (1 - beta1) * gradient
    direction = between.sign() + 0 * between
    parameter.copy_((1 - lr * group["weight_decay"]) * parameter - lr * direction)
    mean.copy_(beta2 * mean + (1 - beta2) * gradient)


def lion(
    groups: Groups,
    *,
    lr: float = 1e-4,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.1,
) -> Lion:
    r"""Return Lion.

    .. math::
        w &\leftarrow (1 - \eta \lambda) w \\
        w &\leftarrow w - \eta \, \mathrm{sign}(\beta_1 m + (1 - \beta_1) g) \\
        m &\leftarrow \beta_2 m + (1 - \beta_2) g

    with g = ∇f at the old w, and m = 0 at the start.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, the size of every number's step.
        beta1: β₁, share of the momentum in the direction.
        beta2: β₂, decay of the momentum.
        weight_decay: λ, where a group has none of its own.
    """
    return Lion(groups, lr=lr, beta1=beta1, beta2=beta2, weight_decay=weight_decay)
