"""The optimizers on spheres: published numbers, the geometry, and how they fail."""

from __future__ import annotations

import copy
import io
import pickle
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from normbench import UsageError
from normbench_plugins.optimizers import SGDMRT, AdamG, AdamS, AdamSRT

CLASSES = (AdamS, AdamSRT, SGDMRT, AdamG)
over_classes = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
over_counting = pytest.mark.parametrize(
    "kind", [AdamS, AdamSRT, AdamG], ids=lambda kind: kind.__name__
)
both_forms = pytest.mark.parametrize("foreach", [True, False], ids=["lists", "loop"])
few_examples = settings(max_examples=25, deadline=None)

# First values of w after steps 1 to 3 and of the state after step 3, as the paper's code gives
# them (AdamG with its two branches put right), for p_k = cos k and gradients sin(k/2 + t).
ADAM = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8}
MRT = {"lr": 0.1, "momentum": 0.9}
GOLDEN = {
    "AdamS, output channels": (
        partial(AdamS, **ADAM, channel_dims=[0]),
        {
            1: (0.8819872763, 0.40040788, -0.54367193, -1.0739256673),
            2: (0.7569348015, 0.2881413944, -0.6156656754, -1.0880200927),
            3: (0.6711799049, 0.2361050206, -0.6212432072, -1.0457732081),
        },
        {"exp_avg": (0.164107919, 0.0995812641, 0.0106736428), "exp_avg_sq": (0.1777276316,)},
    ),
    "AdamS, one sphere": (
        partial(AdamS, **ADAM, channel_dims=[]),
        {
            1: (0.8826152034, 0.4011522363, -0.5429933891, -1.0734790721),
            2: (0.7579947458, 0.2892735962),
            3: (0.672243103, 0.2372391969, -0.6203157387, -1.0452795241),
        },
        {"exp_avg_sq": (0.3554822404,)},
    ),
    "AdamSRT": (
        partial(AdamSRT, **ADAM),
        {
            1: (0.8819872763, 0.40040788, -0.54367193, -1.0739256673),
            2: (0.7454463621, 0.2824964506, -0.6097374694, -1.075318719),
            3: (0.6402936262, 0.2222900622, -0.6020290706, -1.0079199733),
        },
        {"exp_avg": (0.2070992391, 0.1165231011, -0.0230817689), "exp_avg_sq": (0.1709184163,)},
    ),
    "AdamSRT, weight decay": (
        partial(AdamSRT, **ADAM, weight_decay=0.01),
        {
            1: (0.8805460308, 0.3996044428, -0.5431295346, -1.0725640569),
            2: (0.7432084212, 0.2812643543, -0.6088630302, -1.0731672599),
            3: (0.6375477726, 0.2208072251, -0.6008738916, -1.0051890209),
        },
        {"exp_avg": (0.2075179174,), "exp_avg_sq": (0.1712364707,)},
    ),
    "SGD-MRT": (
        partial(SGDMRT, **MRT),
        {
            1: (0.9158529015, 0.4405528072, -0.5070765792, -1.049839711),
            2: (0.7378746141, 0.2854876324, -0.596759978, -1.055652202),
            3: (0.5396144459, 0.1717340632, -0.5824107767, -0.9288406436),
        },
        {"momentum_buffer": (2.141594607, 1.1881357107, -0.3150945217)},
    ),
    "SGD-MRT, weight decay": (
        partial(SGDMRT, **MRT, weight_decay=0.01),
        {
            1: (0.9148529015, 0.4400125049),
            2: (0.7358657262, 0.2844094199),
            3: (0.5365714465, 0.1701327921, -0.581037938, -0.9257081121),
        },
        {"momentum_buffer": (2.1469297368,)},
    ),
    "AdamG": (
        partial(AdamG, **ADAM),
        {
            1: (0.3934542523, 0.2036321729, -0.1845046847, -0.4131239595),
            2: (0.3528252919, 0.168969509, -0.202904977, -0.4121505024),
            3: (0.3231724588, 0.1514784227, -0.2020099631, -0.3945842115),
        },
        {"exp_avg": (0.2020900592, 0.1186119198, -0.0090136942), "exp_avg_sq": (0.1777276316,)},
    ),
}


