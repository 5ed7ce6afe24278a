"""What holds for every built-in norm: layout, dtype, roles, invariances, gradients, state."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import normbench_plugins.norms as offered
from normbench import Norm, Role, Sites, UsageError
from normbench.parameters import checked, defaults
from normbench.plugins import load_catalogue
from normbench.roles import describe_network

CATALOGUE = load_catalogue()
NORMS = [offer.component for offer in CATALOGUE.offers(Norm) if offer.origin == "built-in"]
ACTIVE = [norm for norm in NORMS if norm.name != "none"]
PLACES = [(norm, kind) for norm in NORMS for kind in norm.site_kinds if kind != "sequence"]
DTYPES = (torch.float32, torch.float64, torch.bfloat16)

# What a norm's parameters are for at a site with an activation, where not one scale and one shift.
ROLES = {
    "none": set(),
    "evonorm_b0": {Role.NORM_SCALE, Role.NORM_SHIFT, Role.NORM_OTHER},
    "evonorm_s0": {Role.NORM_SCALE, Role.NORM_SHIFT, Role.NORM_OTHER},
    "filter_response_norm": {Role.NORM_SCALE, Role.NORM_SHIFT, Role.NORM_OTHER},
    "mean_centering": {Role.NORM_SHIFT},
    "rms_norm": {Role.NORM_SCALE},
    "scaled_weight_standardization": {Role.NORM_SCALE},
    "switchable_norm": {Role.NORM_SCALE, Role.NORM_SHIFT, Role.NORM_OTHER},
    "weight_centering": set(),
    "weight_norm": {Role.NORM_SCALE},
}

# Norms without meaning for a single value, and the fix that they name; for those over groups of
# channels in an example it is instance norm alone that has a single value in a set here.
REFUSES_ONE_VALUE = {
    "batch_norm": r"problem\.batch_size",
    "batch_renorm": r"problem\.batch_size",
    "evonorm_b0": r"problem\.batch_size",
    "ghost_batch_norm": r"norm\.virtual_batch_size",
    "instance_norm": "--sites",
    "mean_centering": r"problem\.batch_size",
    "switchable_norm": r"problem\.batch_size",
    "variance_norm": r"problem\.batch_size",
}


def network_with(norm, kind="conv", features=16, parameters=None, bias="unless_centred"):
    """Return a layer followed by *norm* and its activation, in float64, and its sites.

    The network's own activation is the identity, so that only a norm's counts.
    """
    torch.manual_seed(0)
    sites = Sites.for_norm(norm, {**defaults(norm.parameters), **(parameters or {})})
    layer = nn.Conv2d(3, features, 3) if kind == "conv" else nn.Linear(12, features)
    pair = sites.with_bias(bias).after(layer, nn.Identity())
    network = nn.Sequential(layer, *pair).double()
    return describe_network(network, sites, "a test network"), network


def inputs_for(kind, examples=6):
    """Return inputs of the layer that :func:`network_with` makes, large enough to dwarf eps."""
    shape = (examples, 3, 7, 7) if kind == "conv" else (examples, 12)
    return 1e3 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def tiny_eps(norm):
    """Return the smallest value of each number that *norm* adds to a deviation or a length."""
    names = ("eps", "weight_eps")
    return {each.name: each.low for each in norm.parameters if each.name in names}


def norm_of(norm, features=16, parameters=None):
    """Return the pair that *norm* puts at a convolutional site, with all its parameters drawn."""
    _, network = network_with(norm, features=features, parameters=parameters)
    with torch.no_grad():
        for parameter in network[1:].parameters():
            parameter.uniform_(0.5, 1.5)
    return network[1:].float()


def acts_on_activations(norm):
    """Whether *norm* computes something at its sites, and not only on weights."""
    return any(True for _ in norm_of(norm)[0].parameters())


ACTING = [norm for norm in NORMS if acts_on_activations(norm)]
over_norms = pytest.mark.parametrize("norm", NORMS, ids=lambda norm: norm.name)
over_acting = pytest.mark.parametrize("norm", ACTING, ids=lambda norm: norm.name)
over_places = pytest.mark.parametrize(
    ("norm", "kind"), PLACES, ids=[f"{norm.name}-{kind}" for norm, kind in PLACES]
)
over_biases = pytest.mark.parametrize("bias", ["always", "never"])


@over_places
@over_biases
@given(smallest=st.floats(0.1, 0.9), largest=st.floats(1.1, 10.0))
@settings(max_examples=2, deadline=None)
def test_weight_is_as_scale_invariant_as_claimed(norm, kind, bias, smallest, largest):
    """Rescaling each invariant slice of the feeding weight leaves the output as it was."""
    built, network = network_with(norm, kind, parameters=tiny_eps(norm), bias=bias)
    invariant = next((info for info in built.parameters if info.invariance), None)
    inputs = inputs_for(kind)
    expected = network(inputs)

    with torch.no_grad():
        slices = invariant.parameter.view(invariant.invariance.view) if invariant else inputs[:0]
        factors = torch.linspace(smallest, largest, len(slices), dtype=torch.float64)
        slices *= factors.view(-1, *(1,) * (slices.ndim - 1))

    torch.testing.assert_close(network(inputs), expected, rtol=1e-6, atol=1e-6)


@over_places
@over_biases
def test_weight_is_no_more_invariant_than_claimed(norm, kind, bias):
    """Rescaling a single output channel changes the output, unless each channel is a slice."""
    built, network = network_with(norm, kind, parameters=tiny_eps(norm), bias=bias)
    (weight,) = (info for info in built.parameters if info.role is Role.WEIGHT)
    inputs = inputs_for(kind)
    before = network(inputs)

    with torch.no_grad():
        weight.parameter[0] *= 2.0

    unchanged = torch.allclose(network(inputs), before, rtol=1e-6, atol=1e-6)
    assert (weight.invariance is not None and weight.invariance.view[0] == 16) == unchanged


@over_acting
@given(shift=st.floats(100.0, 1000.0))
@settings(max_examples=2, deadline=None)
def test_centring_norm_ignores_a_common_shift(norm, shift):
    """A norm that says it centres gives the same output when one number is added everywhere."""
    module = norm_of(norm).double()
    inputs = inputs_for("conv").repeat(1, 6, 1, 1)[:, :16]

    unchanged = torch.allclose(module(inputs + shift), module(inputs), rtol=1e-6, atol=1e-6)

    assert norm.centres == module[0].centres == unchanged


@over_norms
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_output_and_gradient_keep_dtype_and_layout(norm, dtype, layout, training):
    """Output and gradient have the dtype and memory format of the input."""
    module = norm_of(norm).to(torch.promote_types(dtype, torch.float32)).train(training)
    inputs = torch.randn(4, 16, 5, 5).to(dtype, memory_format=layout).requires_grad_()

    outputs = module(inputs)
    # Not inputs.grad: a leaf's gradient is brought to the leaf's layout whatever the norm does.
    (gradient,) = torch.autograd.grad(outputs, inputs, torch.randn_like(outputs))

    assert dtype == outputs.dtype == gradient.dtype
    assert outputs.is_contiguous(memory_format=layout)
    assert gradient.is_contiguous(memory_format=layout)


@over_acting
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


@over_acting
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
    module = norm_of(norm, features=8, parameters=few_groups(norm)).double()
    inputs = torch.randn(3, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    given_values = (inputs, *module.parameters())

    def function(values, *_):
        return module(values)

    assert torch.autograd.gradcheck(function, given_values)
    assert torch.autograd.gradgradcheck(function, given_values)


def few_groups(norm):
    """Return 4 groups for a norm that has groups, so that a group is more than a channel."""
    return {each.name: 4 for each in norm.parameters if each.name == "num_groups"}


@over_norms
def test_evaluation_changes_no_state(norm):
    """In evaluation mode a norm leaves its parameters and buffers alone."""
    module = norm_of(norm).eval()
    before = copy.deepcopy(module.state_dict())

    module(torch.randn(4, 16, 3, 3))

    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)


@over_norms
def test_evaluation_on_the_same_batch_gives_the_training_output(norm):
    """With running statistics that are the last batch's, evaluation computes what training does."""
    names = [each.name for each in norm.parameters]
    module = norm_of(norm, parameters={"momentum": 1.0} if "momentum" in names else {}).double()
    inputs = torch.randn(8, 16, 20, 20, dtype=torch.float64)

    expected, outputs = module.train()(inputs), module.eval()(inputs)

    close = 1e-3 if "momentum" in names else 0.0  # torch's running variance is the unbiased one
    torch.testing.assert_close(outputs, expected, rtol=close, atol=close)


