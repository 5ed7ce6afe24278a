"""ImageNet: photographs of a thousand kinds of things, read from their files.

ImageNet Large Scale Visual Recognition Challenge. Russakovsky et al. IJCV 2015, arXiv:1409.0575.
"""

from __future__ import annotations

from normbench import Data, DataRequest
from normbench_problems.datasets import image_folder, streamed_table


def imagenet(request: DataRequest) -> Data:
    """Return the paths of 1 281 167 train and 50 000 validation images, and their classes.

    The official validation part serves as test part; the challenge's test part has no labels.

    Raises:
        DataError: If a folder is missing, or holds other numbers of classes or images.
    """
    return image_folder.read(streamed_table.IMAGENET, request)
