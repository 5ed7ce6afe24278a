"""Every check of norms catches the norm that breaks its contract, and lets sound ones pass."""

from __future__ import annotations

import re
from typing import ClassVar

import pytest
import torch
from torch import nn

from normbench import Fitting, Norm, Parameter, Role, UsageError
from normbench.plugins import load_catalogue
from normbench.testing import ContractError, check_norm, norm_checks

CATALOGUE = load_catalogue()
SOUND = [CATALOGUE.get(Norm, name) for name in ("none", "batch_norm", "group_norm", "weight_norm")]
CHECKS = {check.name: check for check in norm_checks()}


class Rms(nn.Module):
    """A sound norm: each example over its root mean square, then γ and β."""

    parameter_roles: ClassVar = {"weight": Role.NORM_SCALE, "bias": Role.NORM_SHIFT}

    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, inputs):
        wide = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
        return self.affine(self.normalise(wide)).to(inputs.dtype)

    def normalise(self, inputs):
        dims = tuple(range(1, inputs.ndim))
        return inputs / (inputs.square().mean(dims, keepdim=True) + 1e-5).sqrt()

    def affine(self, inputs):
        shape = (-1, *(1,) * (inputs.ndim - 2))
        return inputs * self.weight.view(shape) + self.bias.view(shape)


class Counting(Rms):
    """A norm with a buffer that each mutant below spoils in its own way."""

    def __init__(self, features):
        super().__init__(features)
        self.register_buffer("seen", torch.zeros(()))


class Flattens(Rms):
    def forward(self, inputs):
        return super().forward(inputs).flatten(1)


class MakesContiguous(Rms):
    def forward(self, inputs):
        return super().forward(inputs).contiguous()


class StaysWide(Rms):
    def forward(self, inputs):
        return self.affine(
            self.normalise(inputs.to(torch.promote_types(inputs.dtype, torch.float)))
        )


class RoundsStatistics(Rms):
    def forward(self, inputs):
        centred = inputs - inputs.mean((0, *range(2, inputs.ndim)), keepdim=True)
        return self.affine(self.normalise(centred)).to(inputs.dtype)


class RefusesBfloat16(Rms):
    def forward(self, inputs):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not in this region")
        return super().forward(inputs)


class DividesByZero(Rms):
    def normalise(self, inputs):
        return inputs / inputs.abs().amax(tuple(range(1, inputs.ndim)), keepdim=True)


class IgnoresScale(Rms):
    def affine(self, inputs):
        return inputs + self.bias.view(-1, *(1,) * (inputs.ndim - 2))


class DetachesStatistics(Rms):
    def normalise(self, inputs):
        return inputs * (super().normalise(inputs) / (inputs + 1e-12)).detach()


class WritesIntoInput(Rms):
    def forward(self, inputs):
        with torch.no_grad():
            inputs.clamp_(-1.0, 1.0)
        return super().forward(inputs)


class ScaleThatShifts(Rms):
    def affine(self, inputs):
        return super().affine(inputs) + self.weight.mean() ** 0


class NoRole(Rms):
    parameter_roles: ClassVar = {"weight": Role.NORM_SCALE}


class CountsInEvaluation(Counting):
    def forward(self, inputs):
        self.seen += 1.0
        return super().forward(inputs)


class BatchInEvaluation(Rms):
    def normalise(self, inputs):
        return inputs / (inputs.square().mean() + 1e-5).sqrt()


class GraphInBuffer(Counting):
    def forward(self, inputs):
        if self.training:
            self.seen = 0.9 * self.seen + 0.1 * inputs.mean()
        return super().forward(inputs)


class HiddenState(Rms):
    factor = 1.0

    def forward(self, inputs):
        if self.training:
            self.factor = 2.0
        return self.factor * super().forward(inputs)


class SharedState(Rms):
    shared = torch.ones(1)

    def __init__(self, features):
        super().__init__(features)
        self.register_buffer("seen", self.shared)

    def __deepcopy__(self, memo):
        twin = type(self)(len(self.weight))
        twin.load_state_dict(self.state_dict())
        return twin

    def forward(self, inputs):
        if self.training:
            self.seen += 1.0
        return super().forward(inputs)


class UnbiasedOverBatch(Rms):
    def normalise(self, inputs):
        if self.training:
            means = inputs.flatten(1).mean(1)
            variance = (means - means.mean()).square().sum() / (len(means) - 1)
            return inputs / (variance.sqrt() + 1.0)
        return inputs


class StuckStatistics(nn.Module):
    """Batch norm whose running statistics never move, and are not what evaluation uses."""

    def __init__(self, features):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(features))

    def forward(self, inputs):
        dims = (0, *range(2, inputs.ndim))
        return inputs - inputs.mean(dims, keepdim=True) if self.training else 2 * inputs + 1


class RunningScale(Rms):
    """A sound norm: each channel over its root mean square in the batch, then γ and β."""

    momentum = 0.1

    def __init__(self, features):
        super().__init__(features)
        self.register_buffer("square", torch.ones(features))

    def normalise(self, inputs):
        square = inputs.square().mean((0, *range(2, inputs.ndim)))
        if self.training:
            self.square.lerp_(square.detach().to(self.square.dtype), self.momentum)
        else:
            square = self.running()
        return inputs / (square.view(-1, *(1,) * (inputs.ndim - 2)) + 1e-5).sqrt()

    def running(self):
        return self.square


class ForgetsRoot(RunningScale):
    def running(self):
        return self.square.square()


class SlowStatistics(RunningScale):
    momentum = 1e-4


