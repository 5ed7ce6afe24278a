"""Max norm: an example of a normalization layer."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from normbench import Fitting, Role, Site


class MaxNorm(nn.Module):
    """y = γ·x / (max |x| + ε), with the maximum over all but the first dimension.

    γ has one number a channel and starts at 1.

    Args:
        features: Channels C of inputs (N, C, ...).
        eps: ε.
    """

    parameter_roles: ClassVar = {"weight": Role.NORM_SCALE}

    def __init__(self, features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))

    def reset_parameters(self) -> None:
        """Set γ to 1."""
        nn.init.ones_(self.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the normalized *inputs*."""
        largest = inputs.abs().amax(tuple(range(1, inputs.ndim)), keepdim=True)
        scale = self.weight.view(1, -1, *(1 for _ in inputs.shape[2:]))
        return (inputs / (largest + self.eps) * scale).to(inputs.dtype)


def fit(site: Site, eps: float) -> Fitting:
    """Put a max norm at *site*: rescaling the whole weight before it changes nothing."""
    return Fitting(norm=MaxNorm(site.features, eps), groups=1)
