"""What holds for every built-in optimizer: the update, its state, its flags and its ranges."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from normbench import Ablation, Norm, Optimizer, Sites, UsageError
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
    "nadam": (torch.optim.NAdam, {}),
    "radam": (torch.optim.RAdam, {}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adadelta": (torch.optim.Adadelta, {}),
}
REFERENCED = [CATALOGUE.get(Optimizer, name) for name in REFERENCES]

# Settings that suit the two targets below, where the learning rate of most does not.
ON_LEAST_SQUARES = {
    "adadelta": {"lr": 10.0},
    "adagrad": {"lr": 0.5},
    "lars": {"trust_coefficient": 0.02},
    "lbfgs": {"lr": 1.0},
    "lion": {"lr": 0.02},
    "muon": {"lr": 0.1},
    "radam": {"lr": 0.1},
    "schedule_free_sgd": {"lr": 0.3},
}
ON_ROSENBROCK = {
    "adadelta": {"lr": 1.0},
    "adagrad": {"lr": 0.1},
    "lamb": {"lr": 0.01},
    "lars": {"trust_coefficient": 0.05},
    "lion": {"lr": 0.01},
    "momentum": {"lr": 0.001},
    "nesterov": {"lr": 0.001},
    "radam": {"lr": 0.007},
    "sam": {"lr": 0.001},
    "schedule_free_sgd": {"lr": 0.01},
    "sgd": {"lr": 0.002},
    "sgd_mrt": {"lr": 0.001},
}
ONE_FORM = {"lbfgs", "muon", "soap"}  # their tensors are updated one after another anyway
ONE_RATE = {"lbfgs"}  # takes no group with a learning rate of its own
IDLE_AT_FIRST = {"soap"}  # learns its basis in the first step
DECAY_IN_DIRECTION = {"lamb"}  # scales the decay with the step
RENORMALIZES = {"adam_g"}  # puts weights back on their sphere whatever the learning rate

over_optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: one.name)
over_referenced = pytest.mark.parametrize("optimizer", REFERENCED, ids=lambda one: one.name)


def over(choose):
    """Return a parametrization over those built-in optimizers that *choose* holds for."""
    chosen = [one for one in OPTIMIZERS if choose(one)]
    return pytest.mark.parametrize("optimizer", chosen, ids=lambda one: one.name)


def make_network(dtype=torch.float64):
    """Return a small channels_last network with a norm, the same at every call."""
    torch.manual_seed(0)
    sites = Sites.for_norm(CATALOGUE.get(Norm, "group_norm"), {"num_groups": 2})
    layer = nn.Conv2d(3, 4, 3)
    network = nn.Sequential(layer, *sites.after(layer, nn.Tanh()), nn.Flatten(), nn.Linear(36, 2))
    network = network.to(dtype, memory_format=torch.channels_last)
    return describe_network(network, sites, "a test network")


def make_groups(optimizer, built, lr, weight_decay):
    """Return the groups that the harness makes of a network, with a slower γ where it may be."""
    ablation = Ablation(scale_lr_divisor=1.0 if optimizer.name in ONE_RATE else 4.0)
    takes_decay = "weight_decay" in defaults(optimizer.parameters)
    return parameter_groups(
        built.parameters,
        lr=lr,
        weight_decay=weight_decay if takes_decay else None,
        ablation=ablation,
    )


def build(optimizer, built, lr=0.01, weight_decay=0.05, **values):
    """Return *optimizer* over the groups that the harness makes of a network."""
    groups = make_groups(optimizer, built, lr, weight_decay)
    parameters = checked(optimizer.parameters, {"lr": lr, **values}, optimizer.name)
    return optimizer.load()(groups, **parameters)


def build_over(optimizer, parameters, lr, **values):
    """Return *optimizer* over bare parameters, in one group of role weight."""
    given = checked(optimizer.parameters, {"lr": lr, **values}, optimizer.name)
    group = {"params": parameters, "role": "weight", "invariances": [None] * len(parameters)}
    return optimizer.load()([group], **given)


def undecayed(optimizer):
    """Return the values that switch weight decay off."""
    return {"weight_decay": 0.0} if "weight_decay" in defaults(optimizer.parameters) else {}


def advance(stepper, loss):
    """Take one step down *loss*, a function of nothing; return its value before the step."""

    def closure():
        stepper.zero_grad()
        value = loss()
        value.backward()
        return value

    return stepper.step(closure)


def train(network, stepper, steps, first=0):
    """Take *steps* steps on a regression whose batches depend on the step alone."""
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(8, 3, 5, 5, dtype=torch.float64, generator=generator)
        inputs = inputs.to(next(network.parameters()))
        targets = inputs.flatten(1)[:, :2]
        advance(stepper, lambda x=inputs, y=targets: (network(x) - y).square().mean())


def weights(network):
    """Return a copy of all parameters."""
    return [parameter.detach().clone() for parameter in network.parameters()]


@over_referenced
def test_equals_torch_in_a_plain_loop(optimizer):
    """Twenty steps with weight decay agree with torch's loop, a channels_last weight included."""
    kind, values = REFERENCES[optimizer.name]
    built, reference = make_network(), make_network()
    lr = defaults(optimizer.parameters)["lr"]
    groups = make_groups(optimizer, reference, lr, 0.05)

    train(reference.network, kind(groups, lr=lr, foreach=False, **values), 20)
    train(built.network, build(optimizer, built, lr), 20)

    torch.testing.assert_close(
        weights(built.network), weights(reference.network), rtol=1e-10, atol=1e-12
    )


