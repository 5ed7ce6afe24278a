"""Checks of what an optimizer's description claims: parameters, ranges, closure, foreach."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from normbench.descriptions import Optimizer
from normbench.errors import UsageError
from normbench.roles import Built
from normbench.testing.checking import ContractError, require
from normbench.testing.ranges import range_to_add, values_to_try
from normbench.testing.stepping import (
    Stepper,
    has,
    over,
    over_network,
    regression,
    small_network,
    weights_of,
)


def has_a_learning_rate(optimizer: Optimizer) -> None:
    """One of its parameters is called lr, and tuners know where to look for it."""
    found = [parameter for parameter in optimizer.parameters if parameter.name == "lr"]
    require(
        found and found[0].search is not None,
        "the description has no parameter lr." if not found else "its parameter lr has no search.",
        "a Parameter named lr with a Search, which schedules and tuners use.",
        'add Parameter(name="lr", ..., search=Search(scale="log", low=..., high=...)).',
    )


def trains_a_network(optimizer: Optimizer) -> None:
    """It steps over the groups of a network, one for each role, and weights change."""
    built = small_network()
    stepper = over_network(optimizer, built)
    before = weights_of(list(built.network.parameters()))
    for step in range(3):
        stepper.step(regression(built, step))
    for (name, parameter), old in zip(built.network.named_parameters(), before, strict=True):
        require(
            parameter.isfinite().all() and not torch.equal(parameter, old),
            f"after three steps parameter {name} is "
            f"{'unchanged' if torch.equal(parameter, old) else 'not finite'}.",
            "every parameter with a gradient moves and stays finite.",
            "loop over all groups and all their parameters.",
        )


def needs_a_closure_as_it_says(optimizer: Optimizer) -> str | None:
    """step() calls a closure if the description says so, and does without one if not."""
    weight = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
    stepper = over(optimizer, [weight])
    calls: list[bool] = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        stepper.optimizer.zero_grad()
        loss = weight.square().sum()
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        return loss

    if not optimizer.needs_closure:
        _require_step_without(stepper.optimizer, weight)
        return None
    stepper.optimizer.step(closure)  # type: ignore[arg-type] # torch wants a float
    require(
        calls and all(calls),
        f"step(closure) called the closure {len(calls)} times"
        f"{', without gradients enabled' if not all(calls) else ''}.",
        "at least one call, with gradients enabled.",
        "evaluate the loss with `with torch.enable_grad(): loss = closure()`.",
    )
    return None


def foreach_equals_loop(optimizer: Optimizer) -> str | None:
    """With foreach on and off the weights agree to 1e-12 in float64."""
    ends = []
    for foreach in (True, False):
        built = small_network()
        stepper = _with_foreach(optimizer, built, foreach)
        if stepper is None:
            return "it has no foreach, neither as a parameter nor in its groups"
        for step in range(5):
            stepper.step(regression(built, step))
        ends.append(weights_of(list(built.network.parameters())))
    worst = max(float((one - two).abs().max()) for one, two in zip(*ends, strict=True))
    require(
        worst <= 1e-12,
        f"after five steps the weights with foreach=True and foreach=False differ by {worst:.3g}.",
        "the same update, to 1e-12 in float64.",
        "compare the two implementations line by line; the loop is the reference.",
    )
    return None


def refuses_what_it_cannot_do(optimizer: Optimizer) -> None:
    """Each value that a parameter allows takes finite steps or is refused with a UsageError."""
    for parameter in optimizer.parameters:
        for value in values_to_try(parameter):
            weight = nn.Parameter(torch.ones(3, 2, dtype=torch.float64))
            shown = f"{parameter.name}={value}"
            try:
                values: dict[str, Any] = {parameter.name: value}
                stepper = over(optimizer, [weight], **values)
                for _ in range(2):
                    stepper.step(lambda: weight.square().sum())  # noqa: B023 - called at once
            except UsageError:
                continue
            except Exception as error:
                raise ContractError(
                    f"{shown} is allowed, but ends in {type(error).__name__}: {error}",
                    "a finite step, or a UsageError that says what to give instead.",
                    range_to_add(parameter, value),
                ) from error
            require(
                weight.isfinite().all(),
                f"{shown} is allowed, and after two steps the weights are not finite.",
                "finite weights, or a UsageError that says what to give instead.",
                range_to_add(parameter, value),
            )


def _with_foreach(optimizer: Optimizer, built: Built, foreach: bool) -> Stepper | None:
    """Return the optimizer with foreach on or off, or None where it has no such switch."""
    described = has(optimizer, "foreach")
    values: dict[str, Any] = {"foreach": foreach} if described else {}
    stepper = over_network(optimizer, built, **values)
    groups = stepper.optimizer.param_groups
    if not described and "foreach" not in groups[0]:
        return None
    for group in groups:
        # As in torch: the switch lies in the groups, and fused would go before it.
        given = {"foreach": foreach, "fused": False}
        group.update({name: value for name, value in given.items() if name in group})
    return stepper


def _require_step_without(optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> None:
    weight.grad = torch.ones_like(weight)
    try:
        optimizer.step()
    except Exception as error:
        raise ContractError(
            f"step() without a closure ends in {type(error).__name__}: {error}",
            "a step on the gradients at hand, as needs_closure=False says.",
            "set needs_closure=True in the description.",
        ) from error
