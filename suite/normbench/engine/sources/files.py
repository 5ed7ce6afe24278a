"""Batches of image files, decoded by processes of their own while the device computes.

A batch is a function of (seed, epoch, its examples): crops and flips are keyed by (seed, epoch,
example), so results depend neither on how many processes decode nor on which of them does. Pixels
cross to the device as uint8, from pinned memory on CUDA, and are normalized there.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Examples

from normbench.augmentation import Augmentation
from normbench.data import Part
from normbench.descriptions import Dataset
from normbench.engine.sources.decoding import centre_view, random_view, read_image
from normbench.engine.sources.images import normalization
from normbench.engine.sources.order import Order
from normbench.errors import DataError, PluginError
from normbench.streams import stream_seed
from normbench.tasks import Batch

AHEAD = 2

Key = tuple[int, NDArray[np.int64]]
Pixels = tuple[Tensor, Tensor]


class FileSource:
    """Augmented batches of image files; :class:`Order` says which examples come when.

    Batches come in the order of the epoch, each once, whatever the cursor says.

    Args:
        part: Paths and classes.
        dataset: Gives size, mean and standard deviation of the images.
        order: Order of the examples.
        batch_size: Examples in a batch.
        augmentation: What is done to training images.
        device: Where batches go.
        processes: How many decode; 0 decodes in this one.
    """

    from_host: ClassVar[bool] = True

    def __init__(
        self,
        part: Part,
        dataset: Dataset,
        order: Order,
        batch_size: int,
        augmentation: Augmentation,
        device: torch.device,
        *,
        processes: int = 0,
    ) -> None:
        self.batch_size = batch_size
        self.steps, self.last_size, self.examples = order.steps, order.last_size, order.examples
        self._order = order
        self._keys: list[Key] = []
        views = _Views(part, _side(dataset), augmentation, order.seed)
        self._loader = _loader(views, self._keys, device, processes)
        self._batches: Iterator[Pixels | DataError] = iter(())
        self._arrival = _Arrival(dataset, device)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of *epoch* and begin to decode."""
        order = self._order.draw(epoch)
        self._keys[:] = [(epoch, chunk.numpy()) for chunk in torch.split(order, self.batch_size)]
        self._batches = iter(self._loader)

    def batch(self, cursor: Tensor, size: int) -> Batch:  # noqa: ARG002 - batches come in order
        """Return the next images as (B, C, H, W) in channels_last, normalized.

        Raises:
            DataError: If one of them cannot be decoded.
        """
        return self._arrival.batch(next(self._batches))


class FileEvaluation:
    """All image files of a part, resized and cut to their centre, in batches.

    Attributes:
        examples: How many there are.
    """

    from_host: ClassVar[bool] = True

    def __init__(
        self,
        part: Part,
        dataset: Dataset,
        batch_size: int,
        device: torch.device,
        *,
        processes: int = 0,
    ) -> None:
        self.examples = len(part)
        self._views = _Views(part, _side(dataset), None, 0)
        chunks = torch.split(torch.arange(len(part)), batch_size)
        self._keys: list[Key] = [(0, chunk.numpy()) for chunk in chunks]
        self._device, self._processes = device, processes
        self._arrival = _Arrival(dataset, device)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches that together hold every example once.

        Raises:
            DataError: If an image cannot be decoded.
        """
        for pixels in _loader(self._views, self._keys, self._device, self._processes, keep=False):
            yield self._arrival.batch(pixels)


class _Views(Examples[Pixels | DataError]):
    """Pixels and targets of a batch, by epoch and examples; made where the files are decoded."""

    def __init__(self, part: Part, side: int, words: Augmentation | None, seed: int) -> None:
        self._part, self._side, self._words, self._seed = part, side, words, seed

    def __getitem__(self, key: Key) -> Pixels | DataError:
        epoch, examples = key
        pixels = torch.empty((len(examples), self._side, self._side, 3), dtype=torch.uint8)
        try:
            for view, example in zip(pixels.numpy(), examples.tolist(), strict=True):
                view[:] = self._view(epoch, example)
        except DataError as error:
            # Raised where it is received: a loader process would wrap it in a traceback.
            return error
        return pixels, torch.from_numpy(self._part.targets[examples])

    def _view(self, epoch: int, example: int) -> NDArray[np.uint8]:
        image = read_image(str(self._part.inputs[example]))
        if self._words is None:
            return centre_view(image, self._side)
        seed = stream_seed(self._seed, "augmentation", epoch, example)
        return random_view(image, self._side, self._words, seed)


class _Arrival:
    """Takes pixels to the device and normalizes them there."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self._device = device
        self._scale, self._shift = normalization(dataset, _side(dataset), device)

    def batch(self, received: Pixels | DataError) -> Batch:
        if isinstance(received, DataError):
            try:
                raise received
            finally:
                # Or this frame and the error would keep each other, and the source, alive.
                del received
        pixels, targets = (side.to(self._device, non_blocking=True) for side in received)
        rows = pixels.view(-1, len(self._scale)).float()
        images = torch.addcmul(self._shift, rows, self._scale).view(pixels.shape)
        return Batch(images.permute(0, 3, 1, 2), targets)


def _loader(
    views: _Views, keys: Sequence[Key], device: torch.device, processes: int, *, keep: bool = True
) -> DataLoader[Pixels | DataError]:
    if processes:
        # A forked process must find no loader of an earlier run to finalize in its parent's place.
        gc.collect()
    return DataLoader(
        views,
        batch_size=None,
        sampler=keys,
        num_workers=processes,
        persistent_workers=keep and processes > 0,
        prefetch_factor=AHEAD if processes else None,
        pin_memory=device.type == "cuda",
        # Its own, so that nothing is drawn from the stream of layers that know no other.
        generator=torch.Generator(),
    )


def _side(dataset: Dataset) -> int:
    height, width, channels = dataset.shape
    if height != width or channels != 3:
        raise PluginError(
            f"dataset {dataset.name} has content 'files' and shape {dataset.shape}: expected "
            "square RGB images, (side, side, 3)."
        )
    return height
