"""Ghost batch normalization: batch normalization of parts of a batch.

Train Longer, Generalize Better: Closing the Generalization Gap in Large Batch Training of Neural
Networks, E. Hoffer, I. Hubara and D. Soudry, NeurIPS 2017, arXiv:1705.08741. The default ghost
holds 32 examples, not the paper's 128, because problems here train on batches of 128.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from normbench import Fitting, Site
from normbench_plugins.norms.batch_norm import BatchNorm


class GhostBatchNorm(BatchNorm):
    r"""Normalize each channel over each ghost, a run of B examples of the batch, and all positions.

    .. math:: y = \gamma \frac{x - \mu_g}{\sqrt{\sigma_g^2 + \epsilon}} + \beta

    with μ_g and σ_g² (biased) of ghost g. The running statistics (torch's, see ``BatchNorm``) move
    once for each ghost, in order, and all of evaluation uses them. The last ghost holds what is
    left of the batch; a batch of at most B examples is a single ghost, as in ``BatchNorm``.

    Shapes: (N, C), (N, C, L), (N, C, H, W), with *sequence* (N, T, C); the output as the input.
    γ (``weight``, start 1) and β (``bias``, start 0): (C,).

    Args:
        features: C.
        virtual_batch_size: B, in examples.
        eps: ε, added to the variance.
        momentum: Share of a ghost in the running statistics, in [0, 1].
        sequence: Channels come last.
        scale_init: Initial γ.
        shift_init: Initial β.
    """

    lone_fix: ClassVar[str] = (
        "Choose norm.virtual_batch_size of 2 or more that divides problem.batch_size, and keep "
        "protocol.drop_last=true."
    )

    def __init__(
        self,
        features: int,
        virtual_batch_size: int = 32,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        sequence: bool = False,
        scale_init: float = 1.0,
        shift_init: float = 0.0,
    ) -> None:
        super().__init__(
            features,
            eps,
            momentum,
            sequence=sequence,
            scale_init=scale_init,
            shift_init=shift_init,
        )
        self.virtual_batch_size = virtual_batch_size

    def forward(self, inputs: Tensor) -> Tensor:
        """Return *inputs* normalized ghost by ghost in training, all alike in evaluation.

        Raises:
            UsageError: If the channels are not where they should be, or a ghost has a single value
                for each channel.
        """
        normalise = super().forward
        if not self.training or len(inputs) <= self.virtual_batch_size:
            return normalise(inputs)
        return torch.cat([normalise(ghost) for ghost in inputs.split(self.virtual_batch_size)])

    def extra_repr(self) -> str:
        """Return channels, eps, momentum and ghost for the printed module."""
        return f"{super().extra_repr()}, virtual_batch_size={self.virtual_batch_size}"


def fit(
    site: Site, *, virtual_batch_size: int = 32, eps: float = 1e-5, momentum: float = 0.1
) -> Fitting:
    """Put a ghost batch norm at *site*; every output channel before it may be rescaled."""
    sequence = site.kind != "conv"
    norm = GhostBatchNorm(site.features, virtual_batch_size, eps, momentum, sequence=sequence)
    return Fitting(norm=norm, groups=norm.invariant_groups)
