"""AdamSRT: AdamS whose moments are rescaled and transported along the sphere.

Spherical Perspective on Learning with Normalization Layers, S. Roburin, Y. de Mont-Marin,
A. Bursuc, R. Marlet, P. Pérez and M. Aubry, Neurocomputing 487, 2022, arXiv:2006.13382, and its
code, github.com/ymontmarin/adamsrt. Weight decay is added to a copy of the gradient, where the code
alters the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normbench_plugins.optimizers.adam_s import AdamS
from normbench_plugins.optimizers.kernels import Groups, capturable, listed
from normbench_plugins.optimizers.spheres import (
    Spheres,
    divisors_of,
    inner_product,
    squared_norms,
    transport,
    transport_lists,
)
from normbench_plugins.optimizers.spherical import Batch, Group


class AdamSRT(AdamS):
    r"""AdamS whose moments follow the parameter along its spheres.

    After the step of :class:`AdamS` from x to x⁺, on every sphere of more than one number,

    .. math::
        v &\leftarrow v \, \frac{\langle x, x \rangle}{\langle x^+, x^+ \rangle + \epsilon} \\
        m &\leftarrow \frac{\langle x, x^+ \rangle m - \langle m, x^+ \rangle x}
                           {\langle x^+, x^+ \rangle + \epsilon}

    because gradients of a scale-invariant loss are tangent and shrink as 1/‖x‖. With decoupled
    weight decay x is the decayed parameter. A sphere at 0 has no direction: its moments restart
    from 0. Arguments, groups and state are those of :class:`AdamS`.
    """

    def update_lists(self, batch: Batch) -> None:
        """Update all parameters of *batch* with operations over lists of tensors."""
        if batch.elementwise:
            super().update_lists(batch)
            return
        before = squared_norms(batch.weights, batch.spheres)
        super().update_lists(batch)
        after = squared_norms(batch.weights, batch.spheres)
        divisors = divisors_of(after, batch.group["eps"])
        transport_lists(batch.moments("exp_avg"), batch.weights, after, divisors, batch.spheres)
        torch._foreach_div_(before, divisors)
        torch._foreach_mul_([state["exp_avg_sq"] for state in batch.states], before)

    def update_one(
        self,
        weight: Tensor,
        gradient: Tensor,
        state: dict[str, Any],
        spheres: Spheres,
        group: Group,
    ) -> None:
        """Update one parameter as the formulas are written."""
        old = weight.clone()
        super().update_one(weight, gradient, state, spheres, group)
        if spheres.size == 1:
            return
        (divisor,) = divisors_of([inner_product(weight, weight, spheres)], group["eps"])
        state["exp_avg_sq"].mul_(inner_product(old, old, spheres) / divisor)
        mean = spheres.view_of(state["exp_avg"])
        mean.copy_(transport(mean, old, weight, spheres, group["eps"]))


def adam_srt(
    groups: Groups,
    *,
    lr: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    channel_dims: tuple[int, ...] | None = None,
) -> AdamSRT:
    """Return :class:`AdamSRT`.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        beta1: β₁, decay of the mean of gradients.
        beta2: β₂, decay of the mean of squared gradient norms.
        eps: ε, in units of a sphere's gradient, and of its squared norm in the transport.
        weight_decay: λ, where a group has none of its own.
        decoupled: Whether weight decay acts on the weights.
        channel_dims: Dimensions that number the spheres of every scale-invariant weight; None for
            what the norm makes invariant.
    """
    groups = listed(groups)
    return AdamSRT(
        groups,
        lr,
        (beta1, beta2),
        eps,
        weight_decay,
        decoupled=decoupled,
        channel_dims=channel_dims,
        capturable=capturable(groups),
    )
