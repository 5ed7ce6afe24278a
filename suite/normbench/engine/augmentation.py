"""Batched augmentation: drawn for a whole epoch at once, applied to a whole batch."""

from __future__ import annotations

import torch
from torch import Tensor

from normbench.augmentation import Augmentation

BRIGHTNESS = 63 / 255
CONTRAST = (0.2, 1.8)
SATURATION = (0.5, 1.5)
_GREY = (0.299, 0.587, 0.114)


def draw_geometry(
    augmentation: Augmentation, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return int64 (flip, down, right) for *count* images: 0 or 1, and offsets in [0, 2·pad].

    Three numbers are drawn whatever is switched on, so that one switch does not move another's.
    """
    flip = torch.randint(2, (count,), generator=generator)
    offsets = torch.rand((2, count), generator=generator)
    down, right = (offsets * (2 * augmentation.pad + 1)).long().unbind()
    return flip if augmentation.flip else torch.zeros_like(flip), down, right


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
