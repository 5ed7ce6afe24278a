"""The check that an optimizer's weight decay is coupled or decoupled, as its description says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from normbench.descriptions import Optimizer
from normbench.testing.checking import require
from normbench.testing.stepping import has, over

Reading = Literal["here", "before"]

COEFFICIENTS = (0.1, 0.5)
_START = torch.tensor([[1.0, -2.0, 0.7], [0.5, 3.0, -1.1]], dtype=torch.float64)
# Not in proportion to the weights, and with both signs at each number, which Adam and Lion see.
_GRADIENTS = torch.tensor(
    [
        [[0.6, 0.9, -0.3], [-0.7, 0.2, 0.4]],
        [[-0.4, 0.5, 0.8], [0.3, -0.6, -0.2]],
        [[0.9, -0.2, 0.1], [0.5, 0.7, -0.8]],
        [[-0.1, 0.4, -0.6], [-0.9, 0.3, 0.5]],
    ],
    dtype=torch.float64,
)
_OTHERS = -3.0 * _GRADIENTS.flip(0).roll(1, dims=2)


def decouples_decay_as_it_says(optimizer: Optimizer) -> str | None:
    """Weight decay λ acts as λ·w in the gradient exactly if it is not declared decoupled."""
    if not has(optimizer, "weight_decay"):
        return "it has no parameter weight_decay"
    if _is_coupled(optimizer):
        seen, decoupled = "are those without decay on a gradient that λ·w was added to", False
    elif _is_decoupled(optimizer):
        seen, decoupled = "shrink weights by the same amount whatever the gradients are", True
    else:
        return (
            "its decay is neither a part of the gradient nor independent of it, as where a trust "
            "ratio scales both"
        )
    require(
        optimizer.decoupled_weight_decay == decoupled,
        f"Optimizer.decoupled_weight_decay is {optimizer.decoupled_weight_decay}, but its steps "
        f"with weight_decay=λ {seen}.",
        "decoupled_weight_decay=False exactly if weight decay is λ·w in the gradient; the "
        "optimizer then takes the problem's L2 coefficient.",
        f"set decoupled_weight_decay={decoupled} in the description, or change the step.",
    )
    return None


def _is_coupled(optimizer: Optimizer) -> bool:
    """Whether the gradient plus λ·w, made by hand, gives the steps that weight decay λ gives."""
    # A closure sees other weights than those the step began with, and decay may follow either.
    readings: tuple[Reading, ...] = ("here", "before") if optimizer.needs_closure else ("here",)
    plain = _steps(optimizer, _GRADIENTS)
    return any(
        all(
            _same(
                _steps(optimizer, _GRADIENTS, own=decay),
                _steps(optimizer, _GRADIENTS, by_hand=decay, reading=reading),
                plain,
            )
            for decay in COEFFICIENTS
        )
        for reading in readings
    )


def _is_decoupled(optimizer: Optimizer) -> bool:
    """Whether weight decay changes steps by an amount that no gradient has a part in."""
    for decay in COEFFICIENTS:
        here, there = (
            _steps(optimizer, gradients, own=decay) - _steps(optimizer, gradients)
            for gradients in (_GRADIENTS, _OTHERS)
        )
        if not _same(here, there, torch.zeros_like(here)):
            return False
    return True


def _same(one: Tensor, other: Tensor, without: Tensor) -> bool:
    """Whether two outcomes agree far closer than decay moves them from the one without."""
    effect = torch.nan_to_num(one - without, nan=0.0, posinf=0.0, neginf=0.0).abs().max()
    return bool(effect > 0) and bool((one - other).abs().max() <= 1e-6 * effect + 1e-14)


def _steps(
    optimizer: Optimizer,
    gradients: Tensor,
    *,
    own: float = 0.0,
    by_hand: float = 0.0,
    reading: Reading = "here",
) -> Tensor:
    """Return where each step leads from the same weights; only the optimizer's state goes on."""
    return torch.stack(list(_each_step(optimizer, gradients, own, by_hand, reading)))


def _each_step(
    optimizer: Optimizer, gradients: Tensor, own: float, by_hand: float, reading: Reading
) -> Iterator[Tensor]:
    weight = nn.Parameter(_START.clone())
    values: dict[str, Any] = {"weight_decay": own}
    stepper = over(optimizer, [weight], **values)
    for gradient in gradients:

        def loss(gradient: Tensor = gradient) -> Tensor:
            decayed = _START if reading == "before" else weight / 2
            return ((gradient + by_hand * decayed) * weight).sum()

        stepper.step(loss)
        yield weight.detach().clone()
        with torch.no_grad():
            weight.copy_(_START)
