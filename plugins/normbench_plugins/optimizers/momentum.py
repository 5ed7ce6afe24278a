"""Stochastic gradient descent with heavy-ball momentum; what papers call SGD-M.

Some Methods of Speeding up the Convergence of Iteration Methods, B. T. Polyak, USSR Computational
Mathematics and Mathematical Physics 4, 1964, doi:10.1016/0041-5553(64)90137-5. As in torch the
learning rate multiplies the buffer, so a schedule acts on past gradients too.
"""

from __future__ import annotations

from torch.optim import SGD

from normbench_plugins.optimizers.kernels import Groups, fused, listed


def momentum(
    groups: Groups, *, lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0.0
) -> SGD:
    r"""Return SGD with heavy-ball momentum.

    .. math::
        g \leftarrow \nabla f(w) + \lambda w, \qquad
        b \leftarrow \mu b + g, \qquad w \leftarrow w - \eta b

    with b = 0 at the start.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        momentum: μ.
        weight_decay: λ, where a group has none of its own.

    Returns:
        ``torch.optim.SGD``, fused where torch can.
    """
    groups = listed(groups)
    return SGD(groups, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused(groups))
