"""Updates agree with their authors' code, and with torch where it has part of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench import Optimizer
from normbench.parameters import checked
from normbench.plugins import load_catalogue
from normbench_plugins.optimizers.lamb import LAMB
from normbench_plugins.optimizers.lars import LARS
from normbench_plugins.optimizers.lbfgs import LBFGS
from normbench_plugins.optimizers.lion import Lion
from normbench_plugins.optimizers.muon import Muon
from normbench_plugins.optimizers.sam import SAM
from normbench_plugins.optimizers.schedule_free_adamw import ScheduleFreeAdamW
from normbench_plugins.optimizers.schedule_free_sgd import ScheduleFreeSGD
from normbench_plugins.optimizers.soap import SOAP

CATALOGUE = load_catalogue()
START = ((0.5, -0.25, 0.75), (-1.0, 0.3, 0.1))
SCALE = ((1.0, 2.0, 0.5), (0.25, 1.5, 3.0))
TARGET = ((0.2, 0.1, -0.3), (0.4, -0.6, 0.9))
ADAM = {"beta1": 0.9, "beta2": 0.99}

# The weights after ten steps on `loss`, in float64. schedule_free: schedulefree 1.4.1, the authors'
# package. lion, sam, soap, and lars without decay: pytorch_optimizer 4.1.0, SOAP with its QR
# decomposition in float64; SAM's norm is in float32 there. The others: the papers' formulas in
# plain Python.
GOLDEN = {
    "lion": (
        "lion",
        {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1},
        (
            (0.828092477436, 0.153551459578, -0.277892693655),
            (-0.528480635077, -0.684864627409, 1.046617457413),
        ),
        1e-11,
    ),
    "lars": (
        "lars",
        {"lr": 0.5, "trust_coefficient": 0.05, "weight_decay": 0.0},
        (
            (0.801531202953, 0.01231767974, 0.460013215749),
            (-0.849234398523, -0.556344100668, 0.980308134835),
        ),
        1e-11,
    ),
    "lars with decay": (
        "lars",
        {"lr": 0.5, "trust_coefficient": 0.05, "weight_decay": 0.1},
        (
            (0.758359470485, -0.00093814989, 0.460827353765),
            (-0.810977519472, -0.514603067128, 0.95724830542),
        ),
        1e-11,
    ),
    "lamb": (
        "lamb",
        {"lr": 0.05, "weight_decay": 0.1},
        (
            (0.734819922384, -0.027606564244, 0.46116558609),
            (-0.724747281183, 0.025018849222, 0.36274844916),
        ),
        1e-11,
    ),
    "sam": (
        "sam",
        {"lr": 0.02, "rho": 0.3, "weight_decay": 0.1},
        (
            (0.918348459466, 0.257484631613, 0.084920718059),
            (-0.689167383988, -0.973220010874, 0.754831423237),
        ),
        1e-7,
    ),
    "adaptive sam": (
        "sam",
        {"lr": 0.02, "rho": 0.3, "adaptive": True, "weight_decay": 0.1},
        (
            (0.930482773675, 0.167063508561, 0.11339089663),
            (-0.683100226884, -0.879275386474, 0.803709218209),
        ),
        1e-7,
    ),
    "schedule_free_sgd": (
        "schedule_free_sgd",
        {"lr": 0.05, "weight_decay": 0.1},
        (
            (0.655713109359, -0.108281237864, 0.59741545363),
            (-0.888113572204, -0.191647968178, 0.669715669139),
        ),
        1e-11,
    ),
    "schedule_free_sgd, later iterates weigh more": (
        "schedule_free_sgd",
        {"lr": 0.05, "momentum": 0.7, "r": 1.0, "weight_decay": 0.1},
        (
            (0.678086870487, -0.076541144386, 0.543525682227),
            (-0.867820564753, -0.263779521445, 0.700080352795),
        ),
        1e-11,
    ),
    "schedule_free_adamw": (
        "schedule_free_adamw",
        {"lr": 0.1, **ADAM, "weight_decay": 0.1},
        (
            (0.753873833406, -0.008423007937, 0.202446137359),
            (-0.66527443703, -0.194668245696, 0.559175048222),
        ),
        1e-11,
    ),
    "soap": (
        "soap",
        {"lr": 0.1, "beta1": 0.9, "precondition_every": 3, "weight_decay": 0.0},
        (
            (1.219490613032, 0.040024421292, 0.255396546586),
            (-1.358200222682, -0.377609984405, 0.662711204104),
        ),
        1e-6,
    ),
}


def make(name, parameters, role="weight", **values):
    """Return the optimizer *name* over one group of *role*."""
    optimizer = CATALOGUE.get(Optimizer, name)
    group = {"params": parameters, "role": role}
    return optimizer.load()([group], **checked(optimizer.parameters, values, name))


def tensor(values):
    """Return a float64 tensor."""
    return torch.tensor(values, dtype=torch.float64)


def loss(weight):
    """Return a quadratic whose rows hang together."""
    off = weight - tensor(TARGET)
    return (tensor(SCALE) * off.square()).sum() + (off[0] * off[1]).sum()


def descend(stepper, weight, steps=10):
    """Take *steps* steps down the quadratic and return the weights that count."""

    def closure():
        stepper.zero_grad()
        value = loss(weight)
        value.backward()
        return value

    for _ in range(steps):
        stepper.step(closure)
    if hasattr(stepper, "eval"):
        stepper.eval()
    return weight.detach().clone()


@pytest.mark.parametrize("case", GOLDEN)
def test_ten_steps_end_at_the_published_numbers(case):
    """Both forms of the update, where there are two, give the weights of the authors' code."""
    name, values, expected, tolerance = GOLDEN[case]
    weight, loop = (nn.Parameter(tensor(START)) for _ in range(2))
    stepper = make(name, [loop], **values)
    stepper.param_groups[0]["foreach"] = False

    for actual in (descend(make(name, [weight], **values), weight), descend(stepper, loop)):
        torch.testing.assert_close(actual, tensor(expected), rtol=0, atol=tolerance)


