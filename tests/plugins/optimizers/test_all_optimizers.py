"""What holds for every built-in optimizer: the update, its state, its flags and its ranges."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from normbench import Ablation, Norm, Optimizer, Sites
from normbench.parameters import checked, defaults
from normbench.plugins import load_catalogue
from normbench.roles import describe_network, parameter_groups

CATALOGUE = load_catalogue()
OPTIMIZERS = [
    offer.component for offer in CATALOGUE.offers(Optimizer) if offer.origin == "built-in"
]

# What each is to compute, as torch's own loop over the parameters does.
REFERENCES = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
}
REFERENCED = [CATALOGUE.get(Optimizer, name) for name in REFERENCES]

over_optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: one.name)
over_referenced = pytest.mark.parametrize("optimizer", REFERENCED, ids=lambda one: one.name)


def make_network():
    """Return a small channels_last network in float64 with a norm, the same at every call."""
    torch.manual_seed(0)
    sites = Sites.for_norm(CATALOGUE.get(Norm, "group_norm"), {"num_groups": 2})
    layer = nn.Conv2d(3, 4, 3)
    network = nn.Sequential(layer, *sites.after(layer, nn.Tanh()), nn.Flatten(), nn.Linear(36, 2))
    network = network.to(torch.float64, memory_format=torch.channels_last)
    return describe_network(network, sites, "a test network")


def build(optimizer, built, lr=0.01, weight_decay=0.05, **values):
    """Return *optimizer* over the groups that the harness makes of a network."""
    groups = parameter_groups(
        built.parameters, lr=lr, weight_decay=weight_decay, ablation=Ablation(scale_lr_divisor=4.0)
    )
    parameters = checked(optimizer.parameters, {"lr": lr, **values}, optimizer.name)
    return optimizer.load()(groups, **parameters)


def train(network, stepper, steps, first=0):
    """Take *steps* steps on a regression whose batches depend on the step alone."""
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(8, 3, 5, 5, dtype=torch.float64, generator=generator)
        targets = inputs.flatten(1)[:, :2]
        stepper.zero_grad()
        (network(inputs) - targets).square().mean().backward()
        stepper.step()


def weights(network):
    """Return a copy of all parameters."""
    return [parameter.detach().clone() for parameter in network.parameters()]


@over_referenced
def test_equals_torch_in_a_plain_loop(optimizer):
    """Twenty steps with weight decay agree with torch's loop, a channels_last weight included."""
    kind, values = REFERENCES[optimizer.name]
    built, reference = make_network(), make_network()
    groups = parameter_groups(
        reference.parameters, lr=0.01, weight_decay=0.05, ablation=Ablation(scale_lr_divisor=4.0)
    )

    train(reference.network, kind(groups, lr=0.01, foreach=False, **values), 20)
    train(built.network, build(optimizer, built), 20)

    torch.testing.assert_close(
        weights(built.network), weights(reference.network), rtol=1e-10, atol=1e-12
    )


@over_optimizers
def test_finds_the_solution_of_least_squares(optimizer):
    """Three hundred steps on a well-conditioned problem remove 99 % of the loss."""
    torch.manual_seed(0)
    solution = nn.Parameter(torch.zeros(4, 3))
    matrix, target = torch.diag(torch.tensor([0.5, 1.0, 1.5, 2.0])), torch.randn(4, 3) + 2.0
    stepper = build_over(optimizer, [solution], lr=0.05)
    first = (matrix @ solution - target).square().sum().item()

    for _ in range(300):
        stepper.zero_grad()
        loss = (matrix @ solution - target).square().sum()
        loss.backward()
        stepper.step()

    assert loss.item() < 0.01 * first


def build_over(optimizer, parameters, lr, weight_decay=0.0, **values):
    """Return *optimizer* over bare parameters, in one group of role weight."""
    given = {"lr": lr, "weight_decay": weight_decay, **values}
    group = {"params": parameters, "role": "weight", "invariances": [None] * len(parameters)}
    return optimizer.load()([group], **checked(optimizer.parameters, given, optimizer.name))


@over_optimizers
def test_resumed_run_continues_bit_for_bit(optimizer):
    """State saved and loaded as plain data gives the bits of a run that was never stopped."""
    whole, stopped, resumed = make_network(), make_network(), make_network()
    train(whole.network, build(optimizer, whole), 8)
    stepper = build(optimizer, stopped)
    train(stopped.network, stepper, 4)
    file = io.BytesIO()
    torch.save((stopped.network.state_dict(), stepper.state_dict()), file)

    network_state, state = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    resumed.network.load_state_dict(network_state)
    stepper = build(optimizer, resumed)
    stepper.load_state_dict(state)
    train(resumed.network, stepper, 4, first=4)

    torch.testing.assert_close(weights(resumed.network), weights(whole.network), rtol=0, atol=0)


