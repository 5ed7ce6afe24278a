"""What the device can do at most, measured here and now: matrix rate and copy bandwidth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from normbench.engine.precision import forward_context
from normbench.tasks import Batch, Task

REPEATS = 5


@dataclass(frozen=True)
class Roof:
    """Measured ceilings of a device.

    Attributes:
        flops: Operations a second of a large matrix product, a multiply-add counting two.
        bandwidth: Bytes a second read and written by a large copy.
    """

    flops: float
    bandwidth: float


def measure_roof(device: torch.device, precision: str) -> Roof:
    """Return the roof of *device*; on the processor with the threads that torch has now."""
    size = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left = torch.randn(size, size, device=device, dtype=dtype)
    right = torch.randn(size, size, device=device, dtype=dtype)
    source = torch.randn((2**28 if device.type == "cuda" else 2**25), device=device)
    target = torch.empty_like(source)
    product = _best_seconds(lambda: torch.mm(left, right), device)
    copy = _best_seconds(lambda: target.copy_(source), device)
    return Roof(2 * size**3 / product, 2 * source.nbytes / copy)


def training_flops(
    network: nn.Module, task: Task, batch: Batch, precision: str, device: torch.device
) -> float:
    """Return the operations of one forward and backward pass for one example."""
    network.train()
    state = task.initial_state(len(batch.inputs), device)
    with FlopCounterMode(display=False) as counter:
        with forward_context(precision, device):
            loss = task(network, batch, state).loss
        loss.backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops()) / len(batch.inputs)


def clock(device: torch.device) -> float:
    """Return seconds: of this process's own time on the processor, of the wall on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        started = clock(device)
        work()
        times.append(clock(device) - started)
    return min(times)
