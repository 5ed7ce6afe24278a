"""SGD-MRT: SGD with momentum that is rescaled and transported along the sphere.

Spherical Perspective on Learning with Normalization Layers, S. Roburin, Y. de Mont-Marin,
A. Bursuc, R. Marlet, P. Pérez and M. Aubry, Neurocomputing 487, 2022, arXiv:2006.13382, and its
code, github.com/ymontmarin/adamsrt. Weight decay is added to a copy of the gradient, where the code
alters the gradient.
The momentum is 0.9 unless said, as in the paper's runs; in its code it is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from normbench_plugins.optimizers.kernels import Groups
from normbench_plugins.optimizers.spheres import (
    Spheres,
    divisors_of,
    squared_norms,
    transport,
    transport_lists,
)
from normbench_plugins.optimizers.spherical import Batch, Group, SphericalOptimizer


class SGDMRT(SphericalOptimizer):
    r"""SGD with heavy-ball momentum that follows the parameter along its spheres.

    .. math::
        g &\leftarrow \nabla f(x) + \lambda x, \qquad
        b \leftarrow \mu b + (1 - \tau) g, \qquad x^+ = x - \eta b \\
        b &\leftarrow \frac{\langle x, x^+ \rangle b - \langle b, x^+ \rangle x}
                           {\langle x^+, x^+ \rangle}

    with b = 0 at the start and ⟨·, ·⟩ over one sphere. The last line holds on spheres of more than
    one number; without them it is SGD with momentum. With *decoupled* weight decay x first becomes
    (1 - ηλ) x instead. A sphere at 0 has no direction: its b restarts from 0.

    Groups say which slices are spheres as in :class:`~normbench_plugins.optimizers.AdamS`. State of
    a parameter: ``momentum_buffer``, b, of its shape.

    Args:
        params: Parameters or groups; extra keys in groups are kept.
        lr: η.
        momentum: μ, in [0, 1].
        dampening: τ, in [0, 1]. Unlike in torch it acts on the first step too.
        weight_decay: λ.
        decoupled: Whether weight decay acts on the weights.
        channel_dims: Dimensions that number the spheres.
        channel_wise: What None for *channel_dims* means: ``[0]``, or with False all dimensions.
        foreach: Whether to update lists of tensors.

    Raises:
        UsageError: If a value is out of range, *channel_dims* do not fit a parameter, or a
            parameter is complex; in ``step`` if a gradient is sparse.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.1,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        *,
        decoupled: bool = False,
        channel_dims: Sequence[int] | None = None,
        channel_wise: bool = True,
        foreach: bool = True,
    ) -> None:
        options = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "decoupled": decoupled,
            "channel_dims": channel_dims,
            "channel_wise": channel_wise,
            "foreach": foreach,
        }
        super().__init__(params, options)

    def check_options(self, group: Group) -> None:
        """Refuse options out of range."""
        super().check_options(group)
        self.check_range(group, "momentum", 0.0, 1.0)
        self.check_range(group, "dampening", 0.0, 1.0)

    def new_state(self, weight: Tensor, spheres: Spheres) -> dict[str, Any]:  # noqa: ARG002
        """Return b = 0."""
        return {"momentum_buffer": torch.zeros_like(weight)}

    def update_lists(self, batch: Batch) -> None:
        """Update all parameters of *batch* with operations over lists of tensors."""
        group, buffers = batch.group, batch.moments("momentum_buffer")
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, batch.gradients, alpha=1 - group["dampening"])
        if torch.is_tensor(group["lr"]):  # as alpha it would be read from the device
            torch._foreach_sub_(batch.weights, torch._foreach_mul(buffers, group["lr"]))
        else:
            torch._foreach_add_(batch.weights, buffers, alpha=-group["lr"])
        if not batch.elementwise:
            squares = squared_norms(batch.weights, batch.spheres)
            divisors = divisors_of(squares, 0.0)
            transport_lists(buffers, batch.weights, squares, divisors, batch.spheres)

    def update_one(
        self,
        weight: Tensor,
        gradient: Tensor,
        state: dict[str, Any],
        spheres: Spheres,
        group: Group,
    ) -> None:
        """Update one parameter as the formulas are written."""
        old, buffer = weight.clone(), spheres.view_of(state["momentum_buffer"])
        buffer.mul_(group["momentum"]).add_(gradient, alpha=1 - group["dampening"])
        weight.sub_(group["lr"] * buffer)
        if spheres.size > 1:
            buffer.copy_(transport(buffer, old, weight, spheres))


def sgd_mrt(
    groups: Groups,
    *,
    lr: float = 0.1,
    momentum: float = 0.9,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    channel_dims: tuple[int, ...] | None = None,
) -> SGDMRT:
    """Return :class:`SGDMRT`.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        momentum: μ.
        dampening: τ.
        weight_decay: λ, where a group has none of its own.
        decoupled: Whether weight decay acts on the weights.
        channel_dims: Dimensions that number the spheres of every scale-invariant weight; None for
            what the norm makes invariant.
    """
    return SGDMRT(
        groups,
        lr,
        momentum,
        dampening,
        weight_decay,
        decoupled=decoupled,
        channel_dims=channel_dims,
    )
