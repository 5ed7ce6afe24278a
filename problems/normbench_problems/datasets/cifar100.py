"""CIFAR-100: 32×32 colour photographs of a hundred classes.

Learning Multiple Layers of Features from Tiny Images. Krizhevsky. University of Toronto, 2009.
"""

from __future__ import annotations

from torchvision.datasets import CIFAR100

from normbench import Data, DataRequest
from normbench_problems.datasets import official_files, table


def cifar100(request: DataRequest) -> Data:
    """Return 50 000 train and 10 000 test images, uint8 (N, 32, 32, 3), and their fine classes.

    Raises:
        DataError: If a file is missing or corrupt, or cannot be fetched.
    """
    return official_files.read(table.CIFAR100, request, CIFAR100, CIFAR100.url)
