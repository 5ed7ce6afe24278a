"""What holds for every built-in norm: layout, dtype, roles, invariances, gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from normbench import Norm, Role, Sites, UsageError
from normbench.parameters import checked, defaults
from normbench.plugins import load_catalogue
from normbench.roles import describe_network

CATALOGUE = load_catalogue()
NORMS = [offer.component for offer in CATALOGUE.offers(Norm) if offer.origin == "built-in"]
ACTIVE = [norm for norm in NORMS if norm.name != "none"]
PLACES = [(norm, kind) for norm in NORMS for kind in norm.site_kinds if kind != "sequence"]
DTYPES = (torch.float32, torch.float64, torch.bfloat16)

over_norms = pytest.mark.parametrize("norm", NORMS, ids=lambda norm: norm.name)
over_active = pytest.mark.parametrize("norm", ACTIVE, ids=lambda norm: norm.name)
over_places = pytest.mark.parametrize(
    ("norm", "kind"), PLACES, ids=[f"{norm.name}-{kind}" for norm, kind in PLACES]
)


def network_with(norm, kind="conv", features=16, parameters=None):
    """Return a layer followed by *norm* and a ReLU, in float64, and its sites."""
    torch.manual_seed(0)
    sites = Sites.for_norm(norm, {**defaults(norm.parameters), **(parameters or {})})
    layer = nn.Conv2d(3, features, 3) if kind == "conv" else nn.Linear(12, features)
    network = nn.Sequential(layer, *sites.after(layer, nn.ReLU())).double()
    return describe_network(network, sites, "a test network"), network


def inputs_for(kind, examples=6):
    """Return inputs of the layer that :func:`network_with` makes, large enough to dwarf eps."""
    shape = (examples, 3, 7, 7) if kind == "conv" else (examples, 12)
    return 1e3 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def norm_of(norm, features=16):
    """Return the module that *norm* puts at a convolutional site, with γ and β drawn."""
    _, network = network_with(norm, features=features)
    with torch.no_grad():
        for parameter in network[1].parameters():
            parameter.uniform_(0.5, 1.5)
    return network[1].float()


@over_places
def test_weight_is_as_scale_invariant_as_claimed(norm, kind):
    """Rescaling each invariant slice of the feeding weight leaves the output as it was."""
    built, network = network_with(norm, kind)
    weight, invariance = built.parameters[0].parameter, built.parameters[0].invariance
    inputs = inputs_for(kind)
    expected = network(inputs)

    with torch.no_grad():
        slices = weight.view(invariance.view) if invariance else weight[:0]
        factors = torch.linspace(0.5, 2.0, len(slices), dtype=torch.float64)
        slices *= factors.view(-1, *(1,) * (slices.ndim - 1))

    torch.testing.assert_close(network(inputs), expected, rtol=1e-6, atol=1e-6)


@over_places
def test_weight_is_no_more_invariant_than_claimed(norm, kind):
    """Rescaling a single output channel changes the output, unless each channel is a slice."""
    built, network = network_with(norm, kind)
    weight, invariance = built.parameters[0].parameter, built.parameters[0].invariance
    inputs = inputs_for(kind)
    before = network(inputs)

    with torch.no_grad():
        weight[0] *= 2.0

    unchanged = torch.allclose(network(inputs), before, rtol=1e-6, atol=1e-6)
    assert (invariance is not None and invariance.view[0] == 16) == unchanged


@over_norms
def test_centring_norm_ignores_a_common_shift(norm):
    """A norm that says it centres gives the same output when one number is added everywhere."""
    module = norm_of(norm).double()
    inputs = inputs_for("conv").repeat(1, 6, 1, 1)[:, :16]

    unchanged = torch.allclose(module(inputs + 500.0), module(inputs), rtol=1e-6, atol=1e-6)

    assert norm.centres == unchanged


@over_norms
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
def test_output_and_gradient_keep_dtype_and_layout(norm, dtype, layout):
    """Output and gradient have the dtype and memory format of the input."""
    module = norm_of(norm).to(torch.promote_types(dtype, torch.float32))
    inputs = torch.randn(4, 16, 5, 5).to(dtype, memory_format=layout).requires_grad_()

    outputs = module(inputs)
    # Not inputs.grad: a leaf's gradient is brought to the leaf's layout whatever the norm does.
    (gradient,) = torch.autograd.grad(outputs, inputs, torch.randn_like(outputs))

    assert dtype == outputs.dtype == gradient.dtype
    assert outputs.is_contiguous(memory_format=layout)
    assert gradient.is_contiguous(memory_format=layout)


@over_active
def test_gradient_does_not_take_its_layout_from_above(norm):
    """A contiguous gradient from above comes out as channels_last as the input, with its values."""
    module = norm_of(norm)
    inputs = torch.randn(4, 16, 5, 5).to(memory_format=torch.channels_last).requires_grad_()
    above = torch.randn(4, 16, 5, 5)

    (gradient,) = torch.autograd.grad(module(inputs), inputs, above)
    (same,) = torch.autograd.grad(
        module(inputs), inputs, above.to(memory_format=torch.channels_last)
    )

    assert gradient.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(gradient, same)


@over_norms
def test_bfloat16_inputs_get_float32_statistics(norm):
    """Of bfloat16 inputs with a mean far from 0, only the output is rounded to bfloat16."""
    module = norm_of(norm)
    inputs = (torch.randn(8, 16, 4, 4) + 50.0).bfloat16()
    expected = copy.deepcopy(module).double()(inputs.double())

    outputs = module(inputs)

    torch.testing.assert_close(outputs.double(), expected, rtol=2**-8, atol=1e-3)


@over_norms
def test_gradients_are_right_to_second_order(norm):
    """First and second derivatives agree with finite differences in float64."""
    module = norm_of(norm, features=8).double()
    inputs = torch.randn(3, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    given = (inputs, *module.parameters())

    def function(values, *_):
        return module(values)

    assert torch.autograd.gradcheck(function, given)
    assert torch.autograd.gradgradcheck(function, given)


@over_norms
def test_evaluation_changes_no_state(norm):
    """In evaluation mode a norm leaves its parameters and buffers alone."""
    module = norm_of(norm).eval()
    before = copy.deepcopy(module.state_dict())

    module(torch.randn(4, 16, 3, 3))

    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)


@over_active
def test_parameters_carry_the_roles_of_a_norm(norm):
    """A norm has a scale and a shift, and both know their site."""
    built, _ = network_with(norm)

    found = {(info.role, info.site) for info in built.parameters if info.name.startswith("1.")}

    assert {(Role.NORM_SCALE, 0), (Role.NORM_SHIFT, 0)} <= found


@over_norms
def test_reset_restores_a_fresh_norm(norm):
    """``reset_parameters`` undoes training: parameters and buffers are as after construction."""
    _, fresh = network_with(norm)
    module = copy.deepcopy(fresh[1])
    module(torch.randn(4, 16, 3, 3, dtype=torch.float64))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)

    getattr(module, "reset_parameters", lambda: None)()

    torch.testing.assert_close(module.state_dict(), fresh[1].state_dict(), rtol=0, atol=0)


@over_norms
def test_ends_of_parameter_ranges_work(norm):
    """The smallest and largest value that a parameter allows build a norm that computes."""
    for parameter in norm.parameters:
        for end in (parameter.low, parameter.high):
            if end is None:
                continue
            values = checked(norm.parameters, {parameter.name: end}, norm.name)
            _, network = network_with(norm, parameters=values)

            assert network(inputs_for("conv")).isfinite().all()


@over_active
def test_wrong_channels_are_explained(norm):
    """An input with other channels than the site's is refused with both numbers."""
    module = norm_of(norm)

    with pytest.raises(UsageError, match=r"\(2, 12, 3, 3\).*16"):
        module(torch.randn(2, 12, 3, 3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@over_norms
def test_cuda_graph_gives_the_numbers_of_the_cpu(norm):
    """Captured in a CUDA graph a norm gives the CPU's output, and keeps channels_last."""
    module = norm_of(norm)
    inputs = torch.randn(8, 16, 6, 6).to(memory_format=torch.channels_last)
    expected = copy.deepcopy(module)(inputs)
    module, static = module.cuda(), inputs.cuda()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        copy.deepcopy(module)(static)
    torch.cuda.current_stream().wait_stream(stream)

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = module(static)
    graph.replay()

    torch.testing.assert_close(outputs.cpu(), expected, rtol=1e-4, atol=1e-5)
    assert outputs.is_contiguous(memory_format=torch.channels_last)