@over_optimizers
def test_groups_keep_their_roles_and_invariances(optimizer):
    """What the harness says of each group is still there after a round trip of the state."""
    built = make_network()
    stepper = build(optimizer, built)
    expected = [
        (group["role"], group["invariances"], group["lr"]) for group in stepper.param_groups
    ]

    stepper.load_state_dict(stepper.state_dict())

    actual = [(group["role"], group["invariances"], group["lr"]) for group in stepper.param_groups]
    assert expected == actual
    assert ["weight", "bias", "norm_scale", "norm_shift"] == [role for role, *_ in actual]
    assert ((2, 2, 3, 3, 3), (0,)) in actual[0][1]


@over_optimizers
def test_learning_rate_can_change_between_steps(optimizer):
    """At learning rate 0 nothing moves; set back, the next step moves again."""
    built = make_network()
    stepper = build(optimizer, built)
    train(built.network, stepper, 2)
    rates = [group["lr"] for group in stepper.param_groups]
    before = weights(built.network)

    for group in stepper.param_groups:
        group["lr"] = 0.0
    train(built.network, stepper, 1)
    torch.testing.assert_close(weights(built.network), before, rtol=0, atol=0)

    for group, rate in zip(stepper.param_groups, rates, strict=True):
        group["lr"] = rate
    train(built.network, stepper, 1)
    assert all(not torch.equal(*pair) for pair in zip(weights(built.network), before, strict=True))


@over_optimizers
def test_learning_rate_may_be_a_tensor(optimizer):
    """A learning rate in a tensor, as a schedule on the device keeps it, gives the same weights."""
    plain, tensor = make_network(), make_network()
    stepper = build(optimizer, tensor)
    for group in stepper.param_groups:
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float64)

    train(plain.network, build(optimizer, plain), 5)
    train(tensor.network, stepper, 5)

    torch.testing.assert_close(weights(tensor.network), weights(plain.network))


@over_optimizers
def test_weight_decay_reaches_weights_alone(optimizer):
    """Without a gradient only parameters of role weight move, towards 0 if decay is decoupled."""
    built = make_network()
    stepper = build(optimizer, built, lr=0.1, weight_decay=0.5)
    before = weights(built.network)
    for info in built.parameters:
        info.parameter.grad = torch.zeros_like(info.parameter)

    stepper.step()

    for info, old in zip(built.parameters, before, strict=True):
        decays = info.role == "weight"
        assert decays == (not torch.equal(old, info.parameter))
        if decays and optimizer.decoupled_weight_decay:
            torch.testing.assert_close(info.parameter.detach(), old * (1 - 0.1 * 0.5))


@pytest.mark.parametrize(
    "optimizer", [one for one in OPTIMIZERS if one.elementwise], ids=lambda one: one.name
)
def test_elementwise_update_does_not_depend_on_neighbours(optimizer):
    """Parameters joined into one tensor move as they do apart."""
    torch.manual_seed(0)
    first, second = torch.randn(2, 5, 7, dtype=torch.float64)
    apart = [nn.Parameter(first.clone()), nn.Parameter(second.clone())]
    joined = nn.Parameter(torch.cat((first, second)))
    steppers = [build_over(optimizer, ps, 0.1, 0.05) for ps in (apart, [joined])]

    for _ in range(5):
        for parameters, stepper in zip((apart, [joined]), steppers, strict=True):
            stepper.zero_grad()
            sum((p**3).sum() for p in parameters).backward()
            stepper.step()

    torch.testing.assert_close(joined.detach(), torch.cat([p.detach() for p in apart]))


@over_optimizers
def test_ends_of_parameter_ranges_work(optimizer):
    """The smallest and largest value that a parameter allows build an optimizer that steps."""
    for parameter in optimizer.parameters:
        for end in (parameter.low, parameter.high):
            if end is None:
                continue
            weight = nn.Parameter(torch.ones(3))
            given = {**defaults(optimizer.parameters), parameter.name: end}
            stepper = build_over(optimizer, [weight], **given)
            weight.square().sum().backward()

            stepper.step()

            assert weight.isfinite().all()


@over_optimizers
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_state_has_the_dtype_of_the_weights(optimizer, dtype):
    """Moments are kept in the precision of the parameter they belong to."""
    weight = nn.Parameter(torch.ones(3, dtype=dtype))
    stepper = build_over(optimizer, [weight], lr=0.1)
    weight.square().sum().backward()

    stepper.step()

    state = {key: value for key, value in stepper.state[weight].items() if key != "step"}
    assert {dtype} >= {value.dtype for value in state.values() if torch.is_tensor(value)}