@over_norms
def test_buffers_stay_out_of_the_graph(norm):
    """After a step that was differentiated no buffer needs a gradient or holds a history."""
    module = norm_of(norm)

    for _ in range(2):
        module(torch.randn(4, 16, 3, 3, requires_grad=True)).sum().backward()

    assert not any(buffer.requires_grad or buffer.grad_fn for buffer in module.buffers())


@over_norms
def test_state_moves_to_another_module(norm):
    """A fresh norm that loads a trained one's state gives its outputs, in both modes."""
    trained, fresh = norm_of(norm), norm_of(norm)
    trained(torch.randn(4, 16, 3, 3))
    inputs = torch.randn(4, 16, 3, 3)

    fresh.load_state_dict(trained.state_dict())

    torch.testing.assert_close(fresh.eval()(inputs), trained.eval()(inputs), rtol=0, atol=0)
    torch.testing.assert_close(fresh.train()(inputs), trained.train()(inputs), rtol=0, atol=0)
    torch.testing.assert_close(fresh.state_dict(), trained.state_dict(), rtol=0, atol=0)


@over_norms
@pytest.mark.parametrize("size", [1, 4])
def test_single_example_counts_or_is_refused(norm, size):
    """A batch of one gives finite outputs that depend on it, or an error that names the fix."""
    module = norm_of(norm)
    one, other = torch.randn(2, 1, 16, size, size)

    if size == 1 and norm.name in REFUSES_ONE_VALUE:
        with pytest.raises(UsageError, match=REFUSES_ONE_VALUE[norm.name]):
            module(one)
        return

    assert module(one).isfinite().all()
    assert not torch.allclose(module(one), module(other))


