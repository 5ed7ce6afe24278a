"""The loop that DeepOBS-shaped harnesses train with, as the yardstick of ``normbench bench``.

Examples go one by one through PIL transforms in a DataLoader, the weight decay is a sum over
parameters inside the loss, the optimizer updates tensor by tensor, and every step reads its loss
and its accuracy back to the host. Augmentation, batch size and evaluations are those of the engine.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from normbench.augmentation import Augmentation
from normbench.data import Part
from normbench.descriptions import Dataset as DatasetDescription
from normbench.engine.augmentation import BRIGHTNESS, CONTRAST, SATURATION
from normbench.roles import Built, Role
from normbench.tasks import Batch, Task


class _Examples(Dataset[tuple[Any, Tensor]]):
    """Examples one at a time, each through its transform."""

    def __init__(self, part: Part, transform: Any) -> None:
        self._part, self._transform = part, transform

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        return self._transform(self._part.inputs[index]), torch.as_tensor(self._part.targets[index])


def loader(
    part: Part,
    dataset: DatasetDescription,
    augmentation: Augmentation | None,
    batch_size: int,
    workers: int = 0,
) -> DataLoader[Any]:
    """Return a DataLoader over *part*; shuffled and augmented if *augmentation* is given."""
    training = augmentation is not None
    return DataLoader(
        _Examples(part, _transform(dataset, augmentation or Augmentation())),
        batch_size=batch_size,
        shuffle=training,
        drop_last=training,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=workers > 0 and torch.cuda.is_available(),
    )


def _transform(dataset: DatasetDescription, augmentation: Augmentation) -> Any:
    if dataset.content != "images":
        return torch.from_numpy
    chain: list[Any] = [transforms.ToPILImage()]
    if augmentation.pad:
        chain += [transforms.Pad(augmentation.pad), transforms.RandomCrop(dataset.shape[:2])]
    if augmentation.flip:
        chain.append(transforms.RandomHorizontalFlip())
    if augmentation.colour_jitter:
        chain.append(
            transforms.ColorJitter(brightness=BRIGHTNESS, contrast=CONTRAST, saturation=SATURATION)
        )
    chain += [transforms.ToTensor(), transforms.Normalize(dataset.mean, dataset.std)]
    return transforms.Compose(chain)


class PlainLoop:
    """Trains an epoch and evaluates, the DeepOBS way."""

    def __init__(
        self,
        built: Built,
        task: Task,
        optimizer: torch.optim.Optimizer,
        weight_decay: float,
        device: torch.device,
    ) -> None:
        self._network, self._task = built.network, task
        self._optimizer, self._weight_decay, self._device = optimizer, weight_decay, device
        self._decayed = [p.parameter for p in built.parameters if p.role is Role.WEIGHT]

    def epoch(self, training: DataLoader[Any], evaluated: list[DataLoader[Any]]) -> None:
        """Train on *training* once, then evaluate on each of *evaluated*."""
        self._network.train()
        for inputs, targets in training:
            batch = Batch(inputs.to(self._device), targets.to(self._device))
            self._optimizer.zero_grad()
            scores = self._task(self._network, batch, {})
            loss = scores.loss + self._regularization()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            loss.item()
            scores.sums[-1].item()
        self._network.eval()
        for part in evaluated:
            self._evaluate(part)

    def _regularization(self) -> Tensor | float:
        if not self._weight_decay:
            return 0.0
        squares = torch.zeros((), device=self._device)
        for parameter in self._decayed:
            squares = squares + parameter.pow(2).sum()
        return 0.5 * self._weight_decay * squares

    @torch.no_grad()
    def _evaluate(self, part: DataLoader[Any]) -> float:
        total = 0.0
        for inputs, targets in part:
            batch = Batch(inputs.to(self._device), targets.to(self._device))
            total += self._task(self._network, batch, {}).sums[0].item()
        return total


def plain_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return an optimizer of the same class and values that updates tensor by tensor, undecayed.

    Classes that do not take torch's common keywords are used as they are.
    """
    kind = type(optimizer)
    fast: dict[str, Any] = {"fused": False, "foreach": False}
    values = {k: v for k, v in optimizer.defaults.items() if k not in (*fast, "weight_decay")}
    groups = [{"params": group["params"], "lr": group["lr"]} for group in optimizer.param_groups]
    try:
        return kind(groups, **values, **fast)
    except TypeError:
        return optimizer


def contiguous(network: nn.Module) -> nn.Module:
    """Return *network* with its weights in torch's default layout."""
    return network.to(memory_format=torch.contiguous_format)
