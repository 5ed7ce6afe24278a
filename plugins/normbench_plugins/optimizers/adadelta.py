"""Adadelta: steps in the parameters' own units.

ADADELTA: An Adaptive Learning Rate Method, M. D. Zeiler, 2012, arXiv:1212.5701. The paper has no
learning rate; here as in torch it multiplies the step, and 1 is the paper's.
"""

from __future__ import annotations

from torch.optim import Adadelta

from normbench_plugins.optimizers.kernels import Groups, capturable, listed


def adadelta(
    groups: Groups,
    *,
    lr: float = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> Adadelta:
    r"""Return Adadelta.

    .. math::
        g &\leftarrow \nabla f(w) + \lambda w, \qquad
        v \leftarrow \rho v + (1 - \rho) g^2 \\
        d &= \frac{\sqrt{u + \epsilon}}{\sqrt{v + \epsilon}} \, g, \qquad
        u \leftarrow \rho u + (1 - \rho) d^2, \qquad
        w \leftarrow w - \eta d

    with u = v = 0 at the start.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        rho: ρ, decay of both means of squares.
        eps: ε, in units of the gradient squared and of the parameter squared.
        weight_decay: λ, where a group has none of its own.

    Returns:
        ``torch.optim.Adadelta`` over lists of tensors; torch has no fused kernel for it.
    """
    groups = listed(groups)
    return Adadelta(
        groups,
        lr=lr,
        rho=rho,
        eps=eps,
        weight_decay=weight_decay,
        foreach=True,
        capturable=capturable(groups),
    )
