"""TensorFlow's SAME padding, against cases computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench import SamePad2d
from normbench_problems.networks.vae import SameTranspose


def test_strided_convolution_pads_right_and_below(build):
    """A 3x3 window at stride 2 on an even side starts at the first pixel and ends in one zero."""
    pad = build("allcnnc").network.pad3
    image = torch.arange(16.0).view(1, 1, 4, 4)

    sums = F.conv2d(pad(image), torch.ones(1, 1, 3, 3), stride=2)

    # Rows 0-2 and columns 0-2; columns 2-3; rows 2-3 and columns 0-2; rows 2-3 and columns 2-3.
    assert [[45.0, 39.0], [66.0, 50.0]] == sums[0, 0].tolist()


def test_maximum_ignores_padding(build):
    """A padded maximum of negative numbers is one of them, not the padding's zero."""
    pool = build("net_3c3d").network.pool1
    image = -torch.arange(1.0, 17.0).view(1, 1, 4, 4)

    assert [[-1.0, -3.0], [-9.0, -11.0]] == pool(image)[0, 0].tolist()


@pytest.mark.parametrize("side", [6, 12, 28])
def test_maximum_equals_explicit_padding(side, build):
    """The maxima of 3c3d equal those of a map padded with -inf by the SAME rule."""
    maps = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    padded = SamePad2d(3, 2, float("-inf"))(maps)

    assert torch.equal(F.max_pool2d(padded, 3, 2), build("net_3c3d").network.pool1(maps))


def test_transposed_convolution_is_the_transpose():
    """⟨conv(x), y⟩ = ⟨x, transposed(y)⟩ for the 4x4 convolution with SAME padding."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 14, 14, generator=generator, dtype=torch.float64)
    y = torch.randn(2, 5, 14, 14, generator=generator, dtype=torch.float64)
    transposed = SameTranspose(5, 3).double()
    torch.nn.init.zeros_(transposed.bias)

    forward = F.conv2d(SamePad2d(4)(x), transposed.weight)

    assert forward.shape == y.shape
    assert torch.allclose((forward * y).sum(), (x * transposed(y)).sum())


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_even_stride_is_symmetric(layer, build):
    """At stride 2 the encoder's 4x4 windows need one pixel on each side."""
    convolution = build("vae").network.encoder.get_submodule(layer)
    x = torch.randn(1, convolution.in_channels, 28, 28)

    explicit = F.conv2d(SamePad2d(4, 2)(x), convolution.weight, convolution.bias, stride=2)

    assert torch.allclose(explicit, convolution(x), atol=1e-5)
