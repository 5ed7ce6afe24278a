"""Adam with Nesterov momentum.

Incorporating Nesterov Momentum into Adam, T. Dozat, ICLR 2016 workshop,
openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.
"""

from __future__ import annotations

from torch.optim import NAdam

from normbench_plugins.optimizers.kernels import Groups, capturable, listed


def nadam(
    groups: Groups,
    *,
    lr: float = 0.002,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    momentum_decay: float = 0.004,
    weight_decay: float = 0.0,
) -> NAdam:
    r"""Return NAdam.

    .. math::
        g &\leftarrow \nabla f(w) + \lambda w, \qquad
        \mu_t = \beta_1 \left(1 - \tfrac{1}{2} 0.96^{t \psi}\right) \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        w &\leftarrow w - \eta \, \frac{\mu_{t+1} m / (1 - \prod_{i \le t+1} \mu_i)
            + (1 - \mu_t) g / (1 - \prod_{i \le t} \mu_i)}
            {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    in step t = 1, 2, ..., with m = v = 0 at the start.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        beta1: β₁, decay of the mean of gradients.
        beta2: β₂, decay of the mean of squared gradients.
        eps: ε, in units of the gradient.
        momentum_decay: ψ, how fast μ grows from β₁/2 to β₁.
        weight_decay: λ, where a group has none of its own.

    Returns:
        ``torch.optim.NAdam`` over lists of tensors; torch has no fused kernel for it.
    """
    groups = listed(groups)
    return NAdam(
        groups,
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        momentum_decay=momentum_decay,
        foreach=True,
        capturable=capturable(groups),
    )
