"""From an image file to the pixels of one view of it. Needs Pillow, as torchvision does.

The views are torchvision's, pixel by pixel; only the random numbers come from elsewhere.
"""

from __future__ import annotations

import math
import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from normbench.augmentation import Augmentation
from normbench.errors import DataError

Pixels = NDArray[np.uint8]

# Of RandomResizedCrop: share of the image's area, width by height, and tries before the centre.
AREA = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
TRIES = 10
# Images are evaluated at 224 of the 256 pixels that their shorter side is resized to.
MARGIN = 256 / 224


def read_image(path: str) -> Image.Image:
    """Return the image in *path* as RGB.

    Raises:
        DataError: If it is missing or cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"image {path} cannot be read: {type(error).__name__}: {error}. Expected an image file "
            "such as JPEG; unpack it again from the dataset's archive."
        ) from error


def random_view(image: Image.Image, side: int, words: Augmentation, seed: int) -> Pixels:
    """Return a training view, uint8 (side, side, 3).

    A flip is drawn whether or not there is one, so that one switch does not move another's numbers.

    Args:
        image: RGB.
        side: Pixels.
        words: With *resized_crop* a random part of the image is resized, else the view is the one
            evaluated; with *flip* it is mirrored with probability 1/2.
        seed: Every number drawn depends on it alone.
    """
    numbers = random.Random(seed)
    mirrored = numbers.random() < 0.5 and words.flip
    if words.resized_crop:
        box = crop_box(image.width, image.height, numbers)
        view = image.crop(box).resize((side, side), Image.Resampling.BILINEAR)
    else:
        view = _centre(image, side)
    if mirrored:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(view)


def centre_view(image: Image.Image, side: int) -> Pixels:
    """Return the view that is evaluated, uint8 (side, side, 3).

    The shorter side is resized to side·256/224, and the centre is cut out.
    """
    return np.asarray(_centre(image, side))


def crop_box(width: int, height: int, numbers: random.Random) -> tuple[int, int, int, int]:
    """Draw (left, upper, right, lower): area and logarithm of the aspect ratio are uniform.

    Where ten draws do not fit the image, the box is the largest central one of an allowed ratio.
    """
    low, high = (math.log(bound) for bound in RATIO)
    for _ in range(TRIES):
        area = width * height * (AREA[0] + numbers.random() * (AREA[1] - AREA[0]))
        ratio = math.exp(low + numbers.random() * (high - low))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            left = int(numbers.random() * (width - across + 1))
            upper = int(numbers.random() * (height - down + 1))
            return left, upper, left + across, upper + down
    return _central_box(width, height)


def _central_box(width: int, height: int) -> tuple[int, int, int, int]:
    ratio = width / height
    across = width if ratio <= RATIO[1] else round(height * RATIO[1])
    down = height if ratio >= RATIO[0] else round(width / RATIO[0])
    left, upper = (width - across) // 2, (height - down) // 2
    return left, upper, left + across, upper + down


def _centre(image: Image.Image, side: int) -> Image.Image:
    shorter = round(side * MARGIN)
    width, height = (int(shorter * length / min(image.size)) for length in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    left, upper = round((width - side) / 2), round((height - side) / 2)
    return resized.crop((left, upper, left + side, upper + side))
