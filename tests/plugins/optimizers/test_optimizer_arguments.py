"""What the built-in optimizers are given: parameters in every form, values that all count."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench import Ablation, Norm, Optimizer, Sites, UsageError
from normbench.parameters import defaults
from normbench.plugins import load_catalogue
from normbench.roles import describe_network, parameter_groups
from normbench_plugins.optimizers.lbfgs import lbfgs

CATALOGUE = load_catalogue()
OPTIMIZERS = [
    offer.component for offer in CATALOGUE.offers(Optimizer) if offer.origin == "built-in"
]
NAMES = {one.name for one in OPTIMIZERS}

# The names for which a flag differs from its default.
FLAGS = {
    "decoupled_weight_decay": {"adamw", "lamb", "lion", "muon", "schedule_free_adamw", "soap"},
    "needs_closure": {"lbfgs", "sam"},
    "capturable": NAMES - {"adagrad", "lbfgs", "sam", "soap"},
    "elementwise": NAMES
    - {"adam_g", "adam_s", "adam_srt", "lamb", "lars", "lbfgs", "muon", "sam", "sgd_mrt", "soap"},
    "averages_weights": {"schedule_free_adamw", "schedule_free_sgd"},
}

WAYS = {
    "list": lambda ps: list(ps),
    "generator": lambda ps: (p for p in ps),
    "groups": lambda ps: [{"params": [p]} for p in ps],
    "generator of groups": lambda ps: ({"params": [p]} for p in ps),
    "groups of one tensor": lambda ps: [{"params": p} for p in ps],
    "group of a generator": lambda ps: [{"params": (p for p in ps)}],
    "named": lambda ps: [(f"p{number}", p) for number, p in enumerate(ps)],
    "group of named": lambda ps: [{"params": [("w", p)]} for p in ps],
}

# Values other than the default, where half of it, or 0.1 in place of 0, would change nothing.
OTHERS = {
    "adjust": "original",
    "channel_dims": (),
    "eps": 0.01,
    "largest_dimension": 2,
    "precondition_every": 2,
    "r": 1.0,
    "tolerance_change": 0.1,
    "tolerance_grad": 0.1,
}
SETTINGS = {"lion": {"lr": 0.05}}  # at its own rate no gradient changes its sign
EFFECTS = [
    pytest.param(optimizer, parameter, id=f"{optimizer.name}-{parameter.name}")
    for optimizer in OPTIMIZERS
    for parameter in optimizer.parameters
]

over_optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: one.name)


def advance(stepper, loss):
    """Take one step down *loss*, a function of nothing."""

    def closure():
        stepper.zero_grad()
        value = loss()
        value.backward()
        return value

    stepper.step(closure)


def pair():
    """Return a weight and a bias, the same at every call."""
    weight = torch.linspace(-1, 2, 12, dtype=torch.float64).view(4, 3)
    return nn.Parameter(weight), nn.Parameter(torch.linspace(0.5, 1, 4, dtype=torch.float64))


def descended(optimizer, give):
    """Return a weight and a bias after three steps over what *give* makes of them."""
    weight, bias = pair()
    stepper = optimizer.load()(give([weight, bias]), **defaults(optimizer.parameters))
    for _ in range(3):
        advance(stepper, lambda: (weight**4).sum() + (weight.sum(1) - bias).square().sum())
    return [weight.detach(), bias.detach()]


@over_optimizers
@pytest.mark.parametrize("way", WAYS)
def test_parameters_come_in_every_form_that_torch_takes(optimizer, way):
    """Tensors, generators, groups and named pairs give the weights that two groups give."""
    expected = descended(optimizer, WAYS["groups"])

    actual = descended(optimizer, WAYS[way])

    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)
    assert not torch.equal(pair()[0].detach(), actual[0])


@over_optimizers
def test_single_tensor_and_no_tensor_are_refused(optimizer):
    """A tensor is not taken for the list of its rows, and there must be one at least."""
    values = defaults(optimizer.parameters)
    with pytest.raises((UsageError, TypeError), match=r"single tensor|should be an iterable"):
        optimizer.load()(pair()[0], **values)
    with pytest.raises(ValueError, match="empty parameter list"):
        optimizer.load()([], **values)


def test_groups_given_are_left_alone():
    """The caller's groups may serve another optimizer with other defaults."""
    group = {"params": list(pair()), "lr": 0.5}
    for name in ("adam", "sgd", "sam"):
        stepper = CATALOGUE.get(Optimizer, name).load()([group])
        assert 0.5 == stepper.param_groups[0]["lr"]
    assert {"params", "lr"} == group.keys()