def golden_weight():
    """Return the parameter of the published numbers."""
    return nn.Parameter(torch.arange(24.0, dtype=torch.float64).cos().view(2, 3, 2, 2))


def golden_step(weight, optimizer, step):
    """Take one of the published steps, numbered from 1."""
    ramp = torch.arange(float(weight.numel()), dtype=weight.dtype)
    weight.grad = (0.5 * ramp + step).sin().view_as(weight)
    optimizer.step()


def assert_starts(values, expected):
    """Compare the first values of a tensor with printed digits."""
    start = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(values.detach().flatten()[: len(start)], start, rtol=0, atol=1e-10)


@both_forms
@pytest.mark.parametrize("case", GOLDEN, ids=str)
def test_published_numbers(case, foreach):
    """Three steps give the numbers of the paper's code, to the printed digits."""
    make, weights, states = GOLDEN[case]
    weight = golden_weight()
    optimizer = make([weight], foreach=foreach)

    for step, expected in weights.items():
        golden_step(weight, optimizer, step)
        assert_starts(weight, expected)

    for key, expected in states.items():
        assert_starts(optimizer.state[weight][key], expected)


def parameters(dtype=torch.float64):
    """Return parameters of several ranks and layouts, always the same."""
    torch.manual_seed(0)
    return [
        nn.Parameter(torch.randn(4, 3, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)),
        nn.Parameter(torch.randn(6, 2, 1, 1, dtype=dtype)),
        nn.Parameter(torch.randn(4, 5, dtype=dtype)),
        nn.Parameter(torch.randn(4, dtype=dtype)),
        nn.Parameter(torch.randn((), dtype=dtype)),
    ]


def walk(weights, optimizer, steps, first=0):
    """Take steps with gradients that depend on the step alone."""
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        for weight in weights:
            values = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.grad = torch.empty_like(weight).copy_(values)
        optimizer.step()


GROUPED = (((2, 2, 3, 3, 3), (0,)), ((6, 1, 2, 1, 1), (0,)), ((1, 4, 5), (0,)), None, None)
OPTIONS = {
    "output channels": {},
    "one sphere": {"channel_dims": ()},
    "coupled": {"weight_decay": 0.1},
    "decoupled": {"weight_decay": 0.1, "decoupled": True},
    "element-wise": {"channel_wise": False},
    "invariances": {"invariances": GROUPED},
    "invariances, replaced": {"invariances": GROUPED, "channel_dims": (1,)},
}
over_options = pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))


def close(first, second, **tolerances):
    """Compare two lists of parameters."""
    torch.testing.assert_close(
        [one.detach() for one in first], [one.detach() for one in second], **tolerances
    )


@over_classes
@over_options
def test_lists_equal_the_loop(kind, options):
    """Twenty steps over lists of tensors agree with the formulas parameter by parameter."""
    lists, loop = parameters(), parameters()

    walk(lists, kind([{"params": lists, **options}], lr=0.05), 20)
    walk(loop, kind([{"params": loop, **options}], lr=0.05, foreach=False), 20)

    close(lists, loop, rtol=1e-11, atol=1e-12)


@over_counting
@both_forms
def test_counts_on_the_device_change_nothing(kind, foreach):
    """Steps counted in tensors, as a CUDA graph needs them, give the same weights."""
    plain, captured = parameters(), parameters()

    walk(plain, kind(plain, foreach=foreach), 5)
    optimizer = kind(captured, foreach=foreach, capturable=True)
    walk(captured, optimizer, 5)

    close(plain, captured, rtol=1e-12, atol=1e-12)
    assert 5.0 == optimizer.state[captured[0]]["step"].item()


