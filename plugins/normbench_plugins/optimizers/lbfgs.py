"""L-BFGS on one batch after another.

On the Limited Memory BFGS Method for Large Scale Optimization, D. C. Liu and J. Nocedal,
Mathematical Programming 45, 1989, doi:10.1007/BF01589116. torch's implementation, which carries its
curvature pairs from batch to batch. It was made for deterministic losses: on batches the pairs
are as noisy as the gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, optim

from normbench import UsageError
from normbench_plugins.optimizers.kernels import Groups
from normbench_plugins.optimizers.lists import Closure


class LBFGS(optim.Optimizer):
    """torch's L-BFGS for several groups and for parameters in any memory format; see :func:`lbfgs`.

    Args:
        groups: Parameter groups with one learning rate; each has its own weight decay.
        lr: Learning rate, where a group has none of its own.
        weight_decay: L2 coefficient, where a group has none of its own.
        values: What ``torch.optim.LBFGS`` takes.
    """

    def __init__(
        self, groups: Groups, *, lr: float = 1.0, weight_decay: float = 0.0, **values: Any
    ) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})
        parameters = [p for group in self.param_groups for p in group["params"]]
        self._solver = optim.LBFGS(parameters, lr=self._rate(), **values)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group while the optimizer is made; refuse one later, as the solver has begun.

        Raises:
            UsageError: Once the optimizer is made.
        """
        if hasattr(self, "_solver"):
            raise UsageError(
                "lbfgs received another group: it moves the parameters that it was made with along "
                "one direction. Give all groups at once, to a new optimizer."
            )
        super().add_param_group(param_group)

    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """Minimise the loss of *closure* and the L2 penalty for up to *max_iter* iterations.

        Args:
            closure: Sets all gradients and returns the loss; called as often as needed.

        Returns:
            The penalised loss at the point before the step.

        Raises:
            UsageError: Without a closure, or if the groups' learning rates differ.
        """
        if closure is None:
            raise UsageError(
                "lbfgs received no closure: its line search evaluates the loss. Give "
                "step() a function that sets the gradients and returns the loss."
            )
        rate = self._rate()
        if not rate:
            return self._penalised(closure)  # torch's search divides by the first step's length
        self._solver.param_groups[0]["lr"] = rate
        self._solver.state = self.state  # one state, which a state_dict holds
        loss: Tensor = self._solver.step(lambda: self._penalised(closure))
        return loss

    def _rate(self) -> float:
        rates = sorted({float(group["lr"]) for group in self.param_groups})
        if len(rates) > 1:
            raise UsageError(
                f"lbfgs received the learning rates {', '.join(f'{rate:g}' for rate in rates)}: it "
                "moves all parameters along one direction and so has one rate. Leave out "
                "ablation.scale_lr_divisor, or use another optimizer."
            )
        return rates[0]

    def _penalised(self, closure: Closure) -> Tensor:
        """Return the loss with ½λ|w|², whose gradient is added."""
        with torch.enable_grad():
            loss = closure().detach()
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        loss = loss + _add_penalty(parameter, group["weight_decay"])
        return loss


def _add_penalty(parameter: Tensor, decay: float) -> Tensor | float:
    """Add λw to the gradient and return ½λ|w|²; leave the gradient contiguous."""
    gradient = parameter.grad.add(parameter, alpha=decay) if decay else parameter.grad
    # torch views each gradient as flat, which channels_last ones are not.
    parameter.grad = gradient.contiguous()
    return decay / 2 * parameter.square().sum() if decay else 0.0


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
        groups: Parameter groups with one learning rate; extra keys in them are kept.
        lr: η.
        max_iter: Iterations on a batch; up to 1.25 times as many evaluations.
        history_size: Pairs kept.
        line_search: Whether to search along each direction.
        tolerance_grad: A batch is left when no number of ∇f is larger.
        tolerance_change: A batch is left when step and loss change by less.
        weight_decay: λ, where a group has none of its own.

    Returns:
        ``torch.optim.LBFGS`` inside, with L2 penalty and for parameters in any memory format.

    Raises:
        UsageError: If the groups have different learning rates.
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
