"""Batch sources: examples resident on the device, a batch made by one gather.

A source draws an epoch's order and augmentation on the CPU from the run's own streams and copies
them to tensors that stay where they are. A batch is then a function of a cursor on the device:
no host input and no host sync in a step, and nothing that a captured step could not replay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from normbench.augmentation import Augmentation
from normbench.data import Part
from normbench.descriptions import Dataset
from normbench.engine.augmentation import draw_geometry, draw_jitter, jitter
from normbench.engine.split import Indices
from normbench.rules import Rules
from normbench.streams import stream_seed
from normbench.tasks import Batch


class BatchSource(Protocol):
    """Where a step gets its batch from.

    Attributes:
        steps: Steps in an epoch.
        batch_size: Examples in a batch.
        examples: Examples trained on in an epoch.
        last_size: Examples in the last batch of an epoch.
    """

    steps: int
    batch_size: int
    examples: int
    last_size: int

    def start_epoch(self, epoch: int) -> None:
        """Draw the order and the augmentation of *epoch*."""
        ...

    def batch(self, cursor: Tensor, size: int) -> Batch:
        """Return the *size* examples from position *cursor*, a 0-d int64 tensor on the device."""
        ...


class Order:
    """The order of an epoch: which training example comes at which position."""

    def __init__(self, indices: Indices, seed: int, batch_size: int, rules: Rules) -> None:
        self.indices = torch.from_numpy(np.ascontiguousarray(indices))
        self.seed = seed
        self.shuffle = rules.shuffle
        full, rest = divmod(len(indices), batch_size)
        partial = 0 if rules.drop_last else rest
        self.steps = full + (1 if partial else 0)
        self.last_size = partial or batch_size
        self.examples = full * batch_size + partial

    def draw(self, epoch: int) -> Tensor:
        """Return the positions of *epoch* as indices into the train part, on the CPU."""
        if not self.shuffle:
            return self.indices[: self.examples]
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "order", epoch))
        permutation = torch.randperm(len(self.indices), generator=generator)
        return self.indices[permutation[: self.examples]]


class TableSource:
    """Batches from a table of float examples."""

    def __init__(self, part: Part, order: Order, batch_size: int, device: torch.device) -> None:
        self.batch_size = batch_size
        self.steps, self.last_size, self.examples = order.steps, order.last_size, order.examples
        self._draw = order
        self._inputs = torch.from_numpy(part.inputs).to(device)
        self._targets = torch.from_numpy(part.targets).to(device)
        self._order = torch.zeros(order.examples, dtype=torch.int64, device=device)
        self._steps_in = torch.arange(batch_size, device=device)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of *epoch*."""
        self._order.copy_(self._draw.draw(epoch))

    def batch(self, cursor: Tensor, size: int) -> Batch:
        """Return *size* rows in the epoch's order."""
        rows = self._order.index_select(0, self._steps_in[:size] + cursor)
        return Batch(self._inputs.index_select(0, rows), self._targets.index_select(0, rows))


