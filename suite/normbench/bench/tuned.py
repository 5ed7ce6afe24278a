"""A DataLoader loop as a careful user writes it: the second yardstick of ``normbench bench``.

Loader processes that stay, pinned memory, copies that do not block, channels_last, the protocol's
precision, weight decay in the optimizer, which updates all tensors at once, and sums that are read
once an epoch. Examples still go one by one through PIL transforms.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader

from normbench.augmentation import Augmentation
from normbench.bench.baseline import Examples
from normbench.data import Part
from normbench.descriptions import Dataset
from normbench.engine.precision import forward_context
from normbench.roles import Built
from normbench.tasks import Batch, Task

WORKERS = 16


def loader_workers(asked: int) -> int:
    """Return *asked* loader processes, or as many as there are cores for this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(asked, cores or 1))


class TunedLoop:
    """Trains and evaluates with loader processes.

    Args:
        built: The network, in channels_last.
        task: Loss and metrics.
        optimizer: As :func:`normbench.bench.baseline.tuned_optimizer` makes it.
        precision: The protocol's.
        device: Where the network is.
    """

    def __init__(
        self,
        built: Built,
        task: Task,
        optimizer: torch.optim.Optimizer,
        precision: str,
        device: torch.device,
    ) -> None:
        self._network, self._task, self._optimizer = built.network, task, optimizer
        self._precision, self._device = precision, device

    def train(self, training: DataLoader[Any]) -> list[float]:
        """Train on *training* once; return the sums of its metrics."""
        self._network.train()
        sums = self._zeros()
        for inputs, targets in training:
            batch = self._batch(inputs, targets)
            self._optimizer.zero_grad(set_to_none=True)
            with forward_context(self._precision, self._device):
                scores = self._task(self._network, batch, {})
            scores.loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            sums += scores.sums
        return list(map(float, sums.tolist()))

    @torch.no_grad()
    def evaluate(self, parts: DataLoader[Any]) -> list[float]:
        """Return the sums of the metrics over all *parts*."""
        self._network.eval()
        sums = self._zeros()
        for inputs, targets in parts:
            with forward_context(self._precision, self._device):
                sums += self._task(self._network, self._batch(inputs, targets), {}).sums
        return list(map(float, sums.tolist()))

    def _zeros(self) -> Tensor:
        return torch.zeros(len(self._task.metrics), dtype=torch.float64, device=self._device)

    def _batch(self, inputs: Tensor, targets: Tensor) -> Batch:
        layout = torch.channels_last if inputs.dim() == 4 else torch.contiguous_format
        moved = inputs.to(self._device, non_blocking=True, memory_format=layout)
        return Batch(moved, targets.to(self._device, non_blocking=True))


def training_loader(
    part: Part,
    dataset: Dataset,
    augmentation: Augmentation,
    batch_size: int,
    workers: int,
    device: torch.device,
) -> DataLoader[Any]:
    """Return a loader of shuffled, augmented, full batches, with *workers* processes."""
    examples = Examples(part, dataset, augmentation)
    return DataLoader(
        examples, batch_size=batch_size, shuffle=True, drop_last=True, **_fast(workers, device)
    )


def evaluation_loader(
    parts: Sequence[Part], dataset: Dataset, batch_size: int, workers: int, device: torch.device
) -> DataLoader[Any]:
    """Return one loader, hence one set of processes, over all *parts*; no batch mixes two."""
    batches, start = [], 0
    for part in parts:
        stop = start + len(part)
        batches += [
            list(range(at, min(at + batch_size, stop))) for at in range(start, stop, batch_size)
        ]
        start = stop
    together: ConcatDataset[Any] = ConcatDataset([Examples(part, dataset) for part in parts])
    return DataLoader(together, batch_sampler=batches, **_fast(workers, device))


def _fast(workers: int, device: torch.device) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "persistent_workers": True,
        "pin_memory": device.type == "cuda",
    }
