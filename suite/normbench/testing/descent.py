"""Checks that an optimizer minimises: a convex quadratic, and Rosenbrock's function."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from normbench.descriptions import Optimizer
from normbench.testing.checking import ContractError
from normbench.testing.stepping import Loss, Stepper, over, rates

QUADRATIC_STEPS = 1000
ROSENBROCK_STEPS = 1500
PATIENCE = 200


def minimises_a_quadratic(optimizer: Optimizer) -> None:
    """At some learning rate of its search space a quadratic loses 99 % within 1000 steps."""

    def start() -> tuple[list[nn.Parameter], Loss]:
        weight = nn.Parameter(torch.zeros(4, 3, dtype=torch.float64))
        scale = torch.tensor([0.5, 1.0, 1.5, 2.0], dtype=torch.float64)[:, None]
        target = torch.arange(12, dtype=torch.float64).view(4, 3).cos() + 2.0
        return [weight], lambda: (scale * weight - target).square().sum()

    _require_descent(optimizer, start, QUADRATIC_STEPS, 0.01, "a convex quadratic of 12 numbers")


def minimises_rosenbrock(optimizer: Optimizer) -> None:
    """At some learning rate the Rosenbrock function loses 95 % within 1500 steps."""

    def start() -> tuple[list[nn.Parameter], Loss]:
        point = nn.Parameter(torch.tensor([-0.5, 0.5], dtype=torch.float64))

        def loss() -> Tensor:
            value: Tensor = _Rosenbrock.apply(point)
            return value

        return [point], loss

    _require_descent(
        optimizer, start, ROSENBROCK_STEPS, 0.05, "Rosenbrock's function from (-0.5, 0.5)"
    )


def _require_descent(
    optimizer: Optimizer,
    start: Callable[[], tuple[list[nn.Parameter], Loss]],
    steps: int,
    share: float,
    what: str,
) -> None:
    best, tried = math.inf, []
    for rate in rates(optimizer):
        tried.append(f"{rate:.3g}")
        weights, loss = start()
        best = min(best, _descend(over(optimizer, weights, lr=rate), loss, steps, share))
        if best <= share:
            return
    raise ContractError(
        f"after {steps} steps on {what} {best:.1%} of the loss are left at best, with learning "
        f"rates {', '.join(tried)}.",
        f"at most {share:.0%} at one of them.",
        "check the sign and size of the step; give lr a Search that holds rates which work.",
    )


def _descend(stepper: Stepper, loss: Loss, steps: int, share: float) -> float:
    """Return the smallest share of the first loss that is reached.

    Stop where it is enough, and where the loss has not fallen for long.
    """
    first = stepper.step(loss)
    best, found = math.inf, 0
    for step in range(steps):
        value = stepper.step(loss) / first
        if value < best:
            best, found = value, step
        if best <= share or not math.isfinite(value) or step - found > PATIENCE:
            break
    return best


class _Rosenbrock(torch.autograd.Function):
    """(1 - x)² + 100·(y - x²)², with its gradient in closed form, which is much faster."""

    @staticmethod
    def forward(ctx: object, point: Tensor) -> Tensor:
        x, y = point.tolist()
        rise = y - x * x
        ctx.gradient = (2 * (x - 1) - 400 * x * rise, 200 * rise)  # type: ignore[attr-defined]
        return point.new_tensor((1 - x) * (1 - x) + 100 * rise * rise)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        slope = gradient.new_tensor(ctx.gradient)  # type: ignore[attr-defined]
        return gradient * slope
