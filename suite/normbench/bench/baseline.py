"""The loop that DeepOBS-shaped harnesses train with, as the yardstick of ``normbench bench``.

Examples go one by one through PIL transforms in a DataLoader, the weight decay is a sum over
parameters inside the loss, the optimizer updates tensor by tensor, and every step reads its loss
and its accuracy back to the host. Augmentation, batch size and evaluations are those of the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

Batches = Iterable[tuple[Tensor, Tensor]]


class Examples(Dataset[tuple[Any, Tensor]]):
    """Examples one at a time, each through the transforms of its dataset.

    Args:
        part: The examples.
        dataset: What they are.
        augmentation: Of images, at random.
    """

    def __init__(
        self, part: Part, dataset: DatasetDescription, augmentation: Augmentation | None = None
    ) -> None:
        self._part = part
        self._transform = _transform(dataset, augmentation or Augmentation())

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        return self._transform(self._part.inputs[index]), torch.as_tensor(self._part.targets[index])


def loader(
    part: Part, dataset: DatasetDescription, augmentation: Augmentation | None, batch_size: int
) -> DataLoader[Any]:
    """Return a DataLoader over *part*; shuffled and augmented if *augmentation* is given."""
    training = augmentation is not None
    return DataLoader(
        Examples(part, dataset, augmentation),
        batch_size=batch_size,
        shuffle=training,
        drop_last=training,
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
    """Trains and evaluates the DeepOBS way.

    Args:
        built: The network.
        task: Loss and metrics.
        optimizer: As :func:`plain_optimizer` makes it.
        weight_decay: L2 coefficient of the sum in the loss.
        device: Where the network is.
    """

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

    def train(self, training: Batches) -> float:
        """Train on *training* once; return the mean of the losses."""
        self._network.train()
        total, steps = 0.0, 0
        for inputs, targets in training:
            batch = Batch(inputs.to(self._device), targets.to(self._device))
            self._optimizer.zero_grad()
            scores = self._task(self._network, batch, {})
            loss = scores.loss + self._regularization()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            total, steps = total + loss.item(), steps + 1
            scores.sums[-1].item()
        return total / max(steps, 1)

    def evaluate(self, parts: Sequence[Batches]) -> list[float]:
        """Return the sum of the losses on each of *parts*."""
        self._network.eval()
        return [self._evaluate(part) for part in parts]

    def _regularization(self) -> Tensor | float:
        if not self._weight_decay:
            return 0.0
        squares = torch.zeros((), device=self._device)
        for parameter in self._decayed:
            squares = squares + parameter.pow(2).sum()
        return 0.5 * self._weight_decay * squares

    @torch.no_grad()
    def _evaluate(self, part: Batches) -> float:
        total = 0.0
        for inputs, targets in part:
            batch = Batch(inputs.to(self._device), targets.to(self._device))
            total += self._task(self._network, batch, {}).sums[0].item()
        return total


def plain_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return an optimizer of the same class and values that updates tensor by tensor, undecayed."""
    return _remade(optimizer, decays=False, foreach=False)


def tuned_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return an optimizer of the same class and values that updates all tensors at once."""
    return _remade(optimizer, decays=True, foreach=True)


def _remade(
    optimizer: torch.optim.Optimizer, *, decays: bool, foreach: bool
) -> torch.optim.Optimizer:
    """Return *optimizer* made anew; as it is if its class does not take torch's keywords."""
    kind = type(optimizer)
    way: dict[str, Any] = {"fused": False, "foreach": foreach}
    left_out = {*way, *(() if decays else ("weight_decay",))}
    values = {name: v for name, v in optimizer.defaults.items() if name not in left_out}
    kept = ("params", "lr", *(("weight_decay",) if decays else ()))
    groups = [
        {name: value for name, value in group.items() if name in kept}
        for group in optimizer.param_groups
    ]
    try:
        return kind(groups, **values, **way)
    except TypeError:
        return optimizer


def contiguous(network: nn.Module) -> nn.Module:
    """Return *network* with its weights in torch's default layout."""
    return network.to(memory_format=torch.contiguous_format)
