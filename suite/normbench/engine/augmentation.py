"""Batched augmentation: words such as ``pad_crop:4``, drawn for a whole epoch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from normbench.errors import UsageError

WORDS = "pad_crop:PIXELS, flip, colour_jitter"
BRIGHTNESS = 63 / 255
CONTRAST = (0.2, 1.8)
SATURATION = (0.5, 1.5)
_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images.

    Attributes:
        pad: Zero pixels added on each side before a random crop back to the original size.
        flip: Mirror left-right with probability 1/2.
        colour_jitter: DeepOBS's change of brightness, contrast and saturation.
    """

    pad: int = 0
    flip: bool = False
    colour_jitter: bool = False

    @classmethod
    def parse(cls, words: Sequence[str]) -> Augmentation:
        """Read augmentation words; crop, flip and jitter commute, so their order is free.

        Raises:
            UsageError: If a word is unknown or its number does not fit.
        """
        pad, flip, jitter = 0, False, False
        for word in words:
            name, _, number = word.partition(":")
            if name == "pad_crop" and number.isdecimal() and int(number) > 0:
                pad = int(number)
            elif word == "flip":
                flip = True
            elif word == "colour_jitter":
                jitter = True
            else:
                raise UsageError(f"unknown augmentation {word!r}: expected words among {WORDS}.")
        return cls(pad, flip, jitter)

    def draw_geometry(
        self, count: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return int64 (flip, down, right) for *count* images: 0 or 1, and offsets in [0, 2·pad].

        Three numbers are drawn whatever is switched on, so that one switch does not move another's.
        """
        flip = torch.randint(2, (count,), generator=generator)
        offsets = torch.rand((2, count), generator=generator)
        down, right = (offsets * (2 * self.pad + 1)).long().unbind()
        return flip if self.flip else torch.zeros_like(flip), down, right


def draw_jitter(count: int, generator: torch.Generator) -> Tensor:
    """Return the factors (3, count) of brightness, contrast and saturation, each uniform."""
    unit = torch.rand((3, count), generator=generator)
    low = torch.tensor([1 - BRIGHTNESS, CONTRAST[0], SATURATION[0]])[:, None]
    high = torch.tensor([1 + BRIGHTNESS, CONTRAST[1], SATURATION[1]])[:, None]
    return low + unit * (high - low)


def jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Change colours of (B, H, W, 3) images in [0, 1] by *factors* (3, B).

    Brightness multiplies; contrast blends with the mean grey of the image, saturation with each
    pixel's grey; each result is clipped to [0, 1]. torchvision's ColorJitter draws the order of the
    three anew for each image; here it is fixed.
    """
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind()
    weights = images.new_tensor(_GREY)
    images = (images * brightness).clamp_(0, 1)
    mean = (images * weights).sum(-1, keepdim=True).mean((1, 2), keepdim=True)
    images = torch.lerp(mean, images, contrast).clamp_(0, 1)
    grey = (images * weights).sum(-1, keepdim=True)
    return torch.lerp(grey, images, saturation).clamp_(0, 1)
