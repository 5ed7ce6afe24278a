"""Stochastic gradient descent with Nesterov momentum.

On the Importance of Initialization and Momentum in Deep Learning, I. Sutskever, J. Martens, G. Dahl
and G. Hinton, ICML 2013, after Y. Nesterov, 1983. The gradient is taken at the current point, and
the step looks ahead instead, as in torch.
"""

from __future__ import annotations

from torch.optim import SGD

from normbench_plugins.optimizers.kernels import Groups, fused, listed


def nesterov(
    groups: Groups, *, lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0.0
) -> SGD:
    r"""Return SGD with Nesterov momentum.

    .. math::
        g \leftarrow \nabla f(w) + \lambda w, \qquad
        b \leftarrow \mu b + g, \qquad w \leftarrow w - \eta (g + \mu b)

    with b = 0 at the start. For μ = 0 it is plain SGD.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        momentum: μ.
        weight_decay: λ, where a group has none of its own.

    Returns:
        ``torch.optim.SGD``, fused where torch can.
    """
    groups = listed(groups)
    return SGD(
        groups,
        lr=lr,
        momentum=momentum,
        nesterov=momentum > 0.0,  # torch refuses the flag where there is nothing to look ahead by
        weight_decay=weight_decay,
        fused=fused(groups),
    )