@pytest.mark.parametrize("adjust", ["match_rms_adamw", "original"])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
def test_muon_equals_torch_on_matrices(adjust, nesterov, shape):
    """Momentum, orthogonalization, scale and decay are torch's."""
    ours, theirs = (nn.Parameter(tensor(START).reshape(shape)) for _ in range(2))
    values = {"lr": 0.1, "momentum": 0.95, "nesterov": nesterov, "weight_decay": 0.1}
    steppers = (
        make("muon", [ours], adjust=adjust, **values),
        torch.optim.Muon([theirs], adjust_lr_fn=adjust, **values),
    )

    for weight, stepper in zip((ours, theirs), steppers, strict=True):
        for _ in range(10):
            stepper.zero_grad()
            loss(weight.reshape(2, 3)).backward()
            stepper.step()

    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_muon_takes_a_convolution_as_a_matrix():
    """A channels_last weight (C, ...) moves as the matrix (C, rest) does."""
    start = torch.linspace(-1, 1, 48, dtype=torch.float64).view(4, 3, 2, 2).sin()
    convolution = nn.Parameter(start.clone(memory_format=torch.channels_last))
    matrix = nn.Parameter(start.flatten(1).clone())

    for weight in (convolution, matrix):
        stepper = make("muon", [weight], lr=0.1)
        for _ in range(3):
            stepper.zero_grad()
            (weight.reshape(4, 12) ** 3).sum().backward()
            stepper.step()

    torch.testing.assert_close(convolution.flatten(1), matrix)
    assert convolution.is_contiguous(memory_format=torch.channels_last)


NO_MATRICES = [
    ("muon", "bias", (6,)),
    ("muon", "norm_other", (2, 3)),
    ("muon", "weight", (6,)),
    ("soap", "bias", (6,)),
    ("soap", "norm_other", (2, 3)),
]


@pytest.mark.parametrize(("name", "role", "shape"), NO_MATRICES)
def test_what_is_no_weight_matrix_takes_adamw(name, role, shape):
    """Other roles, and Muon's weights of one dimension, move as under torch's AdamW."""
    ours, theirs = (nn.Parameter(tensor(START).reshape(shape)) for _ in range(2))
    values = {"lr": 0.1, "eps": 1e-8, "weight_decay": 0.1}
    stepper = make(name, [ours], role, beta1=0.9, beta2=0.95, **values)

    for weight, one in (
        (ours, stepper),
        (theirs, torch.optim.AdamW([theirs], betas=(0.9, 0.95), **values)),
    ):
        for _ in range(5):
            one.zero_grad()
            loss(weight.reshape(2, 3)).backward()
            one.step()

    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_muon_gives_adamw_its_own_rate():
    """The factor scales the steps of what is no matrix, and of nothing else."""
    moved = {}
    for factor in (1.0, 0.5):
        for role in ("weight", "bias"):
            weight = nn.Parameter(tensor(START))
            stepper = make("muon", [weight], role, adamw_lr_factor=factor, weight_decay=0.0)
            moved[factor, role] = descend(stepper, weight, steps=1) - tensor(START)

    assert torch.equal(moved[1.0, "weight"], moved[0.5, "weight"])
    torch.testing.assert_close(moved[1.0, "bias"] / 2, moved[0.5, "bias"])


