"""How closely the steps of a faster rung must agree with plain ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

TOLERANCES = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}
"""Of loss and gradient of one step, relative, by precision."""

MOVEMENT = 0.1


@dataclass(frozen=True)
class Agreement:
    """What is asked of steps that replace plain ones.

    Attributes:
        exact: Whether replayed steps must be equal to the bit, as deterministic kernels are.
        tolerance: Else, and for compiled steps: largest relative difference of loss and gradient
            of one step from one point, in the 2-norm over each.
    """

    exact: bool = True
    tolerance: float = TOLERANCES["fp32"]


def unequal(
    expected: Mapping[tuple[str, ...], Tensor], actual: Mapping[tuple[str, ...], Tensor]
) -> str:
    """Return the first tensor whose bits differ, not-a-number being itself; empty if none does."""
    for path, tensor in expected.items():
        other = actual[path]
        if not bool(((tensor == other) | (tensor.isnan() & other.isnan())).all()):
            return f"{' '.join(path)} differs from that of plain steps"
    return ""


def far(expected: Mapping[str, Tensor], actual: Mapping[str, Tensor], tolerance: float) -> str:
    """Return which value is too far from the one expected; empty if none is.

    The movement of the weights may differ by :data:`MOVEMENT`: optimizers that divide a gradient by
    its size turn rounding into steps.
    """
    for name, tensor in expected.items():
        scale = float(tensor.norm())
        distance = float((actual[name] - tensor).norm())
        allowed = max(tolerance, MOVEMENT) if name == "movement" else tolerance
        if math.isfinite(scale) and not distance <= allowed * scale:
            return f"its {name} is {distance / (scale or 1.0):.2g} from that of plain steps"
    return ""


def flat(tensors: list[Tensor]) -> Tensor:
    """Return all numbers of *tensors* in a row, in float64."""
    return torch.cat([tensor.detach().double().reshape(-1) for tensor in tensors])
