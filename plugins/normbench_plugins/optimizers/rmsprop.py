"""RMSprop with coupled weight decay.

Lecture 6.5: Divide the gradient by a running average of its recent magnitude, T. Tieleman and
G. Hinton, COURSERA: Neural Networks for Machine Learning, 2012. As in torch, ε is added after the
square root, and v starts at 0 without bias correction. The centred form is that of Generating
Sequences With Recurrent Neural Networks, A. Graves, 2013, arXiv:1308.0850.
"""

from __future__ import annotations

from torch.optim import RMSprop

from normbench_plugins.optimizers.kernels import Groups, capturable, listed


def rmsprop(
    groups: Groups,
    *,
    lr: float = 0.001,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    centered: bool = False,
    weight_decay: float = 0.0,
) -> RMSprop:
    r"""Return RMSprop.

    .. math::
        g &\leftarrow \nabla f(w) + \lambda w \\
        v &\leftarrow \alpha v + (1 - \alpha) g^2 \\
        b &\leftarrow \mu b + \frac{g}{\sqrt{v} + \epsilon}, \qquad w \leftarrow w - \eta b

    with v = b = 0 at the start; *centered* subtracts the square of the running mean of g from v
    under the root.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        alpha: α, decay of the mean of squared gradients.
        eps: ε, in units of the gradient.
        momentum: μ.
        centered: Whether to divide by the deviation instead of the root mean square.
        weight_decay: λ, where a group has none of its own.

    Returns:
        ``torch.optim.RMSprop`` over lists of tensors; torch has no fused kernel for it.
    """
    groups = listed(groups)
    return RMSprop(
        groups,
        lr=lr,
        alpha=alpha,
        eps=eps,
        momentum=momentum,
        centered=centered,
        weight_decay=weight_decay,
        foreach=True,
        capturable=capturable(groups),
    )
