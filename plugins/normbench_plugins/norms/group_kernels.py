"""Triton kernels for normalization over groups of channels, on channels_last activations.

A program has one example and some whole groups of its channels. It reads them once for the
statistics and once more, for the most part from cache, for the result. Forward is one launch and
backward two, where the plain version dispatches 18 and 25 torch operations (counted on a processor
in float32 with scale and shift, views left out). Blocks depend on neither the batch nor the GPU and
sums run in a fixed order: results repeat bit for bit, and an example's are its own. The sizes of
the blocks are chosen by what the compiler reports for compute capability 9.0 (at most 96 registers
a thread, nothing spilled at the sizes of usual networks), not by timing.

Importing this needs Triton; :mod:`normbench_plugins.norms.fused_groups` does so on first use.
"""

# ruff: noqa: N803 - what a kernel is compiled for is in capitals, as in Triton's own

from __future__ import annotations

from dataclasses import dataclass
from subprocess import SubprocessError

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.errors import TritonError

# What a launch raises where Triton has no compiler, no driver, or no way to build the kernel.
FAILURES = (TritonError, SubprocessError, OSError, RuntimeError)

ROW_BYTES = 64  # What memory moves at once, and a program with several small groups takes
TILE = 8192  # Values that a program holds at a time
VALUES_A_THREAD = 16


@dataclass(frozen=True)
class Blocks:
    """How the work is cut into programs.

    Attributes:
        groups: Groups of a program.
        channels: Channels of a tile, a power of two that holds the program's groups.
        positions: Positions of a tile, a power of two.
        warps: Warps of a program.
    """

    groups: int
    channels: int
    positions: int
    warps: int


