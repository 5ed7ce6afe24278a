"""Optimizers that evaluate the loss themselves: SAM and L-BFGS."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench import UsageError
from normbench_plugins.optimizers.lbfgs import lbfgs
from normbench_plugins.optimizers.sam import sam


def valley(weight):
    """Return a loss with one sharp direction."""
    return 50 * weight[0, 0] ** 2 + weight.square().sum() + (weight.sum() - 3).square()


def closure_of(stepper, loss, seen=None):
    """Return a closure for *loss*, which notes where it was evaluated."""

    def closure():
        stepper.zero_grad()
        value = loss()
        value.backward()
        if seen is not None:
            seen.append([p.detach().clone() for g in stepper.param_groups for p in g["params"]])
        return value

    return closure


def weight_group(weight, **more):
    """Return one group of role weight."""
    return {"params": [weight], "role": "weight", **more}


@pytest.mark.parametrize("adaptive", [False, True])
def test_sam_evaluates_here_and_at_distance_rho(adaptive):
    """The second point lies ρ from the first, uphill, over all groups together."""
    weight = nn.Parameter(torch.linspace(-1, 2, 6).view(3, 2))
    bias = nn.Parameter(torch.tensor([0.3, -0.7]))
    groups = [weight_group(weight), {"params": [bias], "role": "bias"}]
    stepper, seen = sam(groups, lr=0.0, rho=0.3, adaptive=adaptive), []

    stepper.step(closure_of(stepper, lambda: valley(weight) + bias.square().sum(), seen))

    here, there = seen
    scales = [p.abs() if adaptive else torch.ones_like(p) for p in here]
    moves = [(b - a) / s for a, b, s in zip(here, there, scales, strict=True)]
    assert 2 == len(seen)
    assert 0.3 == pytest.approx(torch.cat([m.flatten() for m in moves]).norm().item(), rel=1e-4)
    assert valley(there[0]) + there[1].square().sum() > valley(here[0]) + here[1].square().sum()
    assert torch.equal(here[0], weight)


def test_sam_without_radius_is_momentum():
    """At ρ = 0 every bit is that of SGD with momentum."""
    ends = []
    for make in (
        lambda w: sam([weight_group(w)], lr=0.005, rho=0.0, weight_decay=0.1),
        lambda w: torch.optim.SGD([w], lr=0.005, momentum=0.9, weight_decay=0.1, fused=True),
    ):
        weight = nn.Parameter(torch.linspace(-1, 1, 6).view(3, 2))
        stepper = make(weight)
        for _ in range(10):
            stepper.step(closure_of(stepper, lambda w=weight: valley(w)))
        ends.append(weight.detach())

    assert torch.equal(*ends)


def test_lbfgs_solves_a_quadratic_in_one_step():
    """The line search and the curvature pairs reach the minimum of a quadratic."""
    weight = nn.Parameter(torch.linspace(-1, 1, 6, dtype=torch.float64).view(3, 2))
    stepper = lbfgs([weight_group(weight)])

    stepper.step(closure_of(stepper, lambda: valley(weight)))

    stepper.zero_grad()
    valley(weight).backward()
    assert weight.grad.abs().max() < 1e-3


@pytest.mark.parametrize("line_search", [True, False])
def test_lbfgs_minimizes_the_loss_with_its_penalty(line_search):
    """Weight decay is part of the loss that the search sees, and of decayed groups alone."""
    ends = []
    for explicit in (False, True):
        weight = nn.Parameter(torch.linspace(-1, 1, 6, dtype=torch.float64).view(3, 2))
        bias = nn.Parameter(torch.ones(2, dtype=torch.float64))
        decay = 0.0 if explicit else 0.7
        groups = [weight_group(weight, weight_decay=decay)]
        groups.append({"params": [bias], "role": "bias", "weight_decay": 0.0})
        stepper = lbfgs(groups, lr=0.05, line_search=line_search)

        def loss(w=weight, b=bias, explicit=explicit):
            penalty = 0.35 * w.square().sum() if explicit else 0.0
            return valley(w) + (b.sum() - w.sum()).square() + penalty

        for _ in range(3):
            stepper.step(closure_of(stepper, loss))
        ends.append(torch.cat((weight.detach().flatten(), bias.detach())))

    torch.testing.assert_close(*ends, rtol=1e-8, atol=1e-10)


def test_lbfgs_takes_parameters_in_any_memory_format():
    """A channels_last weight goes where its contiguous copy goes."""
    start, ends = torch.linspace(-1, 2, 48, dtype=torch.float64).view(4, 3, 2, 2), []
    for layout in (torch.channels_last, torch.contiguous_format):
        weight = nn.Parameter(start.clone(memory_format=layout))
        stepper = lbfgs([weight_group(weight)], weight_decay=0.1)
        for _ in range(2):
            stepper.step(closure_of(stepper, lambda w=weight: (w**4).sum() + (w.sum(1) ** 2).sum()))
        ends.append(weight.detach())

    torch.testing.assert_close(ends[0], ends[1])


def test_lbfgs_refuses_two_learning_rates():
    """A group with a rate of its own has no meaning along one direction."""
    groups = [weight_group(nn.Parameter(torch.ones(2)), lr=1.0)]
    groups.append({"params": [nn.Parameter(torch.ones(2))], "role": "norm_scale", "lr": 0.25})

    with pytest.raises(UsageError, match=r"learning rates 0\.25, 1: .*scale_lr_divisor"):
        lbfgs(groups)