class ImageSource:
    """Augmented image batches: shuffle, crop and flip are one gather of pixel rows.

    The images lie on the device as uint8 with their padding, and once more mirrored. A crop is then
    H runs of W·C bytes, wherever they start; the result is (B, H, W, C), which is channels_last
    without a copy. Normalization is one multiply-add.
    """

    def __init__(
        self,
        part: Part,
        dataset: Dataset,
        order: Order,
        batch_size: int,
        augmentation: Augmentation,
        device: torch.device,
    ) -> None:
        self.batch_size = batch_size
        self.steps, self.last_size, self.examples = order.steps, order.last_size, order.examples
        self._draw = order
        self._augmentation = augmentation
        self._height, self._width, self._channels = part.inputs.shape[1:]
        pad = augmentation.pad
        self._row_pixels = self._width + 2 * pad
        self._image_pixels = self._row_pixels * (self._height + 2 * pad)
        used = np.unique(order.indices.numpy())
        self._slot = torch.zeros(len(part), dtype=torch.int64)
        self._slot[torch.from_numpy(used)] = torch.arange(len(used))
        self._slots = len(used)
        self._rows = _pixel_rows(part.inputs[used], augmentation, device)
        self._targets = torch.from_numpy(part.targets).to(device)
        self._scale, self._shift = _normalization(dataset, self._width, device)
        self._order = torch.zeros(order.examples, dtype=torch.int64, device=device)
        self._start = torch.zeros(order.examples, dtype=torch.int64, device=device)
        self._factors = torch.ones((3, order.examples), device=device)
        self._steps_in = torch.arange(batch_size, device=device)
        self._row_starts = torch.arange(self._height, device=device) * self._row_pixels

    def start_epoch(self, epoch: int) -> None:
        """Draw the order, crops, flips and colours of *epoch*."""
        order = self._draw.draw(epoch)
        seed = stream_seed(self._draw.seed, "augmentation", epoch)
        generator = torch.Generator().manual_seed(seed)
        flip, down, right = draw_geometry(self._augmentation, len(order), generator)
        image = flip * self._slots + self._slot[order]
        start = image * self._image_pixels + down * self._row_pixels + right
        self._order.copy_(order)
        self._start.copy_(start)
        if self._augmentation.colour_jitter:
            self._factors.copy_(draw_jitter(len(order), generator))

    def batch(self, cursor: Tensor, size: int) -> Batch:
        """Return *size* images as (B, C, H, W) in channels_last, normalized."""
        positions = self._steps_in[:size] + cursor
        starts = self._start.index_select(0, positions)[:, None] + self._row_starts
        pixels = self._rows.index_select(0, (starts * self._channels).view(-1))
        if self._augmentation.colour_jitter:
            pixels = self._jittered(pixels, positions)
        inputs = torch.addcmul(self._shift, pixels.float(), self._scale)
        images = inputs.view(size, self._height, self._width, self._channels)
        targets = self._targets.index_select(0, self._order.index_select(0, positions))
        return Batch(images.permute(0, 3, 1, 2), targets)

    def _jittered(self, pixels: Tensor, positions: Tensor) -> Tensor:
        images = pixels.view(-1, self._height, self._width, self._channels).float() / 255
        changed = jitter(images, self._factors.index_select(1, positions))
        return (changed * 255).view(pixels.shape)


class Evaluation:
    """All examples of a part, unaugmented, in batches; the last one may be smaller."""

    def __init__(self, part: Part, dataset: Dataset, batch_size: int, device: torch.device) -> None:
        self.examples = len(part)
        self._batch_size = batch_size
        self._images = dataset.content == "images"
        self._inputs = torch.from_numpy(np.ascontiguousarray(part.inputs)).to(device)
        self._targets = torch.from_numpy(np.ascontiguousarray(part.targets)).to(device)
        if self._images:
            width = part.inputs.shape[2]
            self._scale, self._shift = _normalization(dataset, width, device)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches that together hold every example once."""
        for start in range(0, self.examples, self._batch_size):
            stop = start + self._batch_size
            yield Batch(self._normalized(self._inputs[start:stop]), self._targets[start:stop])

    def _normalized(self, inputs: Tensor) -> Tensor:
        if not self._images:
            return inputs
        rows = inputs.reshape(-1, len(self._scale)).float()
        return torch.addcmul(self._shift, rows, self._scale).view(inputs.shape).permute(0, 3, 1, 2)


def _pixel_rows(images: np.ndarray, augmentation: Augmentation, device: torch.device) -> Tensor:
    """Return a view whose row b is the W·C bytes that start at byte b of the padded images."""
    pad, (height, width, channels) = augmentation.pad, images.shape[1:]
    mirrors = 2 if augmentation.flip else 1
    shape = (mirrors, len(images), height + 2 * pad, width + 2 * pad, channels)
    store = torch.zeros(shape, dtype=torch.uint8, device=device)
    source = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    store[0, :, pad : pad + height, pad : pad + width] = source
    if augmentation.flip:
        store[1].copy_(store[0].flip(2))
    length = width * channels
    return store.view(-1).as_strided((store.numel() - length + 1, length), (1, 1))


def _normalization(dataset: Dataset, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (scale, shift) for a row of *width* pixels: (u/255 - mean)/std = u·scale + shift."""
    mean = torch.tensor(dataset.mean, dtype=torch.float64)
    std = torch.tensor(dataset.std, dtype=torch.float64)
    scale, shift = 1 / (255 * std), -mean / std
    return scale.float().repeat(width).to(device), shift.float().repeat(width).to(device)
