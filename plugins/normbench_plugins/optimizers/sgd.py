"""Plain stochastic gradient descent.

A Stochastic Approximation Method, H. Robbins and S. Monro, Annals of Mathematical Statistics 22,
1951, doi:10.1214/aoms/1177729586.
"""

from __future__ import annotations

from torch.optim import SGD

from normbench_plugins.optimizers.kernels import Groups, fused, listed


def sgd(groups: Groups, *, lr: float = 0.1, weight_decay: float = 0.0) -> SGD:
    r"""Return plain SGD.

    .. math::
        g \leftarrow \nabla f(w) + \lambda w, \qquad w \leftarrow w - \eta g

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        weight_decay: λ, where a group has none of its own.

    Returns:
        ``torch.optim.SGD``, fused where torch can.
    """
    groups = listed(groups)
    return SGD(groups, lr=lr, weight_decay=weight_decay, fused=fused(groups))
