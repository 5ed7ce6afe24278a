"""SAM: momentum with the gradient of a nearby, worse point.

Sharpness-Aware Minimization for Efficiently Improving Generalization, P. Foret, A. Kleiner,
H. Mobahi and B. Neyshabur, ICLR 2021, arXiv:2010.01412. The adaptive form is ASAM: Adaptive
Sharpness-Aware Minimization for Scale-Invariant Learning of Deep Neural Networks, J. Kwon, J. Kim,
H. Park and I. K. Choi, ICML 2021, arXiv:2102.11600, whose ρ is about ten times as large. Weight
decay acts in the momentum step alone, not in the perturbation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD

from normbench import UsageError
from normbench_plugins.optimizers.kernels import Groups, fused, listed
from normbench_plugins.optimizers.lists import Closure

_TINY = 1e-12


class SAM(SGD):
    """SAM over torch's SGD; formula and arguments: :func:`sam`.

    Args:
        fused: Whether SGD's step is fused; None lets torch decide.
    """

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float = 0.01,
        momentum: float = 0.9,
        rho: float = 0.05,
        adaptive: bool = False,
        weight_decay: float = 0.0,
        fused: bool | None = None,
    ) -> None:
        super().__init__(groups, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused)
        self.defaults.update(rho=rho, adaptive=adaptive)  # for groups added later
        for group in self.param_groups:
            group.setdefault("rho", rho)
            group.setdefault("adaptive", adaptive)

    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """Evaluate *closure* here and at the perturbed point, and step from here.

        Args:
            closure: Sets all gradients and returns the loss; called twice.

        Returns:
            The loss at the point before the step; without any gradient nothing moves.

        Raises:
            UsageError: Without a closure.
        """
        if closure is None:
            raise UsageError(
                "sam received no closure: it needs the gradient at two points. Give "
                "step() a function that sets the gradients and returns the loss."
            )
        with torch.enable_grad():
            loss = closure()
        kept = self._climb()
        if not kept:
            return loss
        with torch.enable_grad():
            closure()
        with torch.no_grad():
            for parameters, values in kept:
                torch._foreach_copy_(parameters, values)
        super().step()
        return loss

    @torch.no_grad()
    def _climb(self) -> list[tuple[list[Tensor], list[Tensor]]]:
        """Move all parameters to the perturbed point; return them with what they were."""
        moved, scaled, kept = [], [], []
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                moved.append((parameters, group))
                scaled.append(_scaled([p.grad for p in parameters], parameters, group))
                kept.append((parameters, [p.clone() for p in parameters]))
        if not kept:
            return kept
        norms = [norm for gradients in scaled for norm in torch._foreach_norm(gradients)]
        length = torch.stack(norms).norm() + _TINY
        for (parameters, group), gradients in zip(moved, scaled, strict=True):
            ascents = torch._foreach_mul(_scaled(gradients, parameters, group), group["rho"])
            torch._foreach_add_(parameters, torch._foreach_div(ascents, length))
        return kept


def _scaled(tensors: list[Tensor], parameters: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
    """Return T·*tensors*."""
    if not group["adaptive"]:
        return tensors
    return list(torch._foreach_mul(tensors, torch._foreach_abs(parameters)))


def sam(
    groups: Groups,
    *,
    lr: float = 0.01,
    momentum: float = 0.9,
    rho: float = 0.05,
    adaptive: bool = False,
    weight_decay: float = 0.0,
) -> SAM:
    r"""Return SAM over SGD with heavy-ball momentum.

    .. math::
        g &= \nabla f\!\left(w + \rho \frac{T^2 \nabla f(w)}{\lVert T \nabla f(w) \rVert}\right)
            + \lambda w \\
        b &\leftarrow \mu b + g, \qquad w \leftarrow w - \eta b

    with b = 0 at the start, the norm taken over all parameters, and T = 1, or T = |w| if adaptive.
    Each step costs two gradients. Outside the harness the closure's second call moves running
    statistics once more; normbench keeps those of the first.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        momentum: μ.
        rho: ρ, distance to the perturbed point; relative to the parameters if adaptive.
        adaptive: Whether to perturb each parameter in proportion to its size.
        weight_decay: λ, where a group has none of its own.
    """
    groups = listed(groups)
    return SAM(
        groups,
        lr=lr,
        momentum=momentum,
        rho=rho,
        adaptive=adaptive,
        weight_decay=weight_decay,
        fused=fused(groups),
    )