def blocks(channels: int, groups: int, positions: int, value_bytes: int) -> Blocks:
    """Return the blocks for activations of these sizes."""
    members = channels // groups
    row = ROW_BYTES // value_bytes
    fitting = [n for n in range(1, groups + 1) if groups % n == 0 and n * members <= row]
    together = max(fitting, default=1)
    lanes = _power_of_two(together * members)
    rows = min(_power_of_two(positions), max(TILE // lanes, 1))
    warps = min(max(lanes * rows // (32 * VALUES_A_THREAD), 1), 16)
    return Blocks(together, lanes, rows, warps)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


@triton.jit
def _over_group(
    values, GROUPS: tl.constexpr, MEMBERS: tl.constexpr, LANES: tl.constexpr
):  # fmt: skip
    """Return for each channel the sum of *values* (LANES,) over its group; absent ones hold 0."""
    if MEMBERS == 1:
        sums = values
    elif GROUPS == 1:
        sums = tl.zeros_like(values) + tl.sum(values, axis=0)
    elif GROUPS * MEMBERS == LANES:
        rows = tl.sum(tl.reshape(values, (GROUPS, MEMBERS)), axis=1, keep_dims=True)
        sums = tl.reshape(tl.broadcast_to(rows, (GROUPS, MEMBERS)), (LANES,))
    else:
        lane = tl.arange(0, LANES)
        same = (lane[:, None] // MEMBERS) == (lane[None, :] // MEMBERS)
        sums = tl.sum(tl.where(same, values[None, :], 0.0), axis=1)
    return sums


@triton.jit
def _centred(
    inputs, tile, row, present, channel, positions,
    CHANNELS: tl.constexpr, MEMBERS: tl.constexpr, GROUPS: tl.constexpr,
    LANES: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Return μ of each channel's group, and Σ (x - μ)² over it.

    Welford's update in each row of the tile, of distances from a first value so that a mean far
    from 0 costs no digits; then all rows and channels are merged.
    """
    origin = tl.load(inputs + channel, present, other=0.0).to(tl.float32)
    mean = tl.zeros((ROWS, LANES), tl.float32)
    squares = tl.zeros((ROWS, LANES), tl.float32)
    for first in range(0, positions, ROWS):
        mask = (first + row < positions)[:, None] & present[None, :]
        x = tl.load(inputs + first * CHANNELS + tile, mask, other=0.0).to(tl.float32)
        x -= origin[None, :]
        distance = tl.where(mask, x - mean, 0.0)
        mean += distance * (1.0 / (first // ROWS + 1))
        squares += distance * (x - mean)
    count = ((positions - row + ROWS - 1) // ROWS).to(tl.float32)[:, None]
    own = tl.sum(count * mean, axis=0) / positions
    within = tl.sum(squares + count * (mean - own[None, :]) * (mean - own[None, :]), axis=0)
    own += origin
    level = _over_group(own, GROUPS, MEMBERS, LANES) / MEMBERS
    away = tl.where(present, own - level, 0.0)
    return level, _over_group(within + positions * away * away, GROUPS, MEMBERS, LANES)


@triton.jit
def _uncentred(
    inputs, tile, row, present, positions,
    CHANNELS: tl.constexpr, MEMBERS: tl.constexpr, GROUPS: tl.constexpr,
    LANES: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Return Σ x² over each channel's group."""
    squares = tl.zeros((ROWS, LANES), tl.float32)
    for first in range(0, positions, ROWS):
        mask = (first + row < positions)[:, None] & present[None, :]
        x = tl.load(inputs + first * CHANNELS + tile, mask, other=0.0).to(tl.float32)
        squares += x * x
    return _over_group(tl.sum(squares, axis=0), GROUPS, MEMBERS, LANES)


@triton.jit(do_not_specialize=["positions"])
def normalise(
    inputs, weight, bias, eps_cell, outputs, means, inverses,
    eps, factor, positions,
    CHANNELS: tl.constexpr, MEMBERS: tl.constexpr, GROUPS: tl.constexpr,
    LANES: tl.constexpr, ROWS: tl.constexpr, CENTRE: tl.constexpr,
    SCALED: tl.constexpr, SHIFTED: tl.constexpr, TRAINED_EPS: tl.constexpr,
):  # fmt: skip
    """Write y, and μ and 1/√(σ² + eps) of each group. Grid: (N, C / (GROUPS · MEMBERS))."""
    example = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, LANES)
    present = lane < GROUPS * MEMBERS
    channel = tl.program_id(1) * GROUPS * MEMBERS + lane
    row = tl.arange(0, ROWS)
    start = example * positions * CHANNELS
    tile = row[:, None] * CHANNELS + channel[None, :]

    if CENTRE:
        level, moment = _centred(
            inputs + start, tile, row, present, channel, positions,
            CHANNELS, MEMBERS, GROUPS, LANES, ROWS,
        )  # fmt: skip
    else:
        level = tl.zeros((LANES,), tl.float32)
        moment = _uncentred(
            inputs + start, tile, row, present, positions,
            CHANNELS, MEMBERS, GROUPS, LANES, ROWS,
        )  # fmt: skip
    size = (positions * MEMBERS).to(tl.float32)
    if TRAINED_EPS:
        eps = tl.load(eps_cell)
    inverse = tl.div_rn(1.0, tl.sqrt_rn(moment / size * factor + eps))

    heads = present & (channel % MEMBERS == 0)
    cell = example * (CHANNELS // MEMBERS) + channel // MEMBERS
    tl.store(inverses + cell, inverse, heads)
    if CENTRE:
        tl.store(means + cell, level, heads)
    scale = inverse
    if SCALED:
        scale *= tl.load(weight + channel, present, other=0.0)
    shift = tl.zeros((LANES,), tl.float32)
    if SHIFTED:
        shift = tl.load(bias + channel, present, other=0.0)
    for first in range(0, positions, ROWS):
        mask = (first + row < positions)[:, None] & present[None, :]
        at = start + first * CHANNELS + tile
        x = tl.load(inputs + at, mask, other=0.0).to(tl.float32)
        y = (x - level[None, :]) * scale[None, :] + shift[None, :]
        tl.store(outputs + at, y.to(outputs.dtype.element_ty), mask)


@triton.jit(do_not_specialize=["positions"])
def differentiate(
    gradient, inputs, weight, means, inverses, toward_inputs, aligned, totals,
    factor, positions,
    CHANNELS: tl.constexpr, MEMBERS: tl.constexpr, GROUPS: tl.constexpr,
    LANES: tl.constexpr, ROWS: tl.constexpr, CENTRE: tl.constexpr,
    SCALED: tl.constexpr, AFFINE: tl.constexpr,
):  # fmt: skip
    """Write ∂x, and for each channel of each example Σ ∂y·x̂ and Σ ∂y. Grid as forward."""
    example = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, LANES)
    present = lane < GROUPS * MEMBERS
    channel = tl.program_id(1) * GROUPS * MEMBERS + lane
    row = tl.arange(0, ROWS)
    start = example * positions * CHANNELS
    tile = row[:, None] * CHANNELS + channel[None, :]
    cell = example * (CHANNELS // MEMBERS) + channel // MEMBERS
    inverse = tl.load(inverses + cell, present, other=0.0)
    level = tl.zeros((LANES,), tl.float32)
    if CENTRE:
        level = tl.load(means + cell, present, other=0.0)
    scale = tl.zeros((LANES,), tl.float32) + 1.0
    if SCALED:
        scale = tl.load(weight + channel, present, other=0.0)

    along = tl.zeros((ROWS, LANES), tl.float32)
    total = tl.zeros((ROWS, LANES), tl.float32)
    for first in range(0, positions, ROWS):
        mask = (first + row < positions)[:, None] & present[None, :]
        at = start + first * CHANNELS + tile
        x = tl.load(inputs + at, mask, other=0.0).to(tl.float32)
        above = tl.load(gradient + at, mask, other=0.0).to(tl.float32)
        along += above * (x - level[None, :])
        if CENTRE or AFFINE:
            total += above
    along_channel = tl.sum(along, axis=0) * inverse
    total_channel = tl.sum(total, axis=0)
    if AFFINE:
        tl.store(aligned + example * CHANNELS + channel, along_channel, present)
        tl.store(totals + example * CHANNELS + channel, total_channel, present)

    size = (positions * MEMBERS).to(tl.float32)
    slope = _over_group(scale * along_channel, GROUPS, MEMBERS, LANES)
    slope *= -factor * inverse * inverse / size
    offset = tl.zeros((LANES,), tl.float32)
    if CENTRE:
        offset = _over_group(scale * total_channel, GROUPS, MEMBERS, LANES) * -inverse / size
    scale *= inverse
    for first in range(0, positions, ROWS):
        mask = (first + row < positions)[:, None] & present[None, :]
        at = start + first * CHANNELS + tile
        x = tl.load(inputs + at, mask, other=0.0).to(tl.float32)
        above = tl.load(gradient + at, mask, other=0.0).to(tl.float32)
        toward = above * scale[None, :] + (x - level[None, :]) * slope[None, :] + offset[None, :]
        tl.store(toward_inputs + at, toward.to(toward_inputs.dtype.element_ty), mask)


def launch_normalise(
    inputs: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps_cell: Tensor | None,
    eps: float,
    groups: int,
    centre: bool,
    factor: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, μ (N, G), empty without centring, and 1/√(σ² + eps) (N, G)."""
    examples, channels = inputs.shape[:2]
    positions = inputs[0, 0].numel()
    cut = blocks(channels, groups, positions, inputs.element_size())
    outputs = torch.empty_like(inputs)
    inverses = inputs.new_empty((examples, groups), dtype=torch.float32)
    means = torch.empty_like(inverses) if centre else inverses.new_empty(0)
    with torch.cuda.device_of(inputs):
        normalise[(examples, groups // cut.groups)](
            inputs, weight, bias, eps_cell, outputs, means, inverses, eps, factor, positions,
            CHANNELS=channels, MEMBERS=channels // groups, GROUPS=cut.groups,
            LANES=cut.channels, ROWS=cut.positions, CENTRE=centre,
            SCALED=weight is not None, SHIFTED=bias is not None, TRAINED_EPS=eps_cell is not None,
            num_warps=cut.warps, enable_fp_fusion=True,
        )  # fmt: skip
    return outputs, means, inverses


def launch_differentiate(
    gradient: Tensor,
    inputs: Tensor,
    weight: Tensor | None,
    means: Tensor,
    inverses: Tensor,
    groups: int,
    centre: bool,
    factor: float,
    affine: bool,
) -> tuple[Tensor, Tensor]:
    """Return ∂x, and Σ ∂y·x̂ and Σ ∂y of each channel of each example, (2, N, C) or empty."""
    examples, channels = inputs.shape[:2]
    positions = inputs[0, 0].numel()
    cut = blocks(channels, groups, positions, inputs.element_size())
    toward_inputs = torch.empty_like(inputs)
    sums = inverses.new_empty((2, examples, channels) if affine else (2, 0))
    with torch.cuda.device_of(inputs):
        differentiate[(examples, groups // cut.groups)](
            gradient, inputs, weight, means, inverses, toward_inputs, sums[0], sums[1],
            factor, positions,
            CHANNELS=channels, MEMBERS=channels // groups, GROUPS=cut.groups,
            LANES=cut.channels, ROWS=cut.positions, CENTRE=centre,
            SCALED=weight is not None, AFFINE=affine,
            num_warps=cut.warps, enable_fp_fusion=True,
        )  # fmt: skip
    return toward_inputs, sums
