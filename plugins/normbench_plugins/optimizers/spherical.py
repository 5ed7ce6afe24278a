"""What the optimizers on spheres share: groups, weight decay, and a step over lists of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from normbench import UsageError
from normbench_plugins.optimizers.spheres import Spheres, spheres_of

Group = Mapping[str, Any]
Counters = Sequence[Any]  # numbers, or 0-dim tensors


@dataclass
class Batch:
    """Parameters of one group that are updated together.

    Attributes:
        group: Their group.
        weights: The parameters, viewed as their spheres.
        gradients: Their gradients, in the same views.
        states: Their states.
        spheres: Their spheres.
        elementwise: Whether every sphere holds a single number.
    """

    group: dict[str, Any]
    elementwise: bool
    weights: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    spheres: list[Spheres] = field(default_factory=list)

    def moments(self, key: str) -> list[Tensor]:
        """Return the states called *key*, which have the parameters' shapes, in the views."""
        return [of.view_of(state[key]) for state, of in zip(self.states, self.spheres, strict=True)]

    def items(self) -> Iterator[tuple[Tensor, Tensor, dict[str, Any], Spheres]]:
        """Return weight, gradient, state and spheres of one parameter after another."""
        return zip(self.weights, self.gradients, self.states, self.spheres, strict=True)