@over(lambda one: one.name not in ONE_FORM)
def test_update_over_lists_equals_the_loop(optimizer):
    """Ten steps over lists of tensors end where ten steps one tensor after another end."""
    lists, loop = make_network(), make_network()
    steppers = [build(optimizer, built) for built in (lists, loop)]
    for group in steppers[1].param_groups:
        assert "foreach" in group
        group["foreach"] = False
        if "fused" in group:
            group["fused"] = False

    for built, stepper in zip((lists, loop), steppers, strict=True):
        train(built.network, stepper, 10)

    torch.testing.assert_close(
        weights(lists.network), weights(loop.network), rtol=1e-10, atol=1e-12
    )


@over_optimizers
def test_finds_the_solution_of_least_squares(optimizer):
    """Three hundred steps on a well-conditioned problem remove 99 % of the loss."""
    torch.manual_seed(0)
    solution = nn.Parameter(torch.zeros(4, 3))
    matrix, target = torch.diag(torch.tensor([0.5, 1.0, 1.5, 2.0])), torch.randn(4, 3) + 2.0
    values = {"lr": 0.05, **undecayed(optimizer), **ON_LEAST_SQUARES.get(optimizer.name, {})}
    stepper = build_over(optimizer, [solution], **values)

    def loss():
        return (matrix @ solution - target).square().sum()

    first = loss().item()
    for _ in range(300):
        advance(stepper, loss)

    assert evaluated(optimizer, stepper, loss) < 0.01 * first


def evaluated(optimizer, stepper, loss):
    """Return the loss at the weights that count."""
    if optimizer.averages_weights:
        stepper.eval()
    return loss().item()


@over_optimizers
def test_follows_the_valley_of_rosenbrock(optimizer):
    """Five hundred steps along two curved valleys remove 90 % of the loss."""
    point = nn.Parameter(torch.tensor([[-0.5, 0.5], [0.2, -0.3]], dtype=torch.float64))
    values = {"lr": 0.05, **undecayed(optimizer), **ON_ROSENBROCK.get(optimizer.name, {})}
    stepper = build_over(optimizer, [point], **values)

    def loss():
        x, y = point.unbind(1)
        return ((1 - x) ** 2 + 100 * (y - x**2) ** 2).sum()

    first = loss().item()
    for _ in range(500):
        advance(stepper, loss)

    assert evaluated(optimizer, stepper, loss) < 0.1 * first


