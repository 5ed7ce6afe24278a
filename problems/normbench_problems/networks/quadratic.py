"""A point θ in 100 dimensions and its quadratic loss, with the spectrum of a deep network.

DeepOBS: A Deep Learning Optimizer Benchmark Suite. Schneider, Balles, Hennig. ICLR 2019,
arXiv:1903.05499. The spectrum follows Entropy-SGD (Chaudhari et al., arXiv:1611.01838), the
rotation is drawn by the subgroup algorithm of Diaconis and Shahshahani (Probability in the
Engineering and Informational Sciences 1, 1987).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from normbench import Sites, UsageError

DIMENSIONS = 100
SEED = 42
ROTATIONS = ("fresh", "continued")


def quadratic(sites: Sites | None = None, *, rotation: str = "fresh") -> Quadratic:  # noqa: ARG001
    """Return the quadratic: (N, 100) points x to (N,) losses ½·(θ - x)ᵀ·H·(θ - x).

    θ starts at 1. H is the same whatever the process has drawn or built before. It has no norm
    sites.

    Args:
        sites: The harness's norm sites; none is taken.
        rotation: Instance of H, as in :func:`hessian`.
    """
    return Quadratic(hessian(rotation))


class Quadratic(nn.Module):
    """The network of :func:`quadratic`."""

    parameter_roles: ClassVar = {"theta": "weight"}
    hessian: Tensor

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones(len(matrix)))
        self.register_buffer("hessian", torch.tensor(matrix, dtype=torch.get_default_dtype()))

    def forward(self, points: Tensor) -> Tensor:
        """Return the loss at each of the points."""
        offset = self.theta - points
        return 0.5 * (offset @ self.hessian * offset).sum(1)

    def initialise(self, layer: nn.Module) -> None:
        """Set θ to 1."""
        if layer is self:
            nn.init.ones_(self.theta)


def hessian(rotation: str = "fresh") -> NDArray[np.float64]:
    """Return H = RᵀDR with 90 eigenvalues from U(0, 1), 10 from U(30, 60) and R Haar-distributed.

    Args:
        rotation: ``fresh``: R is drawn from a generator of its own with the eigenvalues' seed, as
            by the first problem that a DeepOBS 1.2 (PyTorch) process builds. ``continued``: R is
            drawn by the generator that has drawn the eigenvalues, as in DeepOBS 1.1 (TensorFlow),
            to which the published baselines belong.
    """
    if rotation not in ROTATIONS:
        raise UsageError(f"rotation={rotation} is unknown: expected one of {', '.join(ROTATIONS)}.")
    generator = np.random.RandomState(SEED)
    flat = generator.uniform(0.0, 1.0, DIMENSIONS - 10)
    steep = generator.uniform(30.0, 60.0, 10)
    if rotation == "fresh":
        generator = np.random.RandomState(SEED)
    basis = random_rotation(generator, DIMENSIONS)
    return basis.T @ np.diag(np.concatenate((flat, steep))) @ basis


def random_rotation(generator: np.random.RandomState, size: int) -> NDArray[np.float64]:
    """Return a rotation of *size* >= 2 dimensions, uniform over all of them.

    One of d dimensions is made from one of d - 1 by a reflection that takes the new axis to a
    uniform direction; the last is negated, which gives determinant 1 in even and odd dimensions.
    """
    angle = 2 * np.pi * generator.uniform()
    matrix: NDArray[Any] = np.array(
        [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    )
    for known in range(2, size):
        direction = generator.normal(size=known + 1)
        mirror = -direction / np.linalg.norm(direction)
        mirror[0] += 1
        mirror /= np.linalg.norm(mirror)
        extended = np.zeros((known + 1, known + 1))
        extended[0, 0] = 1
        extended[1:, 1:] = matrix
        matrix = extended - 2 * np.outer(mirror, mirror @ extended)
    return -matrix
