"""Adam with coupled weight decay.

Adam: A Method for Stochastic Optimization, D. P. Kingma and J. Ba, ICLR 2015, arXiv:1412.6980.
"""

from __future__ import annotations

from torch.optim import Adam

from normbench_plugins.optimizers.kernels import Groups, capturable, fused, listed


def adam(
    groups: Groups,
    *,
    lr: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Adam:
    r"""Return Adam.

    .. math::
        g &\leftarrow \nabla f(w) + \lambda w \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        w &\leftarrow w - \eta \, \frac{m / (1 - \beta_1^t)}
                                       {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    in step t = 1, 2, ..., with m = v = 0 at the start.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        beta1: β₁, decay of the mean of gradients.
        beta2: β₂, decay of the mean of squared gradients.
        eps: ε, in units of the gradient.
        weight_decay: λ, where a group has none of its own.

    Returns:
        ``torch.optim.Adam``, fused where torch can.
    """
    groups = listed(groups)
    return Adam(
        groups,
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        fused=fused(groups),
        capturable=capturable(groups),
    )