@over_optimizers
def test_resumed_run_continues_bit_for_bit(optimizer):
    """State saved and loaded as plain data gives the bits of a run that was never stopped."""
    whole, stopped, resumed = (make_network(torch.float32) for _ in range(3))
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
def test_groups_keep_roles_and_invariances(optimizer):
    """What the harness says of each parameter is still there after a round trip of the state."""
    built = make_network()
    stepper = build(optimizer, built)
    expected = [
        (group["role"], group["invariances"], group["lr"]) for group in stepper.param_groups
    ]

    stepper.load_state_dict(copy.deepcopy(stepper.state_dict()))

    actual = [(group["role"], group["invariances"], group["lr"]) for group in stepper.param_groups]
    assert expected == actual
    assert ["weight", "bias", "norm_scale", "norm_shift"] == [role for role, *_ in actual]
    assert ((2, 2, 3, 3, 3), (0,)) in actual[0][1]


@over(lambda one: one.name not in ONE_RATE)
def test_each_group_has_its_own_learning_rate(optimizer):
    """A group at a learning rate of 0 stays while the others move."""
    built = make_network()
    stepper = build(optimizer, built)
    before = weights(built.network)

    for group in stepper.param_groups:
        group["lr"] = 0.0 if group["role"] == "norm_scale" else group["lr"]
    train(built.network, stepper, 2)

    for info, old in zip(built.parameters, before, strict=True):
        assert (info.role == "norm_scale") == torch.equal(old, info.parameter)


@over(lambda one: not one.averages_weights and one.name not in RENORMALIZES)
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


@over(lambda one: "weight_decay" in defaults(one.parameters))
def test_weight_decay_reaches_weights_alone(optimizer):
    """Without a gradient only parameters of role weight move, towards 0 if decay is decoupled."""
    built = make_network()
    stepper = build(optimizer, built, lr=0.1, weight_decay=0.5)
    before = weights(built.network)

    for _ in range(2 if optimizer.name in IDLE_AT_FIRST else 1):
        advance(stepper, lambda: sum(p.sum() * 0.0 for p in built.network.parameters()))

    for info, old in zip(built.parameters, before, strict=True):
        decays = info.role == "weight"
        assert decays == (not torch.equal(old, info.parameter))
        if decays and optimizer.decoupled_weight_decay and optimizer.name not in DECAY_IN_DIRECTION:
            torch.testing.assert_close(info.parameter.detach(), old * (1 - 0.1 * 0.5))


@over(lambda one: one.elementwise)
def test_elementwise_update_does_not_depend_on_neighbours(optimizer):
    """Parameters joined into one tensor move as they do apart."""
    torch.manual_seed(0)
    first, second = torch.randn(2, 5, 7, dtype=torch.float64)
    apart = [nn.Parameter(first.clone()), nn.Parameter(second.clone())]
    joined = nn.Parameter(torch.cat((first, second)))

    for parameters in (apart, [joined]):
        stepper = build_over(optimizer, parameters, 0.1, weight_decay=0.05)
        for _ in range(5):
            advance(stepper, lambda ps=parameters: sum((p**3).sum() for p in ps))

    torch.testing.assert_close(joined.detach(), torch.cat([p.detach() for p in apart]))


@over(lambda one: not one.elementwise)
def test_other_updates_do_depend_on_neighbours(optimizer):
    """An update that is not called elementwise changes when another number's gradient does."""
    ends = []
    for factor in (1.0, 5.0):
        weight = nn.Parameter(torch.tensor([[0.3, -0.6], [0.9, 0.4]], dtype=torch.float64))
        scale = torch.tensor([[1.0, 1.0], [1.0, factor]], dtype=torch.float64)
        invariances = [((1, 2, 2), (0,))]
        group = {"params": [weight], "role": "weight", "invariances": invariances}
        stepper = optimizer.load()([group], **defaults(optimizer.parameters))
        for _ in range(3):
            advance(stepper, lambda w=weight, s=scale: (s * (w - 1.0).square()).sum())
        ends.append(weight[0, 0].item())

    assert ends[0] != pytest.approx(ends[1], rel=1e-9)


