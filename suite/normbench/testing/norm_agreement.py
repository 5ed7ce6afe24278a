"""The check that a norm evaluates what it was trained to compute."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from normbench.descriptions import Norm
from normbench.testing.checking import require
from normbench.testing.placing import draw_scales, place

# The batch repeats its eight examples, so that parts of a batch have its statistics too.
COPIES = 8
PASSES = 3000
_BETWEEN = 20
_SETTLED = 1e-4
# Running variances may be unbiased: of eight values at least, they are up to 8/7 of the batch's,
# which scales the output by 0.935.
_STATISTICS = 0.08
_EQUAL = 1e-6


def evaluates_as_it_trained(norm: Norm) -> str | None:
    """Once running statistics have settled on one batch, evaluation gives the training output."""
    for kind in norm.site_kinds:
        placed = place(norm, kind)
        draw_scales(placed)
        network = placed.network.double()
        inputs = 3.0 * placed.inputs() + 1.0
        inputs = inputs.repeat(COPIES, *(1,) * (inputs.ndim - 1))
        if _is_random(network, inputs):
            return "its training output is drawn at random"
        gap, allowed, settling = _settle(network, inputs)
        if settling:
            return f"its running statistics need more than {PASSES} passes over a batch to settle"
        require(
            gap <= allowed,
            f"at a {kind} site, after many training passes over one batch, evaluation on that "
            f"batch differs from training by {gap:.3g} of the output's root mean square.",
            f"at most {allowed:g}, which leaves room for the unbiased variance of a batch."
            if allowed == _STATISTICS
            else "equal outputs: no training pass changes its buffers.",
            "let evaluation compute the same formula as training, and move the running statistics "
            "that it uses in every training pass.",
        )
    return None


@torch.no_grad()
def _settle(network: nn.Module, inputs: Tensor) -> tuple[float, float, bool]:
    """Train until evaluation stands still.

    Returns:
        The relative difference of evaluation and training, what is allowed, and whether the
        difference was too large at the end, but still shrank.
    """
    before = copy.deepcopy(network.state_dict())
    gap = math.inf
    for _ in range(PASSES // _BETWEEN):
        for _ in range(_BETWEEN):
            trained = network.train()(inputs)
        previous, gap = gap, _difference(network.eval()(inputs), trained)
        if not abs(previous - gap) > _SETTLED:
            break
    moved = any(not torch.equal(before[name], now) for name, now in network.state_dict().items())
    allowed = _STATISTICS if moved else _EQUAL
    return gap, allowed, allowed < gap < previous - _SETTLED


def _difference(evaluated: Tensor, trained: Tensor) -> float:
    size = trained.square().mean().sqrt().clamp_min(1e-12)
    return float((evaluated - trained).square().mean().sqrt() / size)


@torch.no_grad()
def _is_random(network: nn.Module, inputs: Tensor) -> bool:
    """Whether two copies in the same state give different training outputs."""
    one, other = (copy.deepcopy(network).train()(inputs) for _ in range(2))
    return not torch.allclose(one, other, rtol=1e-9, atol=1e-9)
