"""Evaluation of images and tables that lie on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench.data import Part
from normbench.descriptions import Dataset
from normbench.engine.sources.images import normalization
from normbench.tasks import Batch


class Evaluation:
    """All examples of a part, unaugmented, in batches; the last one may be smaller.

    Args:
        part: The examples.
        dataset: What they are.
        batch_size: Examples in a batch.
        device: Where they lie.
        shrink: Zeros put around a normalized image on each side before it is shrunk to its size by
            bilinear interpolation, as Keras's RandomCrop does outside training; 0 leaves it alone.
    """

    from_host: ClassVar[bool] = False

    def __init__(
        self,
        part: Part,
        dataset: Dataset,
        batch_size: int,
        device: torch.device,
        *,
        shrink: int = 0,
    ) -> None:
        self.examples = len(part)
        self._shrink = shrink
        self._batch_size = batch_size
        self._images = dataset.content == "images"
        self._inputs = torch.from_numpy(np.ascontiguousarray(part.inputs)).to(device)
        self._targets = torch.from_numpy(np.ascontiguousarray(part.targets)).to(device)
        if self._images:
            width = part.inputs.shape[2]
            self._scale, self._shift = normalization(dataset, width, device)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches that together hold every example once."""
        for start in range(0, self.examples, self._batch_size):
            stop = start + self._batch_size
            yield Batch(self._normalized(self._inputs[start:stop]), self._targets[start:stop])

    def _normalized(self, inputs: Tensor) -> Tensor:
        if not self._images:
            return inputs
        rows = inputs.reshape(-1, len(self._scale)).float()
        pixels = torch.addcmul(self._shift, rows, self._scale).view(inputs.shape)
        images = pixels.permute(0, 3, 1, 2)
        if not self._shrink:
            return images
        padded = F.pad(images, [self._shrink] * 4)
        return F.interpolate(padded, images.shape[2:], mode="bilinear", align_corners=False)
