"""Training of a variational autoencoder.

Auto-Encoding Variational Bayes. Kingma, Welling. ICLR 2014, arXiv:1312.6114. Squared pixel errors
in place of a likelihood, as in DeepOBS (Schneider, Balles, Hennig, arXiv:1903.05499).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normbench import Batch, Scores, State


class Autoencoding:
    """Sum of squared pixel errors plus Kullback-Leibler divergence, per image.

    With image x, decoded image y, latent mean m and log standard deviation s:
    Σ (y - x)² - ½·Σ (1 + 2s - m² - exp 2s), computed in float32. The metrics are that ``loss`` and
    its two parts, ``reconstruction`` and ``kl``.
    """

    metrics = ("loss", "reconstruction", "kl")

    def initial_state(self, batch_size: int, device: torch.device) -> State:  # noqa: ARG002
        """Return nothing: batches are independent."""
        return {}

    def __call__(self, network: nn.Module, batch: Batch, state: State) -> Scores:
        """Return the mean loss and the sums of loss, reconstruction and kl."""
        decoded, mean, log_std = (output.float() for output in network(batch.inputs))
        reconstruction = (decoded - batch.inputs.float()).square().sum()
        kl = gaussian_divergence(mean, log_std).sum()
        total = reconstruction + kl
        sums = torch.stack((total, reconstruction, kl)).detach()
        return Scores(total / len(batch.inputs), sums, state)


def gaussian_divergence(mean: Tensor, log_std: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of N(mean, exp(log_std)²) from N(0, 1), (N, d)."""
    return -0.5 * (1 + 2 * log_std - mean.square() - (2 * log_std).exp())
