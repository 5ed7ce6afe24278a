"""Averaging in place of a learning-rate schedule, for any direction.

The Road Less Scheduled, A. Defazio, X. Yang, H. Mehta, K. Mishchenko, A. Khaled and A. Cutkosky,
NeurIPS 2024, arXiv:2405.15682. The authors' code keeps y and z and recovers x from them; here x is
kept too, at the cost of one more copy of the parameters, so that the switch between training and
evaluation loses no bit and β may be 0 or 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normbench import UsageError
from normbench_plugins.optimizers.lists import (
    Closure,
    Group,
    ListOptimizer,
    counted,
    scalar_for,
)


class ScheduleFree(ListOptimizer):
    r"""Step at z, average in x, and take gradients at y between them.

    .. math::
        z &\leftarrow z - \eta d(y), \qquad
        c = \frac{t^r \eta_{\max}^p}{\sum_{s \le t} s^r \eta_{\max, s}^p} \\
        x &\leftarrow (1 - c) x + c z, \qquad
        y = (1 - \beta) z + \beta x

    in step t = 1, 2, ..., with x = z = y at the start, η_max the largest learning rate so far, r
    the group's ``r`` and p its ``weight_lr_power``. A subclass gives d by ``directions``, and the
    name of β in a group.

    The parameters hold y while training and x after :meth:`eval`.
    """

    interpolation: str

    @torch.no_grad()
    def eval(self) -> None:
        """Put the averages x into the parameters."""
        for group in self.param_groups:
            started = [p for p in group["params"] if "average" in self.state[p]]
            for parameter in started:
                parameter.copy_(self.state[parameter]["average"])
            group["training"] = False

    @torch.no_grad()
    def train(self) -> None:
        """Put the points y, at which gradients are taken, into the parameters."""
        for group in self.param_groups:
            if started := [p for p in group["params"] if "average" in self.state[p]]:
                self._interpolate(started, group)
            group["training"] = True

    def step(self, closure: Closure | None = None) -> Tensor | None:  # type: ignore[override]
        """Update all parameters that have a gradient; return the loss of *closure*, if given.

        Raises:
            UsageError: After :meth:`eval`, as the parameters are then not where gradients belong.
        """
        if not all(group["training"] for group in self.param_groups):
            raise UsageError(
                "the parameters hold their averages: a gradient taken there is not the step's. "
                "Call the optimizer's train() before training goes on."
            )
        return super().step(closure)

    def update(self, parameters: list[Tensor], gradients: list[Tensor], group: Group) -> None:
        """Update the parameters of one group."""
        for parameter in parameters:
            state = self.state[parameter]
            if "average" not in state:
                state["average"], state["iterate"] = parameter.clone(), parameter.clone()
        step = counted(group, "step", parameters[0]).add_(1)
        directions = self.directions(parameters, gradients, step, group)
        share = _share(step, group)
        iterates, averages = self._lists(parameters)
        if group["foreach"]:
            torch._foreach_mul_(directions, scalar_for(directions, group["lr"]))
            torch._foreach_sub_(iterates, directions)
            _move_towards(averages, averages, iterates, share)
        else:
            for iterate, average, d in zip(iterates, averages, directions, strict=True):
                iterate.copy_(iterate - group["lr"] * d)
                average.copy_((1 - share) * average + share * iterate)
        self._interpolate(parameters, group)

    def directions(
        self, parameters: list[Tensor], gradients: list[Tensor], step: Tensor, group: Group
    ) -> list[Tensor]:
        """Return d, weight decay included, as new tensors."""
        raise NotImplementedError

    def _lists(self, parameters: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        states = [self.state[parameter] for parameter in parameters]
        return [state["iterate"] for state in states], [state["average"] for state in states]

    def _interpolate(self, parameters: list[Tensor], group: Group) -> None:
        iterates, averages = self._lists(parameters)
        beta = group[self.interpolation]
        if group["foreach"]:
            _move_towards(parameters, iterates, averages, beta)
            return
        for parameter, iterate, average in zip(parameters, iterates, averages, strict=True):
            parameter.copy_((1 - beta) * iterate + beta * average)


def _share(step: Tensor, group: Group) -> Tensor:
    """Return c; 0 as long as all weights of the average are 0, as at a learning rate of 0."""
    largest = counted(group, "largest_lr", step)
    largest.clamp_(min=group["lr"])
    weight = step ** group["r"] * largest ** group["weight_lr_power"]
    total = counted(group, "weight_sum", step).add_(weight)
    return torch.where(total > 0, weight / total, 0.0)


def _move_towards(
    targets: list[Tensor], starts: list[Tensor], ends: list[Tensor], share: Tensor | float
) -> None:
    """Put starts + share·(ends - starts) into *targets*, which may be *starts*."""
    differences = torch._foreach_sub(ends, starts)
    torch._foreach_mul_(differences, scalar_for(differences, share))
    torch._foreach_copy_(targets, torch._foreach_add(starts, differences))
