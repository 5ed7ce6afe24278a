"""Checks that an optimizer minimises, and obeys learning rate, weight decay and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from normbench.descriptions import Optimizer
from normbench.errors import UsageError
from normbench.testing.checking import ContractError, require
from normbench.testing.stepping import (
    Loss,
    Stepper,
    has,
    over,
    rates,
    weights_of,
)

QUADRATIC_STEPS = 1000
ROSENBROCK_STEPS = 1500


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


def stands_still_at_rate_zero(optimizer: Optimizer) -> None:
    """At learning rate 0, where a warm-up starts, weights stay and nothing becomes NaN."""
    weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64))
    stepper = over(optimizer, [weight])
    before = weights_of([weight])[0]
    stepper.scale_rate(0.0)
    for _ in range(3):
        stepper.step(lambda: weight.square().sum())
    moved = (weight.detach() - before).abs().max()
    require(
        moved < 1e-12,
        f"with group['lr'] = 0 weights move by {moved:.3g} in three steps.",
        "weights that stay, weight decay included, and no NaN.",
        "multiply every change of the weights by the group's lr, and do not divide by it.",
    )


def follows_its_learning_rate(optimizer: Optimizer) -> None:
    """A schedule that changes group['lr'] between steps changes the steps."""
    ends = []
    for factor in (1.0, 0.5):
        weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64))
        stepper = over(optimizer, [weight])
        for step in range(4):
            if step == 2:
                stepper.scale_rate(factor)
            stepper.step(lambda: (weight**4).sum())  # noqa: B023 - called at once
        ends.append(weight.detach())
    require(
        not torch.equal(*ends),
        "halving group['lr'] after two steps leaves the weights as without.",
        "steps that shrink with the learning rate.",
        "read group['lr'] in every step; do not keep a copy from construction.",
    )


def keeps_rates_of_groups_apart(optimizer: Optimizer) -> str | None:
    """Each group moves at its own learning rate, and not at all where that is 0."""
    moving, still = (nn.Parameter(torch.full((2, 3), 2.0, dtype=torch.float64)) for _ in range(2))
    rate = next(rates(optimizer))
    groups = [
        {"params": [weight], "role": role, "lr": lr, "weight_decay": 0.0, "invariances": [None]}
        for weight, role, lr in ((moving, "weight", rate), (still, "norm_scale", 0.0))
    ]
    try:
        stepper = Stepper(optimizer, groups)
    except UsageError as error:
        return f"it refuses groups of different rates: {error}"
    for _ in range(2):
        stepper.step(lambda: moving.square().sum() + still.square().sum())
    require(
        (still - 2.0).abs().max() < 1e-12 and (moving != 2.0).all(),
        "of two groups with lr above 0 and lr=0 "
        f"{'the second moves' if (still != 2.0).any() else 'the first stays'}.",
        "steps by each group's own lr: the scale of norms may learn more slowly.",
        "read group['lr'] inside the loop over self.param_groups.",
    )
    return None


def decays_where_it_is_told(optimizer: Optimizer) -> str | None:
    """With gradients of 0, weights move where their group has a weight decay, and only there."""
    if not has(optimizer, "weight_decay"):
        return "it has no parameter weight_decay"
    decayed, kept = (nn.Parameter(torch.full((2, 3), 2.0, dtype=torch.float64)) for _ in range(2))
    rate = next(rates(optimizer))
    groups = [
        {"params": [weight], "role": role, "lr": rate, "weight_decay": decay, "invariances": [None]}
        for weight, role, decay in ((decayed, "weight", 0.1), (kept, "norm_scale", 0.0))
    ]
    stepper = Stepper(optimizer, groups, weight_decay=0.1)
    for _ in range(2):
        stepper.step(lambda: 0.0 * (decayed.sum() + kept.sum()))
    require(
        (kept == 2.0).all(),
        "a weight in a group with weight_decay=0 moves although its gradient is 0.",
        "weight decay by group: norms and biases are not decayed.",
        "read group['weight_decay'] in step; the keyword is only the default of groups without.",
    )
    require(
        (decayed < 2.0).all(),
        "a weight in a group with weight_decay=0.1 does not shrink.",
        "a smaller weight after two steps with gradient 0.",
        "apply group['weight_decay'], or leave the parameter out of the description.",
    )
    return None


def leaves_gradients_alone(optimizer: Optimizer) -> str | None:
    """A step does not write into the gradients, which probes may read afterwards."""
    if optimizer.needs_closure:
        return "its closure computes gradients anew"
    weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64))
    values: dict[str, Any] = {"weight_decay": 0.1} if has(optimizer, "weight_decay") else {}
    stepper = over(optimizer, [weight], **values)
    gradient = torch.ones_like(weight)
    weight.grad = gradient.clone()
    stepper.optimizer.step()
    require(
        weight.grad is not None and torch.equal(weight.grad, gradient),
        "after step() weight.grad holds other numbers than before.",
        "gradients as backward() left them.",
        "add weight decay out of place: gradient = p.grad.add(p, alpha=weight_decay).",
    )
    return None


def passes_over_missing_gradients(optimizer: Optimizer) -> None:
    """A parameter without a gradient stays as it is, and the others are updated."""
    used, unused = (nn.Parameter(torch.ones(2, 2, dtype=torch.float64)) for _ in range(2))
    stepper = over(optimizer, [used, unused])
    for _ in range(2):
        stepper.step(lambda: used.square().sum())
    require(
        (unused == 1.0).all() and not (used == 1.0).all(),
        "with a parameter whose grad is None, "
        f"{'that one moves' if (unused != 1.0).any() else 'the others stay'}.",
        "only parameters with a gradient move.",
        "skip parameters with `if p.grad is None: continue`.",
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
    """Return the smallest share of the first loss that is reached; stop where it is enough."""
    first = stepper.step(loss)
    best = math.inf
    for _ in range(steps):
        value = stepper.step(loss) / first
        if not math.isfinite(value):
            return best
        best = min(best, value)
        if best <= share:
            return best
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
