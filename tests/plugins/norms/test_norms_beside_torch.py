"""Norms that torch has too: equal in float64, and as exact as torch's in float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench_plugins.norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm

TWINS = [
    (BatchNorm(48), nn.BatchNorm2d(48), (8, 48, 6, 6)),
    (BatchNorm(48, momentum=0.3), nn.BatchNorm1d(48, momentum=0.3), (8, 48, 6)),
    (BatchNorm(48), nn.BatchNorm1d(48), (8, 48)),
    (GroupNorm(48, 4), nn.GroupNorm(4, 48), (8, 48, 6, 6)),
    (GroupNorm(48, 4), nn.GroupNorm(4, 48), (8, 48)),
    (LayerNorm(48), nn.GroupNorm(1, 48), (8, 48, 6, 6)),
    (LayerNorm(48), nn.LayerNorm(48), (8, 48)),
    (LayerNorm(48, sequence=True), nn.LayerNorm(48), (8, 4, 48)),
    (InstanceNorm(48), nn.InstanceNorm2d(48, affine=True), (8, 48, 6, 6)),
    (RMSNorm(48), nn.RMSNorm(48, eps=1e-5), (8, 48)),
    (RMSNorm(48, sequence=True), nn.RMSNorm(48, eps=1e-5), (8, 4, 48)),
]
over_twins = pytest.mark.parametrize(("ours", "theirs", "shape"), TWINS, ids=str)


def drawn(shape, mean=3.0, deviation=2.0):
    """Return inputs with a mean far from 0, a gradient from above, and values of γ and β."""
    generator = torch.Generator().manual_seed(0)
    inputs = deviation * torch.randn(shape, generator=generator) + mean
    scale, shift = torch.randn(2, 48, generator=generator)
    return inputs, torch.randn(shape, generator=generator), {"weight": scale, "bias": shift}


def results(norm, shape, dtype, layout=torch.contiguous_format, about=(3.0, 2.0)):
    """Return all that a training step of *norm* gives: output, gradients and statistics."""
    inputs, above, values = drawn(shape, *about)
    with torch.no_grad():
        for name, parameter in norm.to(dtype).named_parameters():
            parameter.copy_(values[name])
    for name, buffer in norm.named_buffers():
        buffer.fill_(1 if "var" in name else 0)
    inputs = inputs.to(dtype)
    inputs = (inputs.to(memory_format=layout) if inputs.ndim == 4 else inputs).requires_grad_()
    outputs = norm.train()(inputs)
    gradients = torch.autograd.grad(outputs, (inputs, *norm.parameters()), above.to(dtype))
    buffers = [buffer for name, buffer in norm.named_buffers() if "running" in name]
    return [outputs.detach(), *gradients, *(buffer.clone() for buffer in buffers)]


@over_twins
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_equals_torch_in_float64(ours, theirs, shape, layout):
    """Output, all gradients and the running statistics are those of torch's own module."""
    expected = results(theirs, shape, torch.float64)
    actual = results(ours, shape, torch.float64, layout)

    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@over_twins
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("about", [(3.0, 2.0), (3.0, 0.1), (30.0, 1.0), (-30.0, 1.0)], ids=str)
def test_as_exact_as_torch_in_float32(ours, theirs, shape, layout, about):
    """Float32 errs by at most twice what torch's does, means of 30 deviations included."""
    exact = results(theirs, shape, torch.float64, about=about)
    expected = errors(results(theirs, shape, torch.float32, layout, about), exact)
    actual = errors(results(ours, shape, torch.float32, layout, about), exact)

    for allowed, error in zip(expected, actual, strict=True):
        assert error <= 2 * allowed + 1e-8


def errors(values, exact):
    """Return the root mean square of each value's error, over the size of what is exact."""
    return [
        ((value.double() - true).norm() / true.norm()).item()
        for value, true in zip(values, exact, strict=True)
    ]


def test_images_are_rescaled_as_torch_rescales_them():
    """On (N, C, H, W) RMS norm is torch's over (C, H, W) with one γ for each channel."""
    inputs = torch.randn(4, 48, 5, 5, dtype=torch.float64)
    norm = RMSNorm(48).double()
    with torch.no_grad():
        norm.weight.copy_(torch.randn(48))
    weight = norm.weight.view(48, 1, 1).expand(48, 5, 5)

    expected = nn.functional.rms_norm(inputs, (48, 5, 5), weight, eps=1e-5)

    torch.testing.assert_close(norm(inputs), expected, rtol=1e-12, atol=1e-12)