@pytest.mark.parametrize(("name", "same_as"), [("lars", "momentum"), ("lamb", "adamw")])
def test_trust_ratio_is_for_weights_alone(name, same_as):
    """A bias moves as without layer-wise rates, and a weight does not."""
    same_values = {"lr": 0.1, "weight_decay": 0.0}
    values = {**same_values, "eps": 1e-8} if name == "lamb" else same_values
    ends = {}
    for role in ("weight", "bias"):
        weight = nn.Parameter(tensor(START))
        ends[role] = descend(make(name, [weight], role, **values), weight)
    weight = nn.Parameter(tensor(START))
    expected = descend(make(same_as, [weight], **same_values), weight)

    torch.testing.assert_close(ends["bias"], expected, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(ends["weight"], expected, rtol=1e-3)


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_weight_at_zero_moves(name):
    """Where the weight's norm is 0 the ratio is 1, so that it can leave."""
    weight = nn.Parameter(torch.zeros(2, 3, dtype=torch.float64))

    end = descend(make(name, [weight], lr=0.1, weight_decay=0.0), weight, steps=1)

    assert end.abs().min() > 1e-3


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_relative_step_does_not_depend_on_the_scale_of_the_gradient(name):
    """A thousand times the loss gives the same step, and the rate is its relative size."""
    values = {"lr": 0.1, "weight_decay": 0.0}
    values.update({"trust_coefficient": 1.0} if name == "lars" else {"eps": 0.0})
    steps = []
    for factor in (1.0, 1000.0):
        weight = nn.Parameter(tensor(START))
        stepper = make(name, [weight], **values)
        (factor * loss(weight)).backward()
        stepper.step()
        steps.append(weight.detach() - tensor(START))

    torch.testing.assert_close(*steps)
    assert 0.1 == pytest.approx((steps[0].norm() / tensor(START).norm()).item())


def test_soap_learns_its_basis_from_the_first_gradient():
    """The first step moves nothing; then the basis is orthogonal and diagonalizes GGᵀ."""
    weight = nn.Parameter(tensor(START))
    stepper = make("soap", [weight])
    loss(weight).backward()
    gradient = weight.grad.clone()
    stepper.step()

    rotation = stepper.state[weight]["rotations"][0]
    turned = rotation.T @ gradient @ gradient.T @ rotation
    assert torch.equal(tensor(START), weight)
    torch.testing.assert_close(rotation.T @ rotation, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(turned, turned.diagonal().diag_embed(), rtol=0, atol=1e-12)


def test_soap_commutes_with_rotations():
    """Turning a weight's rows turns its path, which no elementwise optimizer can do."""
    turn = tensor(((0.6, -0.8), (0.8, 0.6)))
    plain, turned = nn.Parameter(tensor(START)), nn.Parameter(turn @ tensor(START))
    values = {"precondition_every": 2, "weight_decay": 0.0, "lr": 0.05}
    ends = {}
    for weight, back in ((plain, torch.eye(2, dtype=torch.float64)), (turned, turn.T)):
        stepper = make("soap", [weight], **values)
        for step in range(12):
            generator = torch.Generator().manual_seed(step)
            noise = torch.randn(2, 3, dtype=torch.float64, generator=generator)
            stepper.zero_grad()
            (loss(back @ weight) + (noise * (back @ weight)).sum()).backward()
            stepper.step()
        ends[weight] = (back @ weight).detach()

    torch.testing.assert_close(ends[plain], ends[turned], rtol=1e-5, atol=1e-6)


def test_soap_keeps_moments_with_their_direction():
    """Where gradients never mix it is Adam, also when another direction becomes the largest."""
    sizes = ((3.0, 1.0), (3.0, 1.0), (0.5, 2.0), (0.1, 4.0), (0.1, 3.0), (2.0, 0.3), (1.0, 1.5))
    ours, theirs = (nn.Parameter(torch.zeros(2, 2, dtype=torch.float64)) for _ in range(2))
    values = {"lr": 0.1, "eps": 1e-8, "weight_decay": 0.0}
    soap = make("soap", [ours], beta1=0.9, beta2=0.5, precondition_every=1, **values)
    adam = torch.optim.Adam([theirs], betas=(0.9, 0.5), **values)

    for step, pair in enumerate(sizes):
        for weight, stepper in ((ours, soap), (theirs, adam)):
            weight.grad = torch.diag(tensor(pair))
            if step or stepper is soap:
                stepper.step()

    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_soap_leaves_large_dimensions_alone():
    """With no dimension small enough it is Adam, a step behind."""
    ours, theirs = nn.Parameter(tensor(START)), nn.Parameter(tensor(START))
    values = {"lr": 0.1, "weight_decay": 0.0}
    stepper = make("soap", [ours], largest_dimension=1, beta1=0.9, beta2=0.95, **values)
    adam = torch.optim.Adam([theirs], betas=(0.9, 0.95), **values)

    torch.testing.assert_close(descend(stepper, ours, 6), descend(adam, theirs, 5))


CLASSES = (LAMB, LARS, LBFGS, Lion, Muon, SAM, SOAP, ScheduleFreeAdamW, ScheduleFreeSGD)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_classes_work_without_the_harness(kind):
    """A plain call over a network's parameters trains it; every parameter counts as a weight."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    inputs = torch.randn(64, 4)
    stepper, values = kind(network.parameters(), lr=2.0 if kind is LARS else 0.02), []

    def closure():
        stepper.zero_grad()
        value = (network(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        value.backward()
        values.append(value.item())
        return value

    for _ in range(60):
        stepper.step(closure)
    assert min(values) < 0.7 * values[0]
