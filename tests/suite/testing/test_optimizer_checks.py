"""Every check of optimizers catches the one that breaks its contract, and lets sound ones pass."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from normbench import Optimizer, Parameter, Search, UsageError
from normbench.plugins import load_catalogue
from normbench.testing import ContractError, check_optimizer, optimizer_checks
from normbench.testing.optimizer_capture import check_replays

CATALOGUE = load_catalogue()
SOUND = [CATALOGUE.get(Optimizer, name) for name in ("sgd", "momentum", "adam", "adamw")]
CHECKS = {check.name: check for check in optimizer_checks()}

LR = Parameter(
    name="lr",
    kind="float",
    default=0.01,
    summary="learning rate",
    low=0.0,
    search=Search(scale="log", low=1e-4, high=1.0),
)
DECAY = Parameter(name="weight_decay", kind="float", default=0.0, summary="L2", low=0.0)
FOREACH = Parameter(name="foreach", kind="bool", default=True, summary="lists of tensors")
POWER = Parameter(name="p", kind="float", default=1.0, summary="power", low=0.0, high=1.0)


class HeavyBall(torch.optim.Optimizer):
    """A sound optimizer: momentum 0.9, with coupled weight decay."""

    def __init__(self, groups, lr=0.01, weight_decay=0.0):
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self.update(weight, self.gradient(weight, group), group)

    def gradient(self, weight, group):
        return weight.grad.add(weight, alpha=group["weight_decay"])

    def update(self, weight, gradient, group):
        state = self.state[weight]
        if not state:
            state["buffer"] = torch.zeros_like(weight)
        state["buffer"].mul_(0.9).add_(gradient)
        weight.sub_(state["buffer"] * group["lr"])


class Uphill(HeavyBall):
    def gradient(self, weight, group):
        return -super().gradient(weight, group)


class FirstCoordinate(HeavyBall):
    def gradient(self, weight, group):
        gradient = super().gradient(weight, group)
        if weight.ndim == 1:
            gradient[1:] = 0.0
        return gradient


class DividesByRate(HeavyBall):
    def update(self, weight, gradient, group):
        super().update(weight, gradient / group["lr"] * group["lr"], group)


class KeepsRate(HeavyBall):
    def __init__(self, groups, lr=0.01, weight_decay=0.0):
        super().__init__(groups, lr, weight_decay)
        self.rates = [group["lr"] for group in self.param_groups]

    def step(self, closure=None):
        for group, rate in zip(self.param_groups, self.rates, strict=True):
            group["lr"] = rate
        super().step()


class OneRate(HeavyBall):
    def update(self, weight, gradient, group):
        super().update(weight, gradient, self.param_groups[0])


class OneDecay(HeavyBall):
    def gradient(self, weight, group):
        return super().gradient(weight, {"weight_decay": self.defaults["weight_decay"]})


class NoDecay(HeavyBall):
    def gradient(self, weight, group):
        return weight.grad


class WritesIntoGradient(HeavyBall):
    def gradient(self, weight, group):
        return weight.grad.add_(weight, alpha=group["weight_decay"])


class NeedsAllGradients(HeavyBall):
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad.mul_(1.0)
        super().step()


class HiddenBuffer(HeavyBall):
    def __init__(self, groups, lr=0.01, weight_decay=0.0):
        super().__init__(groups, lr, weight_decay)
        self.buffers = {}

    def update(self, weight, gradient, group):
        buffer = self.buffers.setdefault(weight, torch.zeros_like(weight))
        buffer.mul_(0.9).add_(gradient)
        weight.sub_(buffer, alpha=group["lr"])


class CoarseState(HeavyBall):
    def update(self, weight, gradient, group):
        state = self.state[weight]
        if not state:
            state["buffer"] = torch.zeros_like(weight, dtype=torch.bfloat16)
        state["buffer"].mul_(0.9).add_(gradient)
        weight.sub_(state["buffer"].to(weight.dtype), alpha=group["lr"])


class Flattening(HeavyBall):
    def update(self, weight, gradient, group):
        rows = torch.arange(weight.numel(), dtype=weight.dtype)
        flat = gradient.permute(*range(gradient.ndim)).as_strided((weight.numel(),), (1,))
        scaled = (flat * (1 + rows)).as_strided(gradient.shape, gradient.stride())
        super().update(weight, scaled, group)


class Clipping(HeavyBall):
    def update(self, weight, gradient, group):
        super().update(weight, gradient / (1 + gradient.norm()), group)


class Switching(HeavyBall):
    def eval(self):
        pass

    def train(self):
        pass


class Sharpening(HeavyBall):
    """Evaluates its closure without gradients."""

    @torch.no_grad()
    def step(self, closure):
        closure()
        super().step()


class Decoupled(HeavyBall):
    """Shrinks weights beside the step."""

    def gradient(self, weight, group):
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        return weight.grad


class DecayedByRatio(HeavyBall):
    """Scales gradient and decay together, by the gradient alone."""

    def gradient(self, weight, group):
        return super().gradient(weight, group) / (1 + weight.grad.norm())


class ReadsOnHost(HeavyBall):
    def update(self, weight, gradient, group):
        super().update(weight, gradient * (1 + 0 * gradient.sum().item()), group)


class CountsOnHost(HeavyBall):
    def update(self, weight, gradient, group):
        self.steps = getattr(self, "steps", 0) + 1
        super().update(weight, gradient / self.steps, group)


class TakesNumbers(HeavyBall):
    def update(self, weight, gradient, group):
        weight.sub_(gradient, alpha=group["lr"])


class Stuck(HeavyBall):
    def step(self, closure=None):
        self.param_groups, groups = self.param_groups[:1], self.param_groups
        super().step()
        self.param_groups = groups


def optimizer(kind=HeavyBall, parameters=(LR, DECAY), **fields):
    """Return a description of the optimizer of class *kind*."""

    def make(groups, *, lr, weight_decay):
        return kind(groups, lr, weight_decay)

    fields = {"name": "mine", "summary": "an optimizer", "factory": make, **fields}
    return Optimizer(parameters=parameters, **fields)


def merging(groups, *, lr, weight_decay):
    """Put all parameters into one group."""
    return HeavyBall([weight for group in groups for weight in group["params"]], lr, weight_decay)


def doubling(groups, *, lr, weight_decay, foreach):
    """Step twice as far with foreach."""
    for group in groups:
        group["lr"] *= 2 if foreach else 1
    return HeavyBall(groups, lr, weight_decay)


def dividing(groups, *, lr, weight_decay, p):
    """Take infinite steps at p = 0."""
    for group in groups:
        group["lr"] = lr / p if p else float("inf")
    return HeavyBall(groups, lr, weight_decay)


def nothing(groups, *, lr, weight_decay):
    """Return no optimizer."""


MUTANTS = [
    ("describes_itself", optimizer(name="Adam-2")),
    ("takes_its_parameters", optimizer(parameters=(LR, DECAY, POWER))),
    ("has_a_learning_rate", optimizer(parameters=(DECAY,))),
    ("trains_a_network", optimizer(Stuck)),
    ("trains_a_network", optimizer(factory=nothing)),
    ("needs_a_closure_as_it_says", optimizer(Sharpening)),
    ("needs_a_closure_as_it_says", optimizer(Sharpening, needs_closure=True)),
    ("foreach_equals_loop", optimizer(factory=doubling, parameters=(LR, DECAY, FOREACH))),
    ("refuses_what_it_cannot_do", optimizer(factory=dividing, parameters=(LR, DECAY, POWER))),
    ("minimises_a_quadratic", optimizer(Uphill)),
    ("minimises_rosenbrock", optimizer(FirstCoordinate)),
    ("stands_still_at_rate_zero", optimizer(DividesByRate)),
    ("follows_its_learning_rate", optimizer(KeepsRate)),
    ("keeps_rates_of_groups_apart", optimizer(OneRate)),
    ("decays_where_it_is_told", optimizer(OneDecay)),
    ("decays_where_it_is_told", optimizer(NoDecay)),
    ("decouples_decay_as_it_says", optimizer(decoupled_weight_decay=True)),
    ("decouples_decay_as_it_says", optimizer(Decoupled)),
    ("leaves_gradients_alone", optimizer(WritesIntoGradient)),
    ("passes_over_missing_gradients", optimizer(NeedsAllGradients)),
    ("resumes_bit_for_bit", optimizer(HiddenBuffer)),
    ("keeps_its_groups", optimizer(factory=merging)),
    ("keeps_dtype", optimizer(CoarseState)),
    ("does_not_mind_the_layout", optimizer(Flattening)),
    ("elementwise_as_it_says", optimizer(Clipping)),
    ("elementwise_as_it_says", optimizer(elementwise=False)),
    ("averages_as_it_says", optimizer(Switching)),
    ("averages_as_it_says", optimizer(Switching, averages_weights=True)),
    ("averages_as_it_says", optimizer(averages_weights=True)),
]
ON_CUDA = [
    ("can_be_captured_as_it_says", optimizer(ReadsOnHost, capturable=True)),
    ("can_be_captured_as_it_says", optimizer(CountsOnHost, capturable=True)),
    ("can_be_captured_as_it_says", optimizer(TakesNumbers, capturable=True)),
]
NEEDS_CUDA = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
)


@pytest.mark.parametrize(
    ("check", "mutant"),
    [*MUTANTS, *(pytest.param(*broken, marks=NEEDS_CUDA) for broken in ON_CUDA)],
    ids=lambda one: getattr(one, "name", one),
)
def test_check_catches_the_optimizer_that_breaks_it(check, mutant):
    """An optimizer with one defect fails the check of that contract, with three sentences."""
    with pytest.raises(ContractError) as caught:
        CHECKS[check](mutant)

    assert all((caught.value.seen, caught.value.expected, caught.value.change))


def test_every_check_has_an_optimizer_that_breaks_it():
    """No check is left that nothing was seen to fail."""
    assert set(CHECKS) == {check for check, _ in MUTANTS + ON_CUDA}


@pytest.mark.parametrize(
    "component",
    [
        *SOUND,
        optimizer(capturable=True),
        optimizer(Decoupled, decoupled_weight_decay=True, capturable=True),
    ],
    ids=lambda one: one.name,
)
def test_sound_optimizers_pass(component):
    """Optimizers of our own, and the one that all mutants are made of, fail no check."""
    assert [] == [one for one in check_optimizer(component) if one.outcome == "failed"]


def test_refusal_of_several_rates_is_no_failure():
    """An optimizer with one rate for all may say so with a UsageError."""

    def make(groups, *, lr, weight_decay):
        if len({group["lr"] for group in groups}) > 1:
            raise UsageError("one rate for all")
        return HeavyBall(groups, lr, weight_decay)

    reason = CHECKS["keeps_rates_of_groups_apart"](optimizer(factory=make))

    assert reason == "it refuses groups of different rates: one rate for all"


def test_decay_of_either_sort_is_told():
    """Decay scaled together with the gradient is called neither coupled nor decoupled."""
    check = CHECKS["decouples_decay_as_it_says"]

    assert "neither" in check(optimizer(DecayedByRatio))
    assert "no parameter weight_decay" in check(optimizer(parameters=(LR,)))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "it does not say that a CUDA graph may hold its step"),
        ({"capturable": True, "needs_closure": True}, "its step holds the passes of the network"),
    ],
)
def test_only_declared_steps_are_captured(fields, reason):
    """A step that is not declared capturable, or holds a closure, is not captured."""
    assert reason in CHECKS["can_be_captured_as_it_says"](optimizer(**fields))


@pytest.mark.parametrize("broken", [each for _, each in ON_CUDA], ids=lambda each: each.name)
def test_capture_is_checked_with_rates_in_tensors(broken):
    """On the recorder that stands in for CUDA's, sound steps pass and each broken one is caught."""
    path = Path(__file__).parents[1] / "engine" / "processor_recorder.py"
    recorder, device = runpy.run_path(str(path))["Recorder"](), torch.device("cpu")
    check_replays(optimizer(capturable=True), recorder, device)

    with pytest.raises(ContractError):
        check_replays(broken, recorder, device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_capture_without_cuda_is_told():
    """On a machine without CUDA a declared capture is left open, and the check says so."""
    reason = CHECKS["can_be_captured_as_it_says"](optimizer(capturable=True))

    assert reason == "it needs CUDA, and there is no such device here"