@over_norms
def test_parameters_carry_the_roles_of_a_norm(norm):
    """Scale, shift and what else a norm trains are told apart, and know their site."""
    built, _ = network_with(norm)
    outside = (Role.WEIGHT, Role.BIAS)

    found = {(info.role, info.site) for info in built.parameters if info.role not in outside}

    expected = ROLES.get(norm.name, {Role.NORM_SCALE, Role.NORM_SHIFT})
    assert {(role, 0) for role in expected} == found


@over_norms
def test_reset_restores_a_fresh_norm(norm):
    """``reset_parameters`` undoes training: parameters and buffers are as after construction."""
    _, fresh = network_with(norm)
    pair = copy.deepcopy(fresh[1:])
    pair(torch.randn(4, 16, 3, 3, dtype=torch.float64))
    with torch.no_grad():
        for parameter in pair.parameters():
            parameter.add_(1.0)

    for module in pair:
        getattr(module, "reset_parameters", lambda: None)()

    torch.testing.assert_close(pair.state_dict(), fresh[1:].state_dict(), rtol=0, atol=0)


@over_norms
def test_ends_of_parameter_ranges_work(norm):
    """Each end and each choice that a parameter allows builds a norm that computes."""
    for parameter in norm.parameters:
        ends = [parameter.low, parameter.high, *parameter.choices]
        if parameter.kind == "bool":
            ends = [False, True]
        for end in (end for end in ends if end is not None):
            values = checked(norm.parameters, {parameter.name: end}, norm.name)
            _, network = network_with(norm, parameters=values)

            assert network(inputs_for("conv")).isfinite().all()


@over_acting
def test_wrong_channels_are_explained(norm):
    """An input with other channels than the site's is refused with both numbers."""
    module = norm_of(norm)

    with pytest.raises(UsageError, match=r"\(2, 12, 3, 3\).*16"):
        module(torch.randn(2, 12, 3, 3))


@pytest.mark.parametrize("name", [name for name in offered.__all__ if name[0].isupper()])
def test_offered_classes_are_modules(name):
    """Each class that the package offers without the harness is a torch module of that name."""
    offer = getattr(offered, name)

    assert issubclass(offer, nn.Module)
    assert name == offer.__name__


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
