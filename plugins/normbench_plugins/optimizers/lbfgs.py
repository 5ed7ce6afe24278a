"""L-BFGS on one batch after another.

On the Limited Memory BFGS Method for Large Scale Optimization, D. C. Liu and J. Nocedal,
Mathematical Programming 45, 1989, doi:10.1007/BF01589116. torch's implementation, which carries its
curvature pairs from batch to batch. It was made for deterministic losses: on batches the pairs
are as noisy as the gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, optim

from normbench import UsageError
from normbench_plugins.optimizers.kernels import Groups
from normbench_plugins.optimizers.lists import Closure


class LBFGS(optim.LBFGS):
    """torch's L-BFGS for groups by role and parameters in any memory format; see :func:`lbfgs`.

    Its one group holds the parameters of all groups, in ``roles`` and ``invariances`` what is known
    of each, and in ``decays`` each one's L2 coefficient.
    """

    def __init__(self, groups: Groups, *, lr: float, weight_decay: float, **values: Any) -> None:
        super().__init__([_merged(groups, lr, weight_decay)], lr=lr, **values)

    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """Minimise the loss of *closure* and the L2 penalty for up to *max_iter* iterations.

        Args:
            closure: Sets all gradients and returns the loss; called as often as needed.

        Returns:
            The penalised loss at the point before the step.

        Raises:
            UsageError: Without a closure.
        """
        if closure is None:
            raise UsageError(
                "lbfgs received no closure: its line search evaluates the loss. Give "
                "step() a function that sets the gradients and returns the loss."
            )
        if not self.param_groups[0]["lr"]:
            return self._penalised(closure)  # torch's search divides by the first step's length
        loss: Tensor = super().step(lambda: self._penalised(closure))
        return loss

    def _penalised(self, closure: Closure) -> Tensor:
        """Return the loss with ½λ|w|², whose gradient is added."""
        loss = closure().detach()
        group = self.param_groups[0]
        with torch.no_grad():
            for parameter, decay in zip(group["params"], group["decays"], strict=True):
                if parameter.grad is None:
                    continue
                if decay:
                    parameter.grad.add_(parameter, alpha=decay)
                    loss = loss + decay / 2 * parameter.square().sum()
                # torch views each gradient as flat, which channels_last ones are not.
                parameter.grad = parameter.grad.contiguous()
        return loss


def _merged(groups: Groups, lr: float, weight_decay: float) -> dict[str, Any]:
    """Return one group of all parameters."""
    rates = sorted({float(group.get("lr", lr)) for group in groups})
    if len(rates) > 1:
        raise UsageError(
            f"lbfgs received the learning rates {', '.join(f'{rate:g}' for rate in rates)}: it "
            "moves all parameters along one direction and so has one rate. Leave out "
            "ablation.scale_lr_divisor, or use another optimizer."
        )
    members = [(group, index) for group in groups for index in range(len(group["params"]))]
    return {
        "params": [group["params"][index] for group, index in members],
        "lr": rates[0],
        "roles": [group.get("role", "weight") for group, _ in members],
        "invariances": [_invariance(group, index) for group, index in members],
        "decays": [group.get("weight_decay", weight_decay) for group, _ in members],
    }


def _invariance(group: Mapping[str, Any], index: int) -> Any:
    return group["invariances"][index] if "invariances" in group else None


def lbfgs(
    groups: Groups,
    *,
    lr: float = 1.0,
    max_iter: int = 20,
    history_size: int = 10,
    line_search: bool = True,
    tolerance_grad: float = 1e-7,
    tolerance_change: float = 1e-9,
    weight_decay: float = 0.0,
) -> LBFGS:
    r"""Return L-BFGS.

    Each step minimises f on its batch, f(w) = loss + ½λ Σ w² over the decayed weights, by up to
    *max_iter* iterations

    .. math:: w \leftarrow w - \alpha H \nabla f(w)

    with H the inverse Hessian that follows from the last *history_size* pairs of changes in w and
    ∇f, and α = η without, or found from η on with a line search under the strong Wolfe conditions.

    Args:
        groups: Parameter groups with one learning rate; they are merged into one.
        lr: η.
        max_iter: Iterations on a batch; up to 1.25 times as many evaluations.
        history_size: Pairs kept.
        line_search: Whether to search along each direction.
        tolerance_grad: A batch is left when no number of ∇f is larger.
        tolerance_change: A batch is left when step and loss change by less.
        weight_decay: λ, where a group has none of its own.

    Returns:
        ``torch.optim.LBFGS``, with L2 penalty and for parameters in any memory format.
    """
    return LBFGS(
        groups,
        lr=lr,
        max_iter=max_iter,
        history_size=history_size,
        line_search_fn="strong_wolfe" if line_search else None,
        tolerance_grad=tolerance_grad,
        tolerance_change=tolerance_change,
        weight_decay=weight_decay,
    )
