"""All-CNN-C and the autoencoder against forward passes written down a second time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench import Dropout
from normbench.initial_values import initialise


def drawn(build, name, *shape):
    """Return a network in evaluation, its parameters by name, and inputs in [0, 1]."""
    built = build(name)
    initialise(built.network, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in built.network.parameters():
            if parameter.ndim == 1:  # biases that differ, so that none can be left out
                parameter.normal_(0.0, 0.1, generator=generator)
    values = {key: value.detach().clone() for key, value in built.network.named_parameters()}
    return built.network.eval(), values, torch.rand(*shape, generator=generator)


def layer(values: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Return weight and bias of one layer."""
    return values[f"{name}.weight"], values[f"{name}.bias"]


def all_cnn_c(images: Tensor, values: dict[str, Tensor]) -> Tensor:
    """Return the logits, ReLU included, with TensorFlow's padding spelled out."""
    maps = images
    for number in range(1, 10):
        stride, padding = 1, int(number in (1, 2, 4, 5))
        if number in (3, 6):  # SAME at stride 2 on even sides: one zero behind
            maps, stride = F.pad(maps, (0, 1, 0, 1)), 2
        maps = F.conv2d(maps, *layer(values, f"conv{number}"), stride=stride, padding=padding)
        maps = maps.clamp(min=0)
    return maps.flatten(2).mean(2)


def encoded(images: Tensor, values: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and log standard deviation of the latent numbers."""
    maps = images
    for number, (stride, (before, after)) in enumerate([(2, (1, 1)), (2, (1, 1)), (1, (1, 2))], 1):
        maps = F.pad(maps, (before, after, before, after))
        maps = F.conv2d(maps, *layer(values, f"encoder.conv{number}"), stride=stride)
        maps = torch.where(maps > 0, maps, 0.3 * maps)
    features = maps.movedim(1, 3).reshape(len(maps), -1)
    mean, log_variance = (F.linear(features, *layer(values, n)) for n in ("mean", "log_variance"))
    return mean, log_variance / 2


def decoded(latents: Tensor, values: dict[str, Tensor]) -> Tensor:
    """Return the images decoded from *latents*."""
    hidden = latents
    for name in ("decoder.dense1", "decoder.dense2"):
        hidden = F.linear(hidden, *layer(values, name))
        hidden = torch.where(hidden > 0, hidden, 0.3 * hidden)
    maps = hidden.reshape(-1, 1, 7, 7)
    for number, stride in enumerate((2, 1, 1), 1):
        weight = layer(values, f"decoder.deconv{number}")
        side = maps.shape[-1] * stride
        maps = F.conv_transpose2d(maps, *weight, stride=stride)
        maps = maps[:, :, 1 : side + 1, 1 : side + 1].clamp(min=0)
    pixels = F.linear(maps.movedim(1, 3).flatten(1), *layer(values, "decoder.dense3"))
    return (1 / (1 + torch.exp(-pixels))).reshape(-1, 1, 28, 28)


def test_all_cnn_c_equals_an_independent_forward(build):
    """Logits agree, and none is negative: ReLU follows the last convolution too."""
    network, values, images = drawn(build, "allcnnc", 4, 3, 32, 32)

    expected = all_cnn_c(images, values)

    with torch.no_grad():
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-6)
    assert (expected == 0).any()
    assert (expected > 0).any()


def test_autoencoder_equals_an_independent_forward(build):
    """Mean, log deviation and the images decoded from a sample of theirs agree."""
    network, values, images = drawn(build, "vae", 4, 1, 28, 28)
    mean, log_std = encoded(images, values)
    noise = torch.empty_like(mean).normal_(generator=torch.Generator().manual_seed(2))

    network.noise.generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        actual = network(images)

    expected = (decoded(mean + noise * log_std.exp(), values), mean, log_std)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
    assert log_std.abs().max() > 0.1


@pytest.mark.parametrize(
    ("name", "shape", "rates"),
    [
        ("allcnnc", (3, 32, 32), [0.2, 0.5, 0.5]),
        ("vae", (1, 28, 28), [0.2, 0.2, 0.2, 0.2, 0.2]),
    ],
)
def test_dropout_zeroes_the_published_share(build, name, shape, rates):
    """In training each dropout zeroes its share of the numbers that reach it, in this order."""
    network, _, images = drawn(build, name, 8, *shape)
    shares = []

    def note(_, inputs, output):
        alive = inputs[0] != 0
        shares.append((output[alive] == 0).float().mean().item())

    for module in network.modules():
        if isinstance(module, Dropout):
            module.generator = torch.Generator().manual_seed(3)
            module.register_forward_hook(note)
    with torch.no_grad():
        network.train()(images)

    assert rates == pytest.approx(shares, abs=0.03)