class OtherInEvaluation(Rms):
    def affine(self, inputs):
        return super().affine(inputs) if self.training else inputs


class Noisy(Rms):
    def forward(self, inputs):
        noise = torch.rand_like(inputs) if self.training else 0.5
        return super().forward(inputs) * noise


def norm(kind=Rms, groups=1, **fields):
    """Return a description of the norm of module class *kind*."""

    def fit(site):
        return Fitting(norm=kind(site.features), groups=groups)

    return Norm(**{"name": "mine", "summary": "a norm", "factory": fit, **fields})


def power_norm(**limits):
    """Return a norm with a parameter p that divides by 1 - p."""

    def fit(site, *, p):
        norm = Rms(site.features)
        nn.init.constant_(norm.weight, 1 / (1 - p) if p != 1 else float("inf"))
        return Fitting(norm=norm, groups=1)

    parameter = Parameter(name="p", kind="float", default=0.5, summary="power", **limits)
    return norm(factory=fit, parameters=(parameter,))


def refuse(site):
    """Refuse every site."""
    raise UsageError(f"{site.features} channels are too few")


def misnamed(site, *, epsilon):
    """Take a keyword that the description does not know."""
    return Fitting(norm=Rms(site.features))


EPS = Parameter(name="eps", kind="float", default=1e-5, summary="guard", low=1e-12)
WIDE_DEFAULT = Parameter(name="p", kind="int", default=0, summary="a number", low=1)
MUTANTS = [
    ("describes_itself", norm(name="My Norm")),
    ("describes_itself", norm(summary="")),
    ("describes_itself", norm(parameters=(WIDE_DEFAULT,))),
    ("takes_its_parameters", norm(factory=misnamed, parameters=(EPS,))),
    ("fits_every_site_kind", norm(factory=refuse)),
    ("gives_every_parameter_a_role", norm(NoRole)),
    ("shows_its_shift_and_scale", norm(ScaleThatShifts)),
    ("keeps_shape_and_dtype", norm(Flattens)),
    ("keeps_channels_last", norm(MakesContiguous)),
    ("works_in_bfloat16", norm(StaysWide)),
    ("works_in_bfloat16", norm(RoundsStatistics)),
    ("works_under_autocast", norm(RefusesBfloat16)),
    ("gradients_are_finite", norm(DividesByZero)),
    ("gradients_are_finite", norm(IgnoresScale)),
    ("gradients_are_right", norm(DetachesStatistics)),
    ("leaves_its_input_alone", norm(WritesIntoInput)),
    ("claimed_invariance_holds", norm(groups=16)),
    ("claimed_invariance_holds", norm(groups=3)),
    ("claims_all_of_its_invariance", norm(groups=None)),
    ("centres_as_it_says", norm(centres=True)),
    ("refuses_what_it_cannot_do", power_norm(low=0.0, high=1.0)),
    ("evaluation_changes_nothing", norm(CountsInEvaluation)),
    ("evaluates_examples_one_by_one", norm(BatchInEvaluation)),
    ("evaluates_as_it_trained", norm(StuckStatistics)),
    ("evaluates_as_it_trained", norm(ForgetsRoot)),
    ("evaluates_as_it_trained", norm(OtherInEvaluation)),
    ("buffers_leave_the_graph", norm(GraphInBuffer)),
    ("state_survives_saving", norm(HiddenState)),
    ("copies_are_independent", norm(SharedState)),
    ("takes_a_batch_of_one", norm(UnbiasedOverBatch)),
]


@pytest.mark.parametrize(("check", "mutant"), MUTANTS, ids=lambda one: getattr(one, "name", one))
def test_check_catches_the_norm_that_breaks_it(check, mutant):
    """A norm with one defect fails the check of that contract, with three sentences."""
    with pytest.raises(ContractError) as caught:
        CHECKS[check](mutant)

    assert all((caught.value.seen, caught.value.expected, caught.value.change))


def test_every_check_has_a_norm_that_breaks_it():
    """No check is left that nothing was seen to fail."""
    assert set(CHECKS) == {check for check, _ in MUTANTS}


@pytest.mark.parametrize(
    "component",
    [*SOUND, norm(), norm(RunningScale, groups=16), power_norm(low=0.0, high=0.9)],
    ids=lambda one: one.name,
)
def test_sound_norms_pass(component):
    """Norms of our own, and the one that all mutants are made of, fail no check."""
    assert [] == [one for one in check_norm(component) if one.outcome == "failed"]


@pytest.mark.parametrize(
    ("check", "mutant", "change"),
    [
        ("gradients_are_right", norm(DetachesStatistics), "since .float() rounds them"),
        ("fits_every_site_kind", norm(NoRole), "do what that says"),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_what_to_change_fits_what_was_seen(check, mutant, change):
    """The commonest cause is named, and an error that says its own fix is not talked over."""
    with pytest.raises(ContractError, match=re.escape(change)):
        CHECKS[check](mutant)


def test_wide_norms_get_wide_sites():
    """A norm that refuses 16 channels is tried with more before it counts as failed."""

    def fit(site):
        if site.features < 64:
            raise UsageError("64 channels at least")
        return Fitting(norm=Rms(site.features), groups=1)

    assert CHECKS["fits_every_site_kind"](norm(factory=fit)) is None


@pytest.mark.parametrize(
    ("kind", "reason"), [(Noisy, "drawn at random"), (SlowStatistics, "passes over a batch")]
)
def test_evaluation_is_not_compared_with_what_it_cannot_equal(kind, reason):
    """Random training outputs, and statistics that settle too slowly, are told as such."""
    assert reason in CHECKS["evaluates_as_it_trained"](norm(kind))
