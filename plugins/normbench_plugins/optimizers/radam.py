"""Adam whose adaptive rate waits until its variance is bounded.

On the Variance of the Adaptive Learning Rate and Beyond, L. Liu, H. Jiang, P. He, W. Chen, X. Liu,
J. Gao and J. Han, ICLR 2020, arXiv:1908.03265.
"""

from __future__ import annotations

from torch.optim import RAdam

from normbench_plugins.optimizers.kernels import Groups, capturable, listed


def radam(
    groups: Groups,
    *,
    lr: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> RAdam:
    r"""Return RAdam.

    .. math::
        g &\leftarrow \nabla f(w) + \lambda w \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
        \hat m = \frac{m}{1 - \beta_1^t} \\
        \rho_\infty &= \frac{2}{1 - \beta_2} - 1, \qquad
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t} \\
        w &\leftarrow w - \eta \hat m \cdot
        \begin{cases}
            r_t \, \dfrac{\sqrt{1 - \beta_2^t}}{\sqrt{v} + \epsilon}, \quad
            r_t^2 = \dfrac{(\rho_t - 4)(\rho_t - 2) \rho_\infty}
                          {(\rho_\infty - 4)(\rho_\infty - 2) \rho_t}
            & \rho_t > 5 \\
            1 & \text{otherwise}
        \end{cases}

    in step t = 1, 2, ..., with m = v = 0 at the start. The first steps are those of SGD with
    momentum, so the rate is in their units too.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        beta1: β₁, decay of the mean of gradients.
        beta2: β₂, decay of the mean of squared gradients.
        eps: ε, in units of the gradient.
        weight_decay: λ, where a group has none of its own.

    Returns:
        ``torch.optim.RAdam`` over lists of tensors; torch has no fused kernel for it.
    """
    groups = listed(groups)
    return RAdam(
        groups,
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        foreach=True,
        capturable=capturable(groups),
    )
