"""Batches of images resident on the device: shuffle, crop and flip are one gather."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from normbench.augmentation import Augmentation
from normbench.data import Part
from normbench.descriptions import Dataset
from normbench.engine.augmentation import draw_geometry, draw_jitter, jitter
from normbench.engine.sources.order import Order
from normbench.engine.transfer import send
from normbench.streams import stream_seed
from normbench.tasks import Batch


class ImageSource:
    """Augmented image batches: shuffle, crop and flip are one gather of pixel rows.

    The images lie on the device as uint8 with their padding, and once more mirrored. A crop is then
    H runs of W·C bytes, wherever they start; the result is (B, H, W, C), which is channels_last
    without a copy. Normalization is one multiply-add.
    """

    from_host: ClassVar[bool] = False

    def __init__(
        self,
        part: Part,
        dataset: Dataset,
        order: Order,
        batch_size: int,
        augmentation: Augmentation,
        device: torch.device,
        *,
        crop_per: str = "image",
    ) -> None:
        self.batch_size = batch_size
        self._crops_shared_by = batch_size if crop_per == "batch" else 1
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
        self._scale, self._shift = normalization(dataset, self._width, device)
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
        first = torch.arange(len(order)) // self._crops_shared_by * self._crops_shared_by
        down, right = down[first], right[first]
        image = flip * self._slots + self._slot[order]
        start = image * self._image_pixels + down * self._row_pixels + right
        send(order, self._order)
        send(start, self._start)
        if self._augmentation.colour_jitter:
            send(draw_jitter(len(order), generator), self._factors)

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


def normalization(dataset: Dataset, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (scale, shift) for a row of *width* pixels: (u/255 - mean)/std = u·scale + shift."""
    mean = torch.tensor(dataset.mean, dtype=torch.float64)
    std = torch.tensor(dataset.std, dtype=torch.float64)
    scale, shift = 1 / (255 * std), -mean / std
    return scale.float().repeat(width).to(device), shift.float().repeat(width).to(device)
