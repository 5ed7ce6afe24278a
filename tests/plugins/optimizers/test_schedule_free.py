"""Schedule-free optimizers: two sets of weights, and the switch between them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench import Optimizer, UsageError
from normbench.parameters import defaults
from normbench.plugins import load_catalogue

CATALOGUE = load_catalogue()
NAMES = [
    offer.component.name
    for offer in CATALOGUE.offers(Optimizer)
    if offer.component.averages_weights and offer.origin == "built-in"
]

over_names = pytest.mark.parametrize("name", NAMES)


def make(name, weight, **values):
    """Return the optimizer *name* over one weight."""
    optimizer = CATALOGUE.get(Optimizer, name)
    parameters = {**defaults(optimizer.parameters), "lr": 0.1, "weight_decay": 0.0, **values}
    return optimizer.load()([{"params": [weight], "role": "weight"}], **parameters)


def descend(stepper, weight, steps):
    """Take *steps* steps on a noisy quadratic; return where each gradient was taken."""
    visited = []
    for step in range(steps):
        noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(step))
        stepper.zero_grad()
        visited.append(weight.detach().clone())
        (weight - 1.0 + noise).square().sum().backward()
        stepper.step()
    return visited


@over_names
def test_switch_there_and_back_loses_no_bit(name):
    """eval() and train() leave the weights and the steps that follow as they would have been."""
    ends = []
    for switches in (False, True):
        weight = nn.Parameter(torch.full((50,), 3.0))
        stepper = make(name, weight)
        for _ in range(5):
            descend(stepper, weight, 3)
            if switches:
                stepper.eval()
                stepper.eval()
                stepper.train()
                stepper.train()
        ends.append(weight.detach().clone())

    assert torch.equal(*ends)


@over_names
def test_step_at_the_average_is_refused(name):
    """A gradient taken at the averages is not the optimizer's."""
    weight = nn.Parameter(torch.full((5,), 3.0))
    stepper = make(name, weight)
    descend(stepper, weight, 2)
    stepper.eval()

    with pytest.raises(UsageError, match=r"Call the optimizer's train\(\)"):
        descend(stepper, weight, 1)


@over_names
def test_average_is_of_all_iterates(name):
    """At a constant rate the weights to evaluate are the plain mean of z over the steps."""
    weight = nn.Parameter(torch.full((50,), 3.0, dtype=torch.float64))
    stepper, iterates = make(name, weight), []
    for _ in range(20):
        descend(stepper, weight, 1)
        iterates.append(stepper.state[weight]["iterate"].clone())

    stepper.eval()

    torch.testing.assert_close(weight.detach(), torch.stack(iterates).mean(0))


@over_names
def test_average_weighs_by_the_largest_rate_so_far(name):
    """With rates that rise and fall a step weighs t^r·η_max^p, a fallen rate notwithstanding."""
    weight = nn.Parameter(torch.full((5,), 3.0, dtype=torch.float64))
    stepper, iterates = make(name, weight, r=0.5, weight_lr_power=2.0), []
    for rate in (0.1, 0.3, 0.05, 0.2, 0.01):
        stepper.param_groups[0]["lr"] = rate
        descend(stepper, weight, 1)
        iterates.append(stepper.state[weight]["iterate"].clone())

    stepper.eval()

    shares = [t**0.5 * largest**2 for t, largest in enumerate((0.1, 0.3, 0.3, 0.3, 0.3), start=1)]
    mean = sum(share * z for share, z in zip(shares, iterates, strict=True)) / sum(shares)
    torch.testing.assert_close(weight.detach(), mean)


@over_names
def test_average_is_nearer_than_the_iterates(name):
    """Noise that moves the iterates averages out."""
    weight = nn.Parameter(torch.full((200,), 3.0))
    stepper = make(name, weight)
    descend(stepper, weight, 300)
    last = stepper.state[weight]["iterate"].clone()
    stepper.eval()

    assert (weight - 1).norm() < 0.5 * (last - 1).norm()


@over_names
def test_steps_at_rate_zero_have_no_weight(name):
    """A warm-up that starts at 0 neither moves nor divides by 0; later steps count in full."""
    weight, other = (nn.Parameter(torch.full((5,), 3.0, dtype=torch.float64)) for _ in range(2))
    stepper = (
        make(name, weight, lr=0.0, beta2=0.0) if "adamw" in name else make(name, weight, lr=0.0)
    )
    descend(stepper, weight, 2)
    assert torch.equal(torch.full((5,), 3.0, dtype=torch.float64), weight)

    stepper.param_groups[0]["lr"] = 0.1
    started = make(name, other, beta2=0.0) if "adamw" in name else make(name, other)
    descend(stepper, weight, 3)
    descend(started, other, 3)
    torch.testing.assert_close(weight, other)


@over_names
def test_before_the_first_step_the_average_is_the_start(name):
    """There is nothing to switch to yet."""
    weight = nn.Parameter(torch.full((5,), 3.0))
    stepper = make(name, weight)

    stepper.eval()

    assert torch.equal(torch.full((5,), 3.0), weight)
