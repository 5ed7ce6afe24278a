"""AdamS: Adam with one second moment for each sphere.

Spherical Perspective on Learning with Normalization Layers, S. Roburin, Y. de Mont-Marin,
A. Bursuc, R. Marlet, P. Pérez and M. Aubry, Neurocomputing 487, 2022, arXiv:2006.13382, and its
code, github.com/ymontmarin/adamsrt. Weight decay is added to a copy of the gradient, where the code
alters the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from normbench_plugins.optimizers.kernels import Groups, capturable, listed
from normbench_plugins.optimizers.spheres import Spheres, inner_product, squared_norms
from normbench_plugins.optimizers.spherical import (
    Batch,
    Group,
    SphericalOptimizer,
    advance,
    bias_corrections,
    descend,
)


class AdamS(SphericalOptimizer):
    r"""Adam with one second moment for each sphere, of d numbers.

    .. math::
        g &\leftarrow \nabla f(x) + \lambda x \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) \langle g, g \rangle \\
        x &\leftarrow x - \eta \sqrt{d} \, \frac{m / (1 - \beta_1^t)}
                                       {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    in step t = 1, 2, ..., with m = v = 0 at the start and ⟨·, ·⟩ over one sphere, so v is one
    number for each. With d = 1 it is Adam. With *decoupled* weight decay x first becomes
    (1 - ηλ) x instead.

    Which slices of a parameter are spheres is an option of its group. Without ``invariances``,
    *channel_dims* lists the dimensions that number the spheres, in any order: ``[0]`` one for each
    output channel, as batch and instance norm need; ``[]`` the whole parameter, as layer norm
    needs; all dimensions for the classic optimizer. Groups of :func:`normbench.parameter_groups`
    have ``invariances``, which say for each parameter what the norm behind it makes scale
    invariant: None is optimized element by element, and *channel_dims*, if given, replaces the
    others.

    State of a parameter: ``step``, t; ``exp_avg``, m, of its shape; ``exp_avg_sq``, v, with 1 for
    each dimension within a sphere.

    Args:
        params: Parameters or groups; extra keys in groups are kept.
        lr: η.
        betas: β₁ and β₂, each from 0 to 0.999999.
        eps: ε, in units of a sphere's gradient.
        weight_decay: λ.
        decoupled: Whether weight decay acts on the weights.
        channel_dims: See above.
        channel_wise: What None for *channel_dims* means: ``[0]``, or with False all dimensions.
            False also turns ``invariances`` off.
        foreach: Whether to update lists of tensors; False follows the formulas one parameter after
            another, slower and the same up to rounding.
        capturable: Whether to keep t beside the parameters, so that a CUDA graph may hold the step.

    Raises:
        UsageError: If a value is out of range, *channel_dims* do not fit a parameter, or a
            parameter is complex; in ``step`` if a gradient is sparse.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        decoupled: bool = False,
        channel_dims: Sequence[int] | None = None,
        channel_wise: bool = True,
        foreach: bool = True,
        capturable: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled": decoupled,
            "channel_dims": channel_dims,
            "channel_wise": channel_wise,
            "foreach": foreach,
            "capturable": capturable,
        }
        super().__init__(params, options)

    def check_options(self, group: Group) -> None:
        """Refuse options out of range."""
        super().check_options(group)
        self.check_range(group, "betas", 0.0, 0.999999)
        self.check_range(group, "eps", 0.0)

    def step_factor(self, spheres: Spheres) -> float:
        """Return √d, which makes a step as long as Adam's on d numbers."""
        return sqrt(spheres.size)

    def new_state(self, weight: Tensor, spheres: Spheres) -> dict[str, Any]:
        """Return t = 0, m = 0 and v = 0."""
        return {
            "step": 0,
            "exp_avg": torch.zeros_like(weight),
            "exp_avg_sq": spheres.zeros_for(weight),
        }

    def update_lists(self, batch: Batch) -> None:
        """Update all parameters of *batch* with operations over lists of tensors."""
        group, (beta1, beta2) = batch.group, batch.group["betas"]
        means = batch.moments("exp_avg")
        squares = [state["exp_avg_sq"] for state in batch.states]
        torch._foreach_lerp_(means, batch.gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        if batch.elementwise:
            torch._foreach_addcmul_(squares, batch.gradients, batch.gradients, value=1 - beta2)
        else:
            norms = squared_norms(batch.gradients, batch.spheres)
            torch._foreach_add_(squares, norms, alpha=1 - beta2)

        steps = advance(batch.states, batch.weights, group)
        divisors = list(torch._foreach_sqrt(squares))
        torch._foreach_div_(divisors, [c**0.5 for c in bias_corrections(beta2, steps)])
        torch._foreach_add_(divisors, group["eps"])
        rates = [
            group["lr"] * self.step_factor(spheres) / correction
            for spheres, correction in zip(
                batch.spheres, bias_corrections(beta1, steps), strict=True
            )
        ]
        descend(batch.weights, means, divisors, rates)

    def update_one(
        self,
        weight: Tensor,
        gradient: Tensor,
        state: dict[str, Any],
        spheres: Spheres,
        group: Group,
    ) -> None:
        """Update one parameter as the formulas are written."""
        beta1, beta2 = group["betas"]
        mean, square = spheres.view_of(state["exp_avg"]), state["exp_avg_sq"]
        (step,) = advance([state], [weight], group)
        mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
        square.mul_(beta2).add_(inner_product(gradient, gradient, spheres), alpha=1 - beta2)
        divisor = square.sqrt() / (1 - beta2**step) ** 0.5 + group["eps"]
        rate = group["lr"] * self.step_factor(spheres)
        weight.sub_(rate * (mean / (1 - beta1**step)) / divisor)


def adam_s(
    groups: Groups,
    *,
    lr: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    channel_dims: tuple[int, ...] | None = None,
) -> AdamS:
    """Return :class:`AdamS`.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        beta1: β₁, decay of the mean of gradients.
        beta2: β₂, decay of the mean of squared gradient norms.
        eps: ε, in units of a sphere's gradient.
        weight_decay: λ, where a group has none of its own.
        decoupled: Whether weight decay acts on the weights.
        channel_dims: Dimensions that number the spheres of every scale-invariant weight; None for
            what the norm makes invariant.
    """
    groups = listed(groups)
    return AdamS(
        groups,
        lr,
        (beta1, beta2),
        eps,
        weight_decay,
        decoupled=decoupled,
        channel_dims=channel_dims,
        capturable=capturable(groups),
    )
