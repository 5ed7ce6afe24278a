"""What the device can do at most, measured here and now, and how much of it an example needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from normbench.bench.timing import seconds_of
from normbench.engine.precision import forward_context
from normbench.roles import Built
from normbench.tasks import Batch, Task

REPEATS = 5
# A GPU at rest runs at a low clock, and takes its time to leave it.
WARM_SECONDS = 1.0
# Forward, gradient of the inputs, gradient of the weights: inputs and outputs pass three times.
PRODUCT_PASSES = 3
# Statistics come with the product that feeds a norm; read and write forward; for the gradient two
# readings of both inputs and gradient, and a write.
NORM_PASSES = 7
# Weight and gradient read, weight written; a state tensor is read and written.
WEIGHT_BYTES, STATE_BYTES = 12, 8
_PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Roof:
    """Measured ceilings of a device.

    Attributes:
        flops: Operations a second of a large matrix product, a multiply-add counting two.
        bandwidth: Bytes a second read and written by a large copy.
    """

    flops: float
    bandwidth: float

    def or_higher(self, other: Roof) -> Roof:
        """Return the higher of both ceilings: what slowed either was not the device's limit."""
        return Roof(max(self.flops, other.flops), max(self.bandwidth, other.bandwidth))


@dataclass(frozen=True)
class Need:
    """What training takes for one example.

    Attributes:
        flops: Operations of its forward and backward pass.
        traffic: Bytes to and from memory if every activation moved as few times as a chain of
            product, norm and activation allows, each layer for itself. An estimate of a bound.
    """

    flops: float
    traffic: float

    def fastest(self, roof: Roof) -> tuple[float, str]:
        """Return the examples a second that *roof* allows, and which of its two ceilings binds."""
        ceilings = (
            (roof.flops / self.flops if self.flops else float("inf"), "matrix rate"),
            (roof.bandwidth / self.traffic, "copy bandwidth"),
        )
        return min(ceilings)


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


def training_need(
    built: Built,
    task: Task,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    precision: str,
    device: torch.device,
) -> Need:
    """Return what training takes for one example of *batch*; *optimizer* has taken a step."""
    size, network = len(batch.inputs), built.network
    moved: list[int] = []
    hooks = list(_watch(built, moved))
    network.train()
    state = task.initial_state(size, device)
    with FlopCounterMode(display=False) as counter:
        with forward_context(precision, device):
            loss = task(network, batch, state).loss
        loss.backward()  # type: ignore[no-untyped-call]
    for remove in hooks:
        remove()
    width = 2 if precision == "bf16" else 4
    traffic = width * sum(moved) + _update_bytes(network, optimizer)
    return Need(counter.get_total_flops() / size, traffic / size)


def _watch(built: Built, moved: list[int]) -> Iterator[Callable[[], None]]:
    """Let products and norms append the numbers they move to *moved*; yield what undoes it."""
    norms = {site.norm for site in built.sites if site.norm}

    def product(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        moved.append(PRODUCT_PASSES * (inputs[0].numel() + output.numel()))

    def norm(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001
        moved.append(NORM_PASSES * output.numel())

    for name, module in built.network.named_modules():
        if isinstance(module, _PRODUCTS):
            yield module.register_forward_hook(product).remove
        elif name in norms and not isinstance(module, nn.Identity):
            yield module.register_forward_hook(norm).remove


def _update_bytes(network: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """Return the bytes that one update moves."""
    total = 0
    for parameter in network.parameters():
        state = optimizer.state.get(parameter, {})
        tensors = [
            value
            for value in state.values()
            if isinstance(value, Tensor) and value.shape == parameter.shape
        ]
        total += parameter.numel() * (WEIGHT_BYTES + STATE_BYTES * len(tensors))
    return total


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the least time of several, after as many more as bring a GPU up to speed."""
    began = time.perf_counter()
    seconds_of(work, device)
    while device.type == "cuda" and time.perf_counter() - began < WARM_SECONDS:
        seconds_of(work, device)
    return min(seconds_of(work, device) for _ in range(REPEATS))
