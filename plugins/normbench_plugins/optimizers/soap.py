"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

SOAP: Improving and Stabilizing Shampoo using Adam, N. Vyas, D. Morwani, R. Zhao, M. Kwun,
I. Shapira, D. Brandfonbrener, L. Janson and S. Kakade, ICLR 2025, arXiv:2409.11321. As in the
authors' code the first step only fills the preconditioner, and each dimension of a convolution's
weight has a matrix of its own. Parameters of other roles than weight take AdamW from their first
step on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normbench_plugins.optimizers.kernels import Groups
from normbench_plugins.optimizers.lists import (
    Group,
    ListOptimizer,
    adam_directions,
    descend,
    shrink,
)

_TINY = 1e-30


class SOAP(ListOptimizer):
    """SOAP over parameter groups by role; formula and arguments: :func:`soap`."""

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float = 0.003,
        beta1: float = 0.95,
        beta2: float = 0.95,
        eps: float = 1e-8,
        precondition_every: int = 10,
        largest_dimension: int = 10000,
        weight_decay: float = 0.01,
    ) -> None:
        defaults = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps}
        shampoo = {
            "precondition_every": precondition_every,
            "largest_dimension": largest_dimension,
        }
        super().__init__(groups, {**defaults, **shampoo, "weight_decay": weight_decay})

    def update(self, parameters: list[Tensor], gradients: list[Tensor], group: Group) -> None:
        """Update the parameters of one group."""
        if group.get("role", "weight") != "weight":
            self._adamw(parameters, gradients, group)
            return
        pairs = list(zip(parameters, gradients, strict=True))
        started = [pair for pair in pairs if "rotations" in self.state[pair[0]]]
        for parameter, gradient in pairs:
            if "rotations" not in self.state[parameter]:
                self._start(parameter, gradient, group)
        if not started:
            return
        self._rotated_adamw([p for p, _ in started], [g for _, g in started], group)
        renews = group["step"] % group["precondition_every"] == 0
        for parameter, gradient in started:
            _average_covariances(self.state[parameter], gradient, group["beta2"])
            if renews:
                _renew_rotations(self.state[parameter])

    def _adamw(self, parameters: list[Tensor], gradients: list[Tensor], group: Group) -> None:
        shrink(parameters, group)
        directions = self._adam(parameters, gradients, group)
        descend(parameters, directions, group["lr"])

    def _rotated_adamw(
        self, parameters: list[Tensor], gradients: list[Tensor], group: Group
    ) -> None:
        rotations = [self.state[parameter]["rotations"] for parameter in parameters]
        rotated = [rotate(g, r) for g, r in zip(gradients, rotations, strict=True)]
        shrink(parameters, group)
        directions = self._adam(parameters, rotated, group)
        restored = [rotate_back(d, r) for d, r in zip(directions, rotations, strict=True)]
        descend(parameters, restored, group["lr"])

    def _adam(
        self, parameters: list[Tensor], gradients: list[Tensor], group: Group
    ) -> list[Tensor]:
        means, squares = self.buffers(parameters, "mean"), self.buffers(parameters, "square")
        # A plain number tells when to renew without waiting for the device.
        group["step"] = int(group.get("step", 0)) + 1
        step = gradients[0].new_full((), group["step"], dtype=torch.float64)
        return adam_directions(gradients, means, squares, step, group)

    def _start(self, parameter: Tensor, gradient: Tensor, group: Group) -> None:
        """Make the covariances of the first gradient and their eigenvectors."""
        largest = group["largest_dimension"]
        turned = parameter.ndim >= 2
        state = self.state[parameter]
        state["covariances"] = [
            gradient.new_zeros((size, size)) if turned and 1 < size <= largest else None
            for size in parameter.shape
        ]
        _average_covariances(state, gradient, group["beta2"])
        state["rotations"] = [
            None if covariance is None else _eigenvectors(covariance)
            for covariance in state["covariances"]
        ]


