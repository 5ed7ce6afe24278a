"""Optimizers of other packages under normbench's groups, checkpoints and rules of decay."""

from __future__ import annotations

import io
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from normbench import Optimizer, UsageError
from normbench.parameters import checked
from normbench.plugins import load_catalogue

CATALOGUE = load_catalogue()
OPTIMIZERS = [o.component for o in CATALOGUE.offers(Optimizer) if o.origin == "bridge"]
COUPLED = [
    optimizer
    for optimizer in OPTIMIZERS
    if not optimizer.decoupled_weight_decay
    and any(parameter.name == "weight_decay" for parameter in optimizer.parameters)
]

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not OPTIMIZERS, reason="neither timm nor pytorch-optimizer is installed"),
]
over_optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: one.name)
over_coupled = pytest.mark.parametrize("optimizer", COUPLED, ids=lambda one: one.name)


def build(optimizer, parameters, lr, weight_decay=0.0):
    """Return *optimizer* over one group for each parameter, as the harness makes them."""
    decays = any(parameter.name == "weight_decay" for parameter in optimizer.parameters)
    decay = {"weight_decay": weight_decay} if decays else {}
    groups = [
        {"params": [p], "role": "weight", "lr": lr, "invariances": [None], **decay}
        for p in parameters
    ]
    values = checked(optimizer.parameters, {"lr": lr, **decay}, optimizer.name)
    return optimizer.load()(groups, **values)


def make_network():
    """Return a small network, the same at every call."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(36, 2)
    )


def train(optimizer, network, stepper, steps, first=0):
    """Take *steps* steps on a regression whose batches depend on the step alone."""
    if optimizer.averages_weights:
        stepper.train()
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(16, 3, 5, 5, generator=generator)
        torch.manual_seed(step)

        def closure(inputs=inputs):
            stepper.zero_grad()
            loss = (network(inputs) - inputs.flatten(1)[:, :2]).square().mean()
            loss.backward()
            return loss

        closure()
        stepper.step(closure) if optimizer.needs_closure else stepper.step()


@over_optimizers
def test_resumed_run_continues_bit_for_bit(optimizer):
    """Steps move the weights to finite values, and saved as plain data go on in the same bits."""
    whole, stopped, resumed = make_network(), make_network(), make_network()
    lr = min(1e-2, next(p.default for p in optimizer.parameters if p.name == "lr"))
    train(optimizer, whole, build(optimizer, whole.parameters(), lr), 8)
    stepper = build(optimizer, stopped.parameters(), lr)
    train(optimizer, stopped, stepper, 4)
    file = io.BytesIO()
    torch.save((stopped.state_dict(), stepper.state_dict()), file)

    network_state, state = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    resumed.load_state_dict(network_state)
    stepper = build(optimizer, resumed.parameters(), lr)
    stepper.load_state_dict(state)
    train(optimizer, resumed, stepper, 4, first=4)

    for one, other, start in zip(
        whole.parameters(), resumed.parameters(), make_network().parameters(), strict=True
    ):
        assert torch.equal(one, other)
        assert one.isfinite().all()
        assert one.ndim < 2 or not torch.equal(one, start)


@over_coupled
def test_coupled_decay_is_part_of_the_gradient(optimizer):
    """λ given to it and λ·w added to the gradient by hand lead to the same weights."""
    ends = []
    for by_hand in (False, True):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(4, 3, dtype=torch.float64))
        stepper = build(optimizer, [weight], 0.01, 0.0 if by_hand else 0.1)
        for step in range(5):
            generator = torch.Generator().manual_seed(step)
            gradient = torch.randn(4, 3, dtype=torch.float64, generator=generator)
            weight.grad = gradient + 0.1 * weight.detach() if by_hand else gradient
            stepper.step()
        ends.append(weight.detach())

    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9)


@over_optimizers
def test_described_values_are_taken(optimizer):
    """Every described default passes its own check, and is a value the constructor takes."""
    for parameter in optimizer.parameters:
        assert parameter.default == parameter.check(parameter.default, optimizer.name)
    assert optimizer.summary
    assert optimizer.version > 1

    build(optimizer, [nn.Parameter(torch.ones(3, 2))], 0.01)


@pytest.mark.parametrize("package", ["timm", "pytorch_optimizer"])
def test_refused_value_is_wrong_usage(package):
    """What the package says of a bad value reaches the user with its name."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    optimizer = CATALOGUE.get(Optimizer, f"{package}:lamb")
    values = checked(optimizer.parameters, {"eps": -1}, optimizer.name)

    with pytest.raises(UsageError, match=f"{package}:lamb refuses"):
        optimizer.load()([{"params": [nn.Parameter(torch.ones(3))]}], **values)


def test_listing_imports_none_of_the_packages():
    """Names and parameters are read from source text: no package is imported, nor torch."""
    program = (
        "import sys; from normbench.plugins import load_catalogue; load_catalogue(); "
        "print([n for n in ('torch', 'timm', 'pytorch_optimizer', 'deepobs') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert "[]" == done.stdout.strip(), done.stderr