MOMENTUM = partial(torch.optim.SGD, momentum=0.9)
TORCH = [
    *[(kind, False, torch.optim.Adam) for kind in (AdamS, AdamSRT, AdamG)],
    *[(kind, True, torch.optim.AdamW) for kind in (AdamS, AdamSRT, AdamG)],
    (SGDMRT, False, MOMENTUM),
]


@both_forms
@pytest.mark.parametrize(("kind", "decoupled", "reference"), TORCH)
def test_element_wise_equals_torch(kind, decoupled, reference, foreach):
    """Without spheres it is torch's Adam, AdamW or SGD with momentum."""
    ours, theirs = parameters(), parameters()
    shared = {"lr": 0.05, "weight_decay": 0.1}

    optimizer = kind(ours, **shared, decoupled=decoupled, channel_wise=False, foreach=foreach)
    walk(ours, optimizer, 20)
    walk(theirs, reference(theirs, **shared), 20)

    close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_moments_are_one_number_for_each_sphere():
    """AdamS keeps 1 for each dimension within a sphere, and as many numbers as spheres."""
    weights = parameters()[:1]
    for dims, shape in (((0,), (4, 1, 1, 1)), ((1, 3), (1, 3, 1, 3)), ((), (1, 1, 1, 1))):
        optimizer = AdamS(weights, channel_dims=dims)
        walk(weights, optimizer, 1)

        assert shape == tuple(optimizer.state[weights[0]]["exp_avg_sq"].shape)


@few_examples
@given(size=st.integers(2, 50), seed=st.integers(0, 1000), eps=st.sampled_from([0.0, 1e-3, 1.0]))
def test_sum_and_mean_of_squares_are_one_optimizer(size, seed, eps):
    """AdamS equals the form with the mean of squares, step η and ε/√d."""
    generator = torch.Generator().manual_seed(seed)
    weight = nn.Parameter(torch.randn(3, size, generator=generator, dtype=torch.float64))
    expected, mean, square = weight.detach().clone(), 0.0, 0.0
    optimizer = AdamS([weight], lr=0.1, eps=eps)

    for step in range(1, 5):
        weight.grad = torch.randn(3, size, generator=generator, dtype=torch.float64)
        mean = 0.9 * mean + 0.1 * weight.grad
        square = 0.999 * square + 0.001 * weight.grad.square().mean(1, keepdim=True)
        root = (square / (1 - 0.999**step)).sqrt() + eps / size**0.5
        expected = expected - 0.1 * mean / (1 - 0.9**step) / root
        optimizer.step()

    torch.testing.assert_close(weight.detach(), expected, rtol=1e-11, atol=1e-12)


@both_forms
def test_moments_of_a_sphere_follow_its_radius(foreach):
    """On a scale-invariant loss AdamSRT turns alike, whatever the radius, if steps scale with it.

    Gradients shrink as 1/‖x‖, so with x ten times as long and a learning rate ten times as large
    both walks visit the same directions.
    """
    torch.manual_seed(0)
    start, target = torch.randn(2, 3, 8, dtype=torch.float64)
    weights = [nn.Parameter(start.clone()), nn.Parameter(10 * start)]
    optimizers = [
        AdamSRT([weight], lr=lr, eps=0.0, foreach=foreach)
        for weight, lr in zip(weights, (0.02, 0.2), strict=True)
    ]

    for _ in range(20):
        for weight, optimizer in zip(weights, optimizers, strict=True):
            optimizer.zero_grad()
            (-(weight / weight.norm(dim=1, keepdim=True) * target).sum()).backward()
            optimizer.step()

    torch.testing.assert_close(10 * weights[0], weights[1], rtol=1e-9, atol=1e-9)


@both_forms
def test_adam_g_stays_on_unit_spheres(foreach):
    """After each step every sphere has radius 1 up to ε; other parameters are left free."""
    weights = parameters()
    optimizer = AdamG(weights, foreach=foreach)

    walk(weights, optimizer, 3)

    torch.testing.assert_close(
        weights[0].detach().flatten(1).norm(dim=1), torch.ones(4).double(), rtol=0, atol=2e-8
    )
    assert (weights[3].abs() != 1).all()


