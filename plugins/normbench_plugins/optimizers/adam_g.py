"""AdamG: Adam on unit spheres.

Riemannian Approach to Batch Normalization, M. Cho and J. Lee, NeurIPS 2017, arXiv:1709.09603, in
the simplified form that Spherical Perspective on Learning with Normalization Layers, S. Roburin et
al., 2022, arXiv:2006.13382, compares with (github.com/ymontmarin/adamsrt): it steps in a straight
line and renormalizes, where the original projects the gradient and follows a geodesic. That code
takes its two branches the wrong way round, so that convolutions get plain Adam while all other
parameters are normalized; here the spheres are.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from normbench_plugins.optimizers.adam_s import AdamS
from normbench_plugins.optimizers.kernels import Groups, capturable, listed
from normbench_plugins.optimizers.spheres import (
    Spheres,
    divisors_of,
    inner_product,
    squared_norms,
    transport_lists,
)
from normbench_plugins.optimizers.spherical import Batch, Group


class AdamG(AdamS):
    r"""Adam on unit spheres.

    With m and v as in :class:`AdamS`, but neither √d nor weight decay,

    .. math::
        x^+ &= x - \eta \, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} \\
        m &\leftarrow \frac{\langle x, x^+ \rangle m - \langle m, x^+ \rangle x}
                           {\|x\| \|x^+\| + \epsilon}, \qquad
        x \leftarrow \frac{x^+}{\|x^+\| + \epsilon}

    on every sphere of more than one number; all other parameters get Adam with weight decay. The
    first step brings a sphere of any radius to radius 1, also at learning rate 0. A sphere at 0
    has no direction: its m restarts from 0. Arguments, groups and state are those of
    :class:`AdamS`.
    """

    decays_spheres: ClassVar[bool] = False

    def step_factor(self, spheres: Spheres) -> float:  # noqa: ARG002 - the same for all
        """Return 1."""
        return 1.0

    def update_lists(self, batch: Batch) -> None:
        """Update all parameters of *batch* with operations over lists of tensors."""
        if batch.elementwise:
            super().update_lists(batch)
            return
        eps = batch.group["eps"]
        radii = list(torch._foreach_sqrt(squared_norms(batch.weights, batch.spheres)))
        super().update_lists(batch)
        squares = squared_norms(batch.weights, batch.spheres)
        after = torch._foreach_sqrt(squares)
        torch._foreach_mul_(radii, after)
        means = batch.moments("exp_avg")
        transport_lists(means, batch.weights, squares, divisors_of(radii, eps), batch.spheres)
        torch._foreach_div_(batch.weights, divisors_of(after, eps))

    def update_one(
        self,
        weight: Tensor,
        gradient: Tensor,
        state: dict[str, Any],
        spheres: Spheres,
        group: Group,
    ) -> None:
        """Update one parameter as the formulas are written."""
        old, eps = weight.clone(), group["eps"]
        super().update_one(weight, gradient, state, spheres, group)
        if spheres.size == 1:
            return
        before = inner_product(old, old, spheres).sqrt()
        after = inner_product(weight, weight, spheres).sqrt()
        turn, norm = divisors_of([before * after, after], eps)
        mean = spheres.view_of(state["exp_avg"])
        along, across = (inner_product(one, weight, spheres) for one in (old, mean))
        mean.copy_((mean * along - across * old) / turn)
        weight.div_(norm)


def adam_g(
    groups: Groups,
    *,
    lr: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    channel_dims: tuple[int, ...] | None = None,
) -> AdamG:
    """Return :class:`AdamG`.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        beta1: β₁, decay of the mean of gradients.
        beta2: β₂, decay of the mean of squared gradient norms.
        eps: ε, in units of a sphere's gradient, and of its norm when it is renormalized.
        weight_decay: λ, where a group has none of its own; not on spheres.
        decoupled: Whether weight decay acts on the weights.
        channel_dims: Dimensions that number the spheres of every scale-invariant weight; None for
            what the norm makes invariant.
    """
    groups = listed(groups)
    return AdamG(
        groups,
        lr,
        (beta1, beta2),
        eps,
        weight_decay,
        decoupled=decoupled,
        channel_dims=channel_dims,
        capturable=capturable(groups),
    )
