"""Layer-wise trust ratios, as LARS and LAMB have them."""

from __future__ import annotations

import torch
from torch import Tensor

from normbench_plugins.optimizers.lists import Group


def adapts(group: Group) -> bool:
    """Return whether *group* gets a trust ratio: role weight does, and a group without a role."""
    return bool(group.get("role", "weight") == "weight")


def norms(tensors: list[Tensor]) -> Tensor:
    """Return the Euclidean norms of *tensors* as one vector, from few kernels."""
    return torch.stack(torch._foreach_norm(tensors))


def ratios(weights: Tensor, updates: Tensor) -> list[Tensor]:
    """Return *weights* / *updates* as scalars; 1 where either is 0, or the weight never moved."""
    defined = (weights > 0) & (updates > 0)
    return list(torch.where(defined, weights / updates, torch.ones_like(weights)).unbind())