@both_forms
def test_adam_g_decays_element_wise_parameters_alone(foreach):
    """Weight decay moves what is not on a sphere and leaves the spheres as they were."""
    plain, decayed = parameters(), parameters()

    walk(plain, AdamG(plain, foreach=foreach), 3)
    walk(decayed, AdamG(decayed, foreach=foreach, weight_decay=0.5), 3)

    close(plain[:3], decayed[:3], rtol=0, atol=0)
    assert all((one != other).all() for one, other in zip(plain[3:], decayed[3:], strict=True))


@both_forms
def test_dampening_acts_on_the_first_step_too(foreach):
    """The first step is η(1 - τ) times the gradient."""
    weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    weight.grad = torch.arange(3, dtype=torch.float64)

    SGDMRT([weight], lr=0.1, dampening=0.25, foreach=foreach).step()

    torch.testing.assert_close(weight.detach(), -0.075 * weight.grad)


@over_classes
@both_forms
def test_spheres_at_zero_stay_finite(kind, foreach):
    """A weight that starts at 0, and one without any gradient, never become NaN or infinite."""
    at_zero, unmoved = nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(2, 3))
    optimizer = kind([at_zero, unmoved], foreach=foreach, lr=0.1)

    for _ in range(5):
        at_zero.grad, unmoved.grad = torch.randn(2, 3), torch.zeros(2, 3)
        optimizer.step()

    assert at_zero.isfinite().all()
    assert (at_zero != 0).all()
    torch.testing.assert_close(unmoved.detach(), torch.zeros(2, 3), rtol=0, atol=0)


@over_classes
@both_forms
@pytest.mark.parametrize("decoupled", [False, True], ids=["coupled", "decoupled"])
def test_gradients_are_left_as_they_were(kind, foreach, decoupled):
    """Weight decay does not write into the gradients."""
    weights = parameters()
    optimizer = kind(weights, foreach=foreach, weight_decay=0.1, decoupled=decoupled)
    walk(weights, optimizer, 1)
    before = [weight.grad.clone() for weight in weights]

    optimizer.step()

    torch.testing.assert_close([weight.grad for weight in weights], before, rtol=0, atol=0)


@over_classes
def test_state_survives_a_file_and_a_copy(kind):
    """Training resumed from saved plain data, a deep copy or a pickle gives the same bits."""
    whole, stopped = parameters(), parameters()
    walk(whole, kind([{"params": whole, "invariances": GROUPED}]), 8)
    optimizer = kind([{"params": stopped, "invariances": GROUPED}])
    walk(stopped, optimizer, 4)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    copied = copy.deepcopy((stopped, optimizer))
    pickled = pickle.loads(pickle.dumps((stopped, optimizer)))  # noqa: S301

    loaded = kind([{"params": stopped, "invariances": GROUPED}])
    loaded.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    for weights, resumed in ((stopped, loaded), copied, pickled):
        walk(weights, resumed, 4, first=4)
        close(weights, whole, rtol=0, atol=0)


@over_counting
def test_state_moves_between_kinds_of_count(kind):
    """A state with plain counts goes on in an optimizer that counts on the device."""
    whole, stopped = parameters(), parameters()
    walk(whole, kind(whole), 6)
    optimizer = kind(stopped)
    walk(stopped, optimizer, 3)

    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["capturable"] = True
    optimizer.load_state_dict(state)
    walk(stopped, optimizer, 3, first=3)

    close(stopped, whole, rtol=1e-12, atol=1e-12)


@over_classes
def test_closure_gives_loss_and_gradient(kind):
    """``step(closure)`` computes the gradient with the closure and returns its loss."""
    weight, reference = parameters()[2], parameters()[2]
    optimizer, other = kind([weight]), kind([reference])

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    expected = weight.detach().square().sum()
    loss = optimizer.step(closure)
    reference.square().sum().backward()
    other.step()

    assert expected == loss
    close([weight], [reference], rtol=0, atol=0)


