"""Gradients divided by the root of the sum of all past squares.

Adaptive Subgradient Methods for Online Learning and Stochastic Optimization, J. Duchi, E. Hazan and
Y. Singer, JMLR 12, 2011, jmlr.org/papers/v12/duchi11a.html. The diagonal form, as in torch.
"""

from __future__ import annotations

from torch.optim import Adagrad

from normbench_plugins.optimizers.kernels import Groups, capturable, fused, listed


def adagrad(
    groups: Groups,
    *,
    lr: float = 0.01,
    lr_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> Adagrad:
    r"""Return Adagrad.

    .. math::
        g \leftarrow \nabla f(w) + \lambda w, \qquad
        s \leftarrow s + g^2, \qquad
        w \leftarrow w - \frac{\eta}{1 + (t - 1) \kappa} \, \frac{g}{\sqrt{s} + \epsilon}

    in step t = 1, 2, ..., with s = s₀ at the start.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        lr_decay: κ, in the protocol's schedule on top of it.
        initial_accumulator_value: s₀.
        eps: ε, in units of the gradient.
        weight_decay: λ, where a group has none of its own.

    Returns:
        ``torch.optim.Adagrad``, fused on a CPU and over lists of tensors elsewhere.
    """
    groups = listed(groups)
    # torch's fused kernel for CUDA is newer than the oldest torch supported.
    on_cpu = not capturable(groups)
    return Adagrad(
        groups,
        lr=lr,
        lr_decay=lr_decay,
        initial_accumulator_value=initial_accumulator_value,
        eps=eps,
        weight_decay=weight_decay,
        fused=fused(groups) if on_cpu else None,
        foreach=None if on_cpu else True,
    )