class SphericalOptimizer(Optimizer):
    """An optimizer whose groups say which slices of their parameters are spheres.

    A subclass defines the state of a parameter and two forms of one update, which agree up to
    rounding: over lists of tensors, and parameter by parameter as the formulas are written.

    Args:
        params: Parameters or groups.
        options: The defaults of all group options, among them ``lr``, ``weight_decay``,
            ``decoupled``, ``channel_dims``, ``channel_wise`` and ``foreach``.

    Attributes:
        decays_spheres: Whether weight decay acts on spheres too.

    Raises:
        UsageError: If an option is out of range, or ``channel_dims`` do not fit a parameter.
    """

    decays_spheres: ClassVar[bool] = True

    def __init__(self, params: ParamsT, options: Mapping[str, Any]) -> None:
        super().__init__(params, dict(options))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; see :class:`torch.optim.Optimizer`."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self.check_options(group)
            for parameter, of in self._spheres(group):
                _check_parameter(parameter, of, type(self).__name__)
        except UsageError:
            self.param_groups.pop()
            raise

    def check_options(self, group: Group) -> None:
        """Refuse options out of range."""
        self.check_range(group, "lr", 0.0)
        self.check_range(group, "weight_decay", 0.0)
        given = group.get("invariances")
        if given is not None and len(given) != len(group["params"]):
            raise UsageError(
                f"{type(self).__name__} received {len(given)} invariances for "
                f"{len(group['params'])} parameters: expected one for each, or None for it. "
                "normbench.parameter_groups makes such groups."
            )

    def check_range(self, group: Group, name: str, low: float, high: float = inf) -> None:
        """Refuse a group option, or one of several numbers in it, that is not in [low, high]."""
        value = group[name]
        for number in value if isinstance(value, tuple | list) else (value,):
            if not (low <= float(number) <= high and isfinite(number)):
                bound = f" and at most {high:g}" if high < inf else ", and finite"
                raise UsageError(
                    f"{type(self).__name__} received {name}={value}: expected at least "
                    f"{low:g}{bound}. Give another value."
                )

    def new_state(self, weight: Tensor, spheres: Spheres) -> dict[str, Any]:
        """Return the state of a parameter before its first step."""
        raise NotImplementedError

    def update_lists(self, batch: Batch) -> None:
        """Update all parameters of *batch* with operations over lists of tensors."""
        raise NotImplementedError

    def update_one(
        self,
        weight: Tensor,
        gradient: Tensor,
        state: dict[str, Any],
        spheres: Spheres,
        group: Group,
    ) -> None:
        """Update one parameter as the formulas are written."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take one step, and return the loss if *closure* computes it and its gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for batch in self._batches(group):
                if batch.weights:
                    self._decay(batch)
                    self._update(batch)
        return loss

    def _update(self, batch: Batch) -> None:
        if batch.group["foreach"]:
            self.update_lists(batch)
            return
        for weight, gradient, state, spheres in batch.items():
            self.update_one(weight, gradient, state, spheres, batch.group)

    def _decay(self, batch: Batch) -> None:
        """Apply weight decay to the gradients, as new tensors, or to the weights."""
        decay = batch.group["weight_decay"]
        if not decay or not (batch.elementwise or self.decays_spheres):
            return
        if batch.group["decoupled"]:
            torch._foreach_mul_(batch.weights, 1 - batch.group["lr"] * decay)
        else:
            batch.gradients = list(torch._foreach_add(batch.gradients, batch.weights, alpha=decay))

    def _spheres(self, group: Group) -> Iterator[tuple[Tensor, Spheres]]:
        """Return each parameter of *group* with its spheres."""
        given = group.get("invariances")
        dims = None if group["channel_dims"] is None else tuple(group["channel_dims"])
        for index, parameter in enumerate(group["params"]):
            invariance = None if given is None else given[index]
            yield (
                parameter,
                spheres_of(
                    tuple(parameter.shape),
                    dims,
                    group["channel_wise"],
                    invariance,
                    given is not None,
                ),
            )

    def _batches(self, group: dict[str, Any]) -> tuple[Batch, Batch]:
        """Return the parameters with a gradient, those on spheres and the element-wise ones."""
        batches = Batch(group, elementwise=False), Batch(group, elementwise=True)
        for parameter, spheres in self._spheres(group):
            if parameter.grad is None:
                continue
            if parameter.grad.is_sparse:
                raise _sparse(parameter, type(self).__name__)
            state = self.state[parameter]
            if not state:
                state.update(self.new_state(parameter, spheres))
            batch = batches[spheres.size == 1]
            batch.weights.append(spheres.view_of(parameter))
            batch.gradients.append(spheres.view_of(parameter.grad))
            batch.states.append(state)
            batch.spheres.append(spheres)
        return batches


def advance(states: Sequence[dict[str, Any]], weights: Sequence[Tensor], group: Group) -> Counters:
    """Count a step in each state and return the counts.

    They are plain numbers, or with ``capturable`` scalars beside the weights, which a captured
    step counts on; a state of the one kind may be loaded into an optimizer of the other.
    """
    if not group["capturable"]:
        for state in states:
            state["step"] = int(state["step"]) + 1
        return [state["step"] for state in states]
    for state, weight in zip(states, weights, strict=True):
        # torch loads counts as float32; in float64 1 - beta^t keeps its digits.
        state["step"] = torch.as_tensor(state["step"], dtype=torch.float64, device=weight.device)
    counters = [state["step"] for state in states]
    torch._foreach_add_(counters, 1.0)
    return counters


def bias_corrections(beta: float, steps: Counters) -> Counters:
    """Return 1 - beta^t for each count t, numbers or scalars as *steps* are."""
    if not torch.is_tensor(steps[0]):
        return [1.0 - beta**step for step in steps]
    corrections = torch._foreach_pow(beta, steps)
    torch._foreach_neg_(corrections)
    torch._foreach_add_(corrections, 1.0)
    return list(corrections)


def descend(
    weights: list[Tensor], directions: list[Tensor], divisors: list[Tensor], rates: Counters
) -> None:
    """Take the steps x ← x - rate·direction/divisor, in place."""
    if not torch.is_tensor(rates[0]):
        torch._foreach_addcdiv_(weights, directions, divisors, [-rate for rate in rates])
        return
    steps = torch._foreach_div(directions, divisors)
    torch._foreach_mul_(steps, rates)
    torch._foreach_sub_(weights, steps)


def _check_parameter(parameter: Tensor, of: Spheres, owner: str) -> None:
    if not parameter.is_floating_point():
        raise UsageError(
            f"{owner} received a parameter of dtype {parameter.dtype}, shape "
            f"{tuple(parameter.shape)}: expected real floating point. For complex parameters give "
            "torch.view_as_real of each."
        )
    try:
        of.view_of(parameter.detach())
    except RuntimeError as error:
        raise UsageError(
            f"{owner} received the invariance view {of.view} for a parameter of shape "
            f"{tuple(parameter.shape)} and strides {parameter.stride()}: expected one of as many "
            "numbers, without a copy. Correct the view that the norm declares."
        ) from error


def _sparse(parameter: Tensor, owner: str) -> UsageError:
    return UsageError(
        f"{owner} received a sparse gradient for a parameter of shape {tuple(parameter.shape)}: "
        "expected a dense one. Construct the layer with sparse=False, or use "
        "torch.optim.SparseAdam for it."
    )
