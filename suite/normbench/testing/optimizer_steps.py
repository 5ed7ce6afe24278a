"""Checks that an optimizer obeys learning rates, weight decay and gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from normbench.descriptions import Optimizer
from normbench.errors import UsageError
from normbench.testing.checking import require
from normbench.testing.stepping import (
    Stepper,
    default_rate,
    has,
    over,
    weights_of,
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
    moved = _halved_at(optimizer, 2)
    if (moved[0] ** 3).abs().max() < 1e-6:  # it was there already
        moved = _halved_at(optimizer, 0)
    require(
        not torch.equal(*moved),
        "halving group['lr'] between steps leaves the weights as without.",
        "steps that shrink with the learning rate.",
        "read group['lr'] in every step; do not keep a copy from construction.",
    )


def _halved_at(optimizer: Optimizer, change: int) -> list[Tensor]:
    """Return where four steps end with a constant rate, and with half of it from step *change*."""
    ends = []
    for factor in (1.0, 0.5):
        weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64))
        stepper = over(optimizer, [weight])
        for step in range(4):
            if step == change:
                stepper.scale_rate(factor)
            stepper.step(lambda: (weight**4).sum())  # noqa: B023 - called at once
        ends.append(weight.detach())
    return ends


def keeps_rates_of_groups_apart(optimizer: Optimizer) -> str | None:
    """Each group moves at its own learning rate, and not at all where that is 0."""
    moving, still = (nn.Parameter(torch.full((2, 3), 2.0, dtype=torch.float64)) for _ in range(2))
    rate = default_rate(optimizer)
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
    rate = default_rate(optimizer)
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
