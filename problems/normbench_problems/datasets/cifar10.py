"""CIFAR-10: 32×32 colour photographs of ten classes.

Learning Multiple Layers of Features from Tiny Images. Krizhevsky. University of Toronto, 2009.
"""

from __future__ import annotations

from torchvision.datasets import CIFAR10

from normbench import Data, DataRequest
from normbench_problems.datasets import official_files, table


def cifar10(request: DataRequest) -> Data:
    """Return 50 000 train and 10 000 test images, uint8 (N, 32, 32, 3), and their classes.

    Raises:
        DataError: If a file is missing or corrupt, or cannot be fetched.
    """
    return official_files.read(table.CIFAR10, request, CIFAR10, CIFAR10.url)
