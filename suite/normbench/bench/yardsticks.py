"""The rows that ``normbench bench`` holds the engine against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from normbench.bench.baseline import PlainLoop, contiguous, loader, plain_optimizer, tuned_optimizer
from normbench.bench.contender import EVALUATED
from normbench.bench.material import Material
from normbench.bench.report import Check
from normbench.bench.tuned import TunedLoop, evaluation_loader, training_loader
from normbench.engine.feeding import EVALUATION_BATCH
from normbench.engine.precision import configure
from normbench.quantities import counted
from normbench.rungs import Rung

DEEPOBS = "DeepOBS-shaped loop"
WITHOUT_LOADER = "the same without its loader"


class _Yardstick:
    """A row that nothing is asked of."""

    members, deterministic = 1, False
    rung: Rung | None = None

    def bare(self) -> None:
        """Return nothing: it is measured as it is."""

    def checks(self) -> Sequence[Check]:
        """Return nothing."""
        return ()

    def close(self) -> None:
        """Do nothing."""


class DeepobsRow(_Yardstick):
    """The DeepOBS-shaped loop, with or without its loader.

    Args:
        material: What is trained.
        with_loader: Else all batches lie on the device beforehand.
    """

    def __init__(self, material: Material, *, with_loader: bool = True) -> None:
        self.name = DEEPOBS if with_loader else WITHOUT_LOADER
        self._journal = material.journal
        built, task, optimizer = material.built()
        contiguous(built.network)
        optimizer_spec = material.spec.optimizer
        decays = "weight_decay" in optimizer_spec.parameters
        decay = optimizer_spec.number("weight_decay") if decays else 0.0
        self._loop = PlainLoop(built, task, plain_optimizer(optimizer), decay, material.device)
        parts, dataset, size = material.parts, material.dataset, material.batch_size
        self.training = loader(parts["training"], dataset, material.augmentation, size)
        evaluated = [loader(parts[name], dataset, None, size) for name in EVALUATED]
        self._training = self.training if with_loader else _resident(self.training, material.device)
        self._evaluated = (
            evaluated if with_loader else [_resident(each, material.device) for each in evaluated]
        )

    def prepare(self) -> None:
        """Set torch's defaults, with cuDNN deterministic, as DeepOBS has them."""
        configure("fp32", deterministic=False, device=torch.device("cpu"))
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.deterministic = True

    def train(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        self._loop.train(self._training)

    def epoch(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        loss = self._loop.train(self._training)
        self._journal.write(loss=loss, evaluated=self._loop.evaluate(self._evaluated))


class TunedRow(_Yardstick):
    """The tuned DataLoader loop."""

    def __init__(self, material: Material, workers: int) -> None:
        self.name = tuned_name(workers)
        self._material = material
        built, task, optimizer = material.built()
        built.network.to(memory_format=torch.channels_last)
        precision, device = material.spec.protocol.rules.precision, material.device
        self._loop = TunedLoop(built, task, tuned_optimizer(optimizer), precision, device)
        parts, dataset = material.parts, material.dataset
        self._training = training_loader(
            parts["training"],
            dataset,
            material.augmentation,
            material.batch_size,
            workers,
            device,
        )
        self._evaluated = evaluation_loader(
            [parts[name] for name in EVALUATED],
            dataset,
            EVALUATION_BATCH[device.type],
            workers,
            device,
        )

    def prepare(self) -> None:
        """Set the protocol's precision, and let cuDNN choose by timing."""
        precision = self._material.spec.protocol.rules.precision
        configure(precision, deterministic=False, device=self._material.device)
        torch.backends.cudnn.benchmark = True

    def train(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        self._loop.train(self._training)

    def epoch(self) -> None:
        """See :class:`normbench.bench.contender.Contender`."""
        sums = self._loop.train(self._training)
        evaluated = self._loop.evaluate(self._evaluated)
        self._material.journal.write(sums=sums, evaluated=evaluated)


def tuned_name(workers: int) -> str:
    """Return the name of the tuned row with *workers* loader processes."""
    return f"tuned DataLoader loop, {counted(workers, 'worker')}"


def _resident(batches: Any, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Return all *batches*, on the device."""
    return [(inputs.to(device), targets.to(device)) for inputs, targets in batches]