@over_optimizers
def test_ends_of_parameter_ranges_work(optimizer):
    """The smallest and largest value that a parameter allows build an optimizer that steps."""
    for parameter in optimizer.parameters:
        for end in (parameter.low, parameter.high):
            if end is None:
                continue
            weight = nn.Parameter(torch.ones(3, 2))
            given = {**defaults(optimizer.parameters), parameter.name: end}
            stepper = build_over(optimizer, [weight], **given)

            for _ in range(2):
                advance(stepper, lambda w=weight: w.square().sum())

            assert weight.isfinite().all()


@over_optimizers
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_state_has_the_dtype_of_the_weights(optimizer, dtype):
    """Moments are kept in the precision of the parameter they belong to."""
    weight = nn.Parameter(torch.ones(3, 2, dtype=dtype))
    stepper = build_over(optimizer, [weight], lr=0.1)

    for _ in range(2):
        advance(stepper, lambda: weight.square().sum())

    moments = [v for v in stepper.state[weight].values() if torch.is_tensor(v) and v.ndim]
    assert {dtype} >= {moment.dtype for moment in moments}


@over(lambda one: not one.needs_closure)
def test_closure_is_evaluated_once_before_the_step(optimizer):
    """A closure gives the loss and the gradients of the point where the step starts."""
    closed, separate = make_network(), make_network()
    train(closed.network, build(optimizer, closed), 3)
    stepper = build(optimizer, separate)
    calls = []

    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(8, 3, 5, 5, dtype=torch.float64, generator=generator)
        stepper.zero_grad()
        (separate.network(inputs) - inputs.flatten(1)[:, :2]).square().mean().backward()
        stepper.step()

    point = nn.Parameter(torch.tensor([3.0]))
    loss = advance(build_over(optimizer, [point], 0.1), lambda: calls.append(1) or point.sum())
    torch.testing.assert_close(weights(closed.network), weights(separate.network), rtol=0, atol=0)
    assert (1, 3.0) == (len(calls), loss.item())


@over(lambda one: one.needs_closure)
def test_missing_closure_is_refused(optimizer):
    """An optimizer that evaluates the loss itself says so when it cannot."""
    stepper = build_over(optimizer, [nn.Parameter(torch.ones(2))], 0.1)

    with pytest.raises(UsageError, match=r"received no closure.*Give step\(\) a function"):
        stepper.step()


@over(lambda one: not one.needs_closure)
def test_gradients_are_left_alone(optimizer):
    """Weight decay and scaling never change the gradients that others may read."""
    built = make_network()
    stepper = build(optimizer, built)
    for parameter in built.network.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = [parameter.grad.clone() for parameter in built.network.parameters()]

    for _ in range(2):
        stepper.step()

    after = [parameter.grad for parameter in built.network.parameters()]
    torch.testing.assert_close(after, before, rtol=0, atol=0)


@over_optimizers
def test_parameters_without_gradient_stay(optimizer):
    """A parameter that the loss does not reach keeps its value and holds nobody up."""
    used, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    stepper = build_over(optimizer, [used, unused], 0.1, **undecayed(optimizer))

    for _ in range(3):
        advance(stepper, lambda: (used - 3.0).square().sum())

    assert torch.equal(torch.ones(2, 2), unused)
    assert not torch.equal(torch.ones(2, 2), used)


@over_optimizers
def test_bad_gradients_reach_the_weights(optimizer):
    """NaN is not swallowed on the way, so that a run is closed as diverged."""
    weight = nn.Parameter(torch.ones(3, 2))
    stepper = build_over(optimizer, [weight], 0.1)

    for _ in range(2):
        advance(stepper, lambda: weight.sum() * float("nan"))

    assert not weight.isfinite().all()
