"""Muon: momentum made orthogonal.

Muon: An Optimizer for Hidden Layers in Neural Networks, K. Jordan, Y. Jin, V. Boza, J. You,
F. Cesista, L. Newhouse and J. Bernstein, 2024, kellerjordan.github.io/posts/muon. The step is
scaled as in Muon is Scalable for LLM Training, J. Liu et al., 2025, arXiv:2502.16982, so that one
learning rate serves Muon and AdamW alike; ``adjust=original`` is Jordan's. ``torch.optim.Muon``
takes matrices alone; here a convolution's weight (C, ...) is the matrix (C, rest), and all
parameters that are no matrix or have another role than weight take AdamW. The authors leave the
first and the last layer to AdamW as well.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from normbench_plugins.optimizers.kernels import Groups
from normbench_plugins.optimizers.lists import (
    Group,
    ListOptimizer,
    adam_directions,
    counted,
    descend,
    shrink,
)

_QUINTIC = (3.4445, -4.7750, 2.0315)
_TINY = 1e-7


class Muon(ListOptimizer):
    """Muon and AdamW over parameter groups by role; formula and arguments: :func:`muon`."""

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float = 0.001,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        adjust: str = "match_rms_adamw",
        adamw_lr_factor: float = 1.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps}
        adam = {"beta1": beta1, "beta2": beta2, "eps": eps, "adamw_lr_factor": adamw_lr_factor}
        super().__init__(
            groups, {**defaults, **adam, "adjust": adjust, "weight_decay": weight_decay}
        )

    def update(self, parameters: list[Tensor], gradients: list[Tensor], group: Group) -> None:
        """Update the parameters of one group."""
        shrink(parameters, group)
        pairs = list(zip(parameters, gradients, strict=True))
        matrices = [pair for pair in pairs if is_matrix(pair[0], group)]
        others = [pair for pair in pairs if not is_matrix(pair[0], group)]
        if matrices:
            self._update_matrices([p for p, _ in matrices], [g for _, g in matrices], group)
        if others:
            self._update_others([p for p, _ in others], [g for _, g in others], group)

    def _update_matrices(
        self, parameters: list[Tensor], gradients: list[Tensor], group: Group
    ) -> None:
        buffers = self.buffers(parameters, "momentum_buffer")
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        updates = list(buffers)
        if group["nesterov"]:
            updates = list(torch._foreach_lerp(gradients, buffers, group["momentum"]))
        directions = [_direction(update, group).to(update) for update in updates]
        descend(parameters, directions, group["lr"])

    def _update_others(
        self, parameters: list[Tensor], gradients: list[Tensor], group: Group
    ) -> None:
        means, squares = self.buffers(parameters, "mean"), self.buffers(parameters, "square")
        step = counted(group, "step", parameters[0]).add_(1)
        directions = adam_directions(gradients, means, squares, step, group)
        descend(parameters, directions, group["lr"] * group["adamw_lr_factor"])


def is_matrix(parameter: Tensor, group: Group) -> bool:
    """Return whether *parameter* is a weight of two dimensions or more."""
    return bool(group.get("role", "weight") == "weight" and parameter.ndim >= 2)


def orthogonalised(matrix: Tensor, steps: int) -> Tensor:
    """Return about U·Vᵀ of *matrix* = U·S·Vᵀ, in bfloat16, by Newton-Schulz iterations.

    The quintic is the authors': it drives singular values quickly into [0.7, 1.2], not to 1.
    """
    a, b, c = _QUINTIC
    tall = matrix.size(0) > matrix.size(1)
    x = matrix.to(torch.bfloat16)
    x = x.T if tall else x
    x = x / x.norm().clamp(min=_TINY)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def _direction(update: Tensor, group: Group) -> Tensor:
    matrix = update.flatten(1)
    rows, columns = matrix.shape
    scale = 0.2 * math.sqrt(max(rows, columns))
    if group["adjust"] == "original":
        scale = math.sqrt(max(1.0, rows / columns))
    return orthogonalised(matrix, group["ns_steps"]).to(update.dtype).mul(scale).view(update.shape)


def muon(
    groups: Groups,
    *,
    lr: float = 0.001,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_steps: int = 5,
    adjust: str = "match_rms_adamw",
    adamw_lr_factor: float = 1.0,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> Muon:
    r"""Return Muon for weights and AdamW for the rest.

    .. math::
        w &\leftarrow (1 - \eta \lambda) w \\
        b &\leftarrow \mu b + (1 - \mu) g, \qquad u = \mu b + (1 - \mu) g \\
        w &\leftarrow w - \eta \, s \, U V^\top, \qquad u = U S V^\top

    with g = ∇f at the old w and b = 0 at the start, for a weight as a matrix of m rows and n
    columns. s = 0.2 √max(m, n) gives the step the root mean square that AdamW's usually has;
    *original* is s = √max(1, m/n). Without *nesterov* u = b. U·Vᵀ comes from Newton-Schulz
    iterations in bfloat16, whatever the precision of the run.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        momentum: μ.
        nesterov: Whether to look ahead.
        ns_steps: Newton-Schulz iterations.
        adjust: What s is: ``match_rms_adamw`` or ``original``.
        adamw_lr_factor: AdamW's learning rate over η.
        beta1: β₁ of AdamW.
        beta2: β₂ of AdamW.
        eps: ε of AdamW, in units of the gradient.
        weight_decay: λ, where a group has none of its own.
    """
    return Muon(
        groups,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov,
        ns_steps=ns_steps,
        adjust=adjust,
        adamw_lr_factor=adamw_lr_factor,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        weight_decay=weight_decay,
    )
