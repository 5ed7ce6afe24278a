"""LAMB: Adam with a trust ratio for each layer.

Large Batch Optimization for Deep Learning: Training BERT in 76 minutes, Y. You, J. Li, S. Reddi,
J. Hseu, S. Kumar, S. Bhojanapalli, X. Song, J. Demmel, K. Keutzer and C.-J. Hsieh, ICLR 2020,
arXiv:1904.00962. φ is the identity, as in the paper's experiments. Biases and the norms' parameters
take the ratio 1, as has become usual since.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normbench_plugins.optimizers.kernels import Groups
from normbench_plugins.optimizers.lists import (
    Group,
    ListOptimizer,
    adam_directions,
    counted,
    descend,
)
from normbench_plugins.optimizers.trust_ratio import adapts, norms, ratios


class LAMB(ListOptimizer):
    """LAMB over parameter groups; formula and arguments: :func:`lamb`.

    Args:
        foreach: Whether to update all tensors of a group together, or one after another.
    """

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float = 0.005,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        foreach: bool = True,
    ) -> None:
        defaults = {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": weight_decay}
        super().__init__(groups, {**defaults, "eps": eps, "foreach": foreach})

    def update(self, parameters: list[Tensor], gradients: list[Tensor], group: Group) -> None:
        """Update the parameters of one group."""
        means = self.buffers(parameters, "mean")
        squares = self.buffers(parameters, "square")
        step = counted(group, "step", parameters[0]).add_(1)
        if group["foreach"]:
            directions = adam_directions(gradients, means, squares, step, group)
            _descend_by_layer(parameters, directions, group)
            return
        for tensors in zip(parameters, gradients, means, squares, strict=True):
            _update_one(*tensors, step.item(), group)


def _descend_by_layer(parameters: list[Tensor], directions: list[Tensor], group: Group) -> None:
    torch._foreach_add_(directions, parameters, alpha=group["weight_decay"])
    if adapts(group):
        torch._foreach_mul_(directions, ratios(norms(parameters), norms(directions)))
    descend(parameters, directions, group["lr"])


def _update_one(
    parameter: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, step: float, group: Group
) -> None:
    beta1, beta2 = group["beta1"], group["beta2"]
    mean.copy_(beta1 * mean + (1 - beta1) * gradient)
    square.copy_(beta2 * square + (1 - beta2) * gradient**2)
    root = (square / (1 - beta2**step)).sqrt() + group["eps"]
    direction = mean / (1 - beta1**step) / root + group["weight_decay"] * parameter
    ratio, weight, update = 1.0, parameter.norm().item(), direction.norm().item()
    if adapts(group) and weight > 0 and update > 0:
        ratio = weight / update
    parameter.sub_(group["lr"] * ratio * direction)


def lamb(
    groups: Groups,
    *,
    lr: float = 0.005,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-6,
    weight_decay: float = 0.01,
) -> LAMB:
    r"""Return LAMB.

    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        d &= \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} + \lambda w, \qquad
        w \leftarrow w - \eta \frac{\lVert w \rVert}{\lVert d \rVert} \, d

    in step t = 1, 2, ..., with m = v = 0 at the start and the norms taken over one tensor. The
    ratio is 1 where a norm is 0, and for all parameters whose role is not weight.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, the relative change of a weight in a step.
        beta1: β₁, decay of the mean of gradients.
        beta2: β₂, decay of the mean of squared gradients.
        eps: ε, in units of the gradient.
        weight_decay: λ, where a group has none of its own.
    """
    return LAMB(groups, lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)