@over_classes
def test_parameters_without_a_gradient_stay(kind):
    """A parameter that has no gradient is neither moved nor given a state."""
    weights = parameters()[:2]
    optimizer = kind(weights, weight_decay=0.1)
    before = weights[1].detach().clone()
    weights[0].grad = torch.ones_like(weights[0])

    optimizer.step()

    assert torch.equal(before, weights[1])
    assert [weights[0]] == list(optimizer.state)


@over_classes
@pytest.mark.parametrize("dims", [(4,), (-1,), (0, 0), (1, 7)], ids=str)
def test_dimensions_out_of_range_are_refused(kind, dims):
    """The error names the dimensions given, the parameter's shape and those allowed."""
    weight = nn.Parameter(torch.ones(4, 3, 2, 2))

    with pytest.raises(UsageError) as raised:
        kind([weight], channel_dims=dims)

    listed = ",".join(map(str, dims))
    assert f"channel_dims={listed} does not fit a parameter of shape (4, 3, 2, 2)" in str(
        raised.value
    )
    assert "different dimensions from 0 to 3" in str(raised.value)


@over_classes
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": -1.0}, "lr=-1.0: expected at least 0"),
        ({"lr": float("nan")}, "lr=nan: expected at least 0"),
        ({"weight_decay": float("inf")}, "weight_decay=inf: expected at least 0, and finite"),
    ],
)
def test_options_out_of_range_are_refused(kind, values, message):
    """A learning rate or weight decay that is negative or not finite is named."""
    with pytest.raises(UsageError, match=message):
        kind([nn.Parameter(torch.ones(2))], **values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(AdamS, betas=(0.9, 1.0)), r"betas=\(0.9, 1.0\): expected at least 0 and at most"),
        (partial(AdamSRT, eps=-1e-8), "eps=-1e-08: expected at least 0"),
        (partial(SGDMRT, momentum=1.1), "momentum=1.1: expected at least 0 and at most 1"),
        (partial(SGDMRT, dampening=-0.1), "dampening=-0.1: expected at least 0 and at most 1"),
    ],
)
def test_options_of_one_class_are_checked(make, message):
    """Decay rates, ε, momentum and dampening have ranges of their own."""
    with pytest.raises(UsageError, match=message):
        make([nn.Parameter(torch.ones(2))])


@over_classes
def test_complex_parameters_are_refused(kind):
    """A complex parameter is refused when the optimizer is made."""
    with pytest.raises(UsageError, match="view_as_real"):
        kind([nn.Parameter(torch.ones(2, dtype=torch.complex64))])


@over_classes
def test_sparse_gradients_are_refused(kind):
    """A sparse gradient is refused in the step, with the shape of its parameter."""
    layer = nn.Embedding(5, 3, sparse=True)
    layer(torch.tensor([1])).sum().backward()

    with pytest.raises(UsageError, match=r"sparse gradient for a parameter of shape \(5, 3\)"):
        kind(layer.parameters()).step()


@pytest.mark.parametrize(
    ("invariances", "message"),
    [
        ([None, None], "2 invariances for 1 parameters"),
        ([((5, 3), (0,))], r"view \(5, 3\) for a parameter of shape \(4, 3\)"),
    ],
)
def test_invariances_that_do_not_fit_are_refused(invariances, message):
    """There must be one for each parameter, and its view must hold as many numbers."""
    group = {"params": [nn.Parameter(torch.ones(4, 3))], "invariances": invariances}

    with pytest.raises(UsageError, match=message):
        AdamSRT([group])


def test_refused_group_is_not_kept():
    """An optimizer that refused a group goes on with those it had."""
    optimizer = AdamS([nn.Parameter(torch.ones(2))])

    with pytest.raises(UsageError):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(3))], "lr": -1.0})

    assert 1 == len(optimizer.param_groups)