def rotate(tensor: Tensor, rotations: list[Tensor | None]) -> Tensor:
    """Return *tensor* in the basis of *rotations*, one for each dimension; None leaves it."""
    for rotation in rotations:  # each product moves the first dimension to the end
        tensor = _turn(tensor, rotation)
    return tensor


def rotate_back(tensor: Tensor, rotations: list[Tensor | None]) -> Tensor:
    """Undo :func:`rotate`."""
    for rotation in rotations:
        tensor = _turn(tensor, None if rotation is None else rotation.T)
    return tensor


def _turn(tensor: Tensor, rotation: Tensor | None) -> Tensor:
    if rotation is None:
        return tensor.movedim(0, -1)
    return torch.tensordot(tensor, rotation, dims=([0], [0]))


def _average_covariances(state: Group, gradient: Tensor, decay: float) -> None:
    """Move the covariance of each dimension towards that of *gradient*."""
    for dim, covariance in enumerate(state["covariances"]):
        if covariance is not None:
            slices = gradient.movedim(dim, 0).flatten(1)
            covariance.lerp_(slices @ slices.T, 1 - decay)


def _eigenvectors(covariance: Tensor) -> Tensor:
    """Return the eigenvectors as columns, largest eigenvalue first.

    Bad numbers have none: they give the identity, and reach the parameters with the gradients.
    """
    wide = _wide(covariance)
    identity = torch.eye(len(wide), dtype=wide.dtype, device=wide.device)
    if not torch.isfinite(wide).all():
        return identity.to(covariance)
    return torch.linalg.eigh(wide + _TINY * identity)[1].flip(1).to(covariance)


def _wide(matrix: Tensor) -> Tensor:
    """Return *matrix* in a precision that decompositions exist for."""
    return matrix.to(torch.promote_types(matrix.dtype, torch.float32))


def _renew_rotations(state: Group) -> None:
    """Follow the covariances by one step of power iteration, and carry the moments along."""
    mean = rotate_back(state["mean"], state["rotations"])
    for dim, (covariance, rotation) in enumerate(
        zip(state["covariances"], state["rotations"], strict=True)
    ):
        if covariance is None:
            continue
        image = covariance @ rotation
        order = (rotation * image).sum(0).argsort(descending=True)
        state["square"].copy_(state["square"].index_select(dim, order))
        state["rotations"][dim] = torch.linalg.qr(_wide(image[:, order]))[0].to(image)
    state["mean"].copy_(rotate(mean, state["rotations"]))


def soap(
    groups: Groups,
    *,
    lr: float = 0.003,
    beta1: float = 0.95,
    beta2: float = 0.95,
    eps: float = 1e-8,
    precondition_every: int = 10,
    largest_dimension: int = 10000,
    weight_decay: float = 0.01,
) -> SOAP:
    r"""Return SOAP for weights and AdamW for the rest.

    For a weight as a matrix G of gradients:

    .. math::
        L &\leftarrow \beta_2 L + (1 - \beta_2) G G^\top, \qquad
        R \leftarrow \beta_2 R + (1 - \beta_2) G^\top G \\
        G' &= Q_L^\top G Q_R, \qquad
        w \leftarrow (1 - \eta \lambda) w - \eta \, Q_L \, \mathrm{adam}(G') \, Q_R^\top

    with Q_L and Q_R the eigenvectors of L and R, and Adam's moments kept in their basis. The basis
    is that of the first gradient, which takes no step; every *precondition_every* steps it follows
    L and R by one power iteration and a QR decomposition. A tensor of more dimensions has such a
    matrix for each of them.

    Args:
        groups: Parameters or groups; extra keys in groups are kept.
        lr: η, where a group has none of its own.
        beta1: β₁, decay of the mean of gradients.
        beta2: β₂, decay of the mean of squared gradients and of L and R.
        eps: ε, in units of the gradient.
        precondition_every: Steps from one basis to the next.
        largest_dimension: Dimensions of more than this many numbers keep their own basis.
        weight_decay: λ, where a group has none of its own.
    """
    return SOAP(
        groups,
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        precondition_every=precondition_every,
        largest_dimension=largest_dimension,
        weight_decay=weight_decay,
    )
