"""Signum (Bernstein et al., 2018, arXiv:1802.04434): an example of an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Signum(torch.optim.Optimizer):
    """m ← μ·m + (1 - μ)·(g + λ·w);  w ← w - η·sign(m)."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all parameters once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        gradient = weight.grad.add(weight, alpha=group["weight_decay"])
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        weight.sub_(state["momentum"].sign(), alpha=group["lr"])


def signum(
    groups: list[dict[str, Any]], *, lr: float, momentum: float, weight_decay: float
) -> Signum:
    """Return the optimizer over *groups*."""
    defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    return Signum(groups, defaults)