def network_after(optimizer, values):
    """Return the weights of a small network after eight steps at a learning rate that grows."""
    torch.manual_seed(0)
    sites = Sites.for_norm(CATALOGUE.get(Norm, "group_norm"), {"num_groups": 2})
    layer = nn.Conv2d(3, 4, 3)
    network = nn.Sequential(layer, *sites.after(layer, nn.Tanh()), nn.Flatten(), nn.Linear(36, 2))
    built = describe_network(network.double(), sites, "a test network")
    inputs = torch.randn(8, 3, 5, 5, dtype=torch.float64)
    # Rate and decay come from the parameters, not from the groups.
    groups = [
        {key: value for key, value in group.items() if key not in ("lr", "weight_decay")}
        for group in parameter_groups(
            built.parameters, lr=1.0, weight_decay=0.0, ablation=Ablation()
        )
    ]
    stepper = optimizer.load()(groups, **values)
    for _ in range(8):
        advance(stepper, lambda: (network(inputs) - inputs.flatten(1)[:, :2]).square().mean())
        for group in stepper.param_groups:
            group["lr"] *= 1.1
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def another(parameter, value):
    """Return a value of *parameter* other than *value*."""
    if parameter.name in OTHERS:
        return OTHERS[parameter.name]
    if parameter.kind == "bool":
        return not value
    if parameter.kind == "int":
        return value // 2
    return value / 2 or 0.1


@pytest.mark.parametrize(("optimizer", "parameter"), EFFECTS)
def test_every_parameter_has_an_effect(optimizer, parameter):
    """Another value of one parameter ends in other weights."""
    values = {**defaults(optimizer.parameters), **SETTINGS.get(optimizer.name, {})}
    if "weight_decay" in values:
        values["weight_decay"] = 0.05  # without it how it acts would not matter
    other = another(parameter, values[parameter.name])
    assert other == parameter.check(other, optimizer.name) != values[parameter.name]

    before, after = (
        network_after(optimizer, given) for given in (values, {**values, parameter.name: other})
    )

    assert before.isfinite().all()
    assert after.isfinite().all()
    assert not torch.equal(before, after)


@pytest.mark.parametrize("flag", FLAGS)
def test_flags_are_those_of_the_method(flag):
    """What the harness is told of each optimizer is what its method is."""
    assert FLAGS[flag] == {one.name for one in OPTIMIZERS if getattr(one, flag)}


@pytest.mark.parametrize(
    "optimizer", [one for one in OPTIMIZERS if one.name != "lbfgs"], ids=lambda one: one.name
)
def test_group_added_later_moves_as_the_others(optimizer):
    """A group added before the first step is optimized as if it had been given at once."""
    weight, bias = pair()
    stepper = optimizer.load()([weight], **defaults(optimizer.parameters))
    stepper.add_param_group({"params": [bias]})

    for _ in range(3):
        advance(stepper, lambda: (weight**4).sum() + (weight.sum(1) - bias).square().sum())

    expected = descended(optimizer, WAYS["groups"])
    torch.testing.assert_close([weight.detach(), bias.detach()], expected, rtol=1e-12, atol=0)


def test_lbfgs_refuses_a_group_added_later():
    """It would never move: the solver is made with the parameters given."""
    weight, bias = pair()
    stepper = lbfgs([weight])

    with pytest.raises(UsageError, match=r"received another group.*Give all groups at once"):
        stepper.add_param_group({"params": [bias]})
    assert 1 == len(stepper.param_groups)


@over_optimizers
def test_step_without_any_gradient_leaves_everything(optimizer):
    """A loss that reaches no parameter moves none, and the loss is returned all the same."""
    weight, bias = pair()
    stepper = optimizer.load()([weight, bias], **defaults(optimizer.parameters))

    loss = stepper.step(lambda: torch.tensor(2.0, dtype=torch.float64))

    assert 2.0 == pytest.approx(loss.item())
    assert all(torch.equal(*both) for both in zip((weight, bias), pair(), strict=True))
