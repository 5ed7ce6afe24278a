"""SAM: momentum with the gradient of a nearby, worse point.

Sharpness-Aware Minimization for Efficiently Improving Generalization, P. Foret, A. Kleiner,
H. Mobahi and B. Neyshabur, ICLR 2021, arXiv:2010.01412. The adaptive form is ASAM: Adaptive
Sharpness-Aware Minimization for Scale-Invariant Learning of Deep Neural Networks, J. Kwon, J. Kim,
H. Park and I. K. Choi, ICML 2021, arXiv:2102.11600, whose ρ is about ten times as large. Weight
decay acts in the momentum step alone, not in the perturbation.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import SGD

from normbench import UsageError
from normbench_plugins.optimizers.kernels import Groups, fused
from normbench_plugins.optimizers.lists import Closure

_TINY = 1e-12


class SAM(SGD):
    """SAM over torch's SGD; formula and arguments: :func:`sam`."""

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float = 0.01,
        momentum: float = 0.9,
        rho: float = 0.05,
        adaptive: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            groups, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused(groups)
        )
        for group in self.param_groups:
            group.setdefault("rho", rho)
            group.setdefault("adaptive", adaptive)

    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """Evaluate *closure* here and at the perturbed point, and step from here.

        Args:
            closure: Sets all gradients and returns the loss; called twice.

        Returns:
            The loss at the point before the step.

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
        with torch.enable_grad():
            closure()
        with torch.no_grad():
            for parameter, value in kept:
                parameter.copy_(value)
        super().step()
        return loss

    @torch.no_grad()
    def _climb(self) -> list[tuple[Tensor, Tensor]]:
        """Move every parameter to the perturbed point; return what each was."""
        moved = [
            (parameter, group)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        parameters = [parameter for parameter, _ in moved]
        kept = [parameter.clone() for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters]
        scales = [p.abs() if group["adaptive"] else 1.0 for p, group in moved]
        scaled = [g * scale for g, scale in zip(gradients, scales, strict=True)]
        norm = torch.stack(torch._foreach_norm(scaled)).norm()
        for (parameter, group), gradient, scale in zip(moved, scaled, scales, strict=True):
            parameter.add_(gradient * scale * (group["rho"] / (norm + _TINY)))
        return list(zip(parameters, kept, strict=True))


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
        groups: Parameter groups; extra keys in them are kept.
        lr: η, where a group has none of its own.
        momentum: μ.
        rho: ρ, distance to the perturbed point; relative to the parameters if adaptive.
        adaptive: Whether to perturb each parameter in proportion to its size.
        weight_decay: λ, where a group has none of its own.
    """
    return SAM(
        groups,
        lr=lr,
        momentum=momentum,
        rho=rho,
        adaptive=adaptive,
        weight_decay=weight_decay,
    )
