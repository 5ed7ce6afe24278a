"""What the optimizers written here share: steps over lists of tensors, and Adam's direction.

A list of tensors is updated by a few kernels, whatever its length. Counts that a step depends on
are tensors on the parameters' device, so that a CUDA graph may hold the step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from normbench_plugins.optimizers.kernels import Groups

Closure = Callable[[], Tensor]
Group = dict[str, Any]


class ListOptimizer(Optimizer):
    """An optimizer whose subclass updates the parameters of a group together.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        defaults: Hyper-parameters, where a group has none of its own.
    """

    def __init__(self, groups: Groups, defaults: Group) -> None:
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Tensor | None:  # type: ignore[override]
        """Update all parameters that have a gradient; return the loss of *closure*, if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                self.update(moved, [p.grad for p in moved], group)
        return loss

    def update(self, parameters: list[Tensor], gradients: list[Tensor], group: Group) -> None:
        """Update *parameters* of one *group* in place; *gradients* must stay as they are."""
        raise NotImplementedError

    def buffers(self, parameters: Sequence[Tensor], name: str) -> list[Tensor]:
        """Return each parameter's state *name*, zero at the start and laid out as the parameter."""
        for parameter in parameters:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter)
        return [self.state[parameter][name] for parameter in parameters]


def counted(group: Group, name: str, like: Tensor) -> Tensor:
    """Return the number *name* that *group* keeps: a float64 scalar, 0 at the start."""
    if name not in group:
        group[name] = torch.zeros((), dtype=torch.float64, device=like.device)
    number: Tensor = group[name]
    return number


def scalar_for(tensors: Sequence[Tensor], number: float | Tensor) -> float | Tensor:
    """Return *number* as torch's kernels over the list *tensors* take it: in the list's dtype.

    By a scalar tensor of another dtype, torch multiplies and divides a list on CUDA one tensor at a
    time. It rounds the scalar to each tensor's dtype first, so the bits are the same; only where a
    tensor is itself a scalar it does not, and the number is returned as it is.
    """
    if not isinstance(number, Tensor) or not all(tensor.dim() for tensor in tensors):
        return number
    return number.to(tensors[0].dtype)


def adam_directions(
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    step: Tensor,
    group: Group,
) -> list[Tensor]:
    """Move both moments and return m̂/(√v̂ + ε), a new list; *step* counts from 1."""
    beta1, beta2 = group["beta1"], group["beta2"]
    torch._foreach_lerp_(means, gradients, 1 - beta1)
    torch._foreach_mul_(squares, beta2)
    torch._foreach_addcmul_(squares, gradients, gradients, value=1 - beta2)
    roots = torch._foreach_sqrt(squares)
    torch._foreach_div_(roots, scalar_for(roots, (1 - beta2**step).sqrt()))
    torch._foreach_add_(roots, group["eps"])
    directions = torch._foreach_div(means, roots)
    torch._foreach_div_(directions, scalar_for(means, 1 - beta1**step))
    return list(directions)


def shrink(parameters: list[Tensor], group: Group) -> None:
    """Apply decoupled weight decay: w ← (1 - ηλ) w."""
    if group["weight_decay"]:
        kept = 1 - group["lr"] * group["weight_decay"]
        torch._foreach_mul_(parameters, scalar_for(parameters, kept))


def descend(parameters: list[Tensor], directions: list[Tensor], lr: float | Tensor) -> None:
    """Take the step w ← w - η·d; *directions* are overwritten."""
    torch._foreach_mul_(directions, scalar_for(directions, lr))
    torch._foreach_sub_(parameters, directions)
