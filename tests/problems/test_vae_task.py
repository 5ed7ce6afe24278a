"""The autoencoder's loss, against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from normbench import Batch
from normbench_problems.tasks.vae import Autoencoding, gaussian_divergence


class _Fixed(nn.Module):
    """A network that decodes every image to grey *level* from one latent *mean* and *log_std*."""

    def __init__(self, level: float, mean: float, log_std: float) -> None:
        super().__init__()
        self.level, self.latent = level, (mean, log_std)

    def forward(self, images):
        latents = [torch.full((len(images), 2), value) for value in self.latent]
        return torch.full_like(images, self.level), *latents


@pytest.mark.parametrize(
    ("level", "mean", "log_std", "reconstruction", "kl"),
    [
        (0.0, 0.0, 0.0, 0.0, 0.0),
        (0.5, 0.0, 0.0, 1.0, 0.0),
        (0.0, 2.0, 0.0, 0.0, 4.0),
        (0.0, 0.0, math.log(2), 0.0, 3 - 2 * math.log(2)),
        (0.5, 1.0, 0.0, 1.0, 1.0),
    ],
)
def test_loss_by_hand(level, mean, log_std, reconstruction, kl):
    """Loss and metrics are sums over pixels and latents, averaged and summed over images."""
    images = torch.zeros(3, 1, 2, 2)

    scores = Autoencoding()(_Fixed(level, mean, log_std), Batch(images, torch.zeros(3)), {})

    assert pytest.approx(reconstruction + kl) == scores.loss.item()
    expected = [3 * (reconstruction + kl), 3 * reconstruction, 3 * kl]
    assert pytest.approx(expected) == scores.sums.tolist()
    assert ("loss", "reconstruction", "kl") == Autoencoding.metrics


def test_divergence_equals_torch():
    """The divergence is that of torch's normal distributions."""
    generator = torch.Generator().manual_seed(0)
    mean, log_std = torch.randn(2, 5, 8, generator=generator)

    expected = kl_divergence(Normal(mean, log_std.exp()), Normal(0.0, 1.0))

    assert torch.allclose(expected, gaussian_divergence(mean, log_std), atol=1e-6)


def test_sums_carry_no_graph(build):
    """What is summed over batches does not keep the network's graph alive."""
    network = build("vae").network
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    scores = Autoencoding()(network, Batch(images, torch.zeros(2)), {})

    assert scores.loss.requires_grad
    assert not scores.sums.requires_grad
