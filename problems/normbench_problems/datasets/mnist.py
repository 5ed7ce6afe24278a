"""MNIST: 28×28 grey images of handwritten digits.

Gradient-Based Learning Applied to Document Recognition. LeCun, Bottou, Bengio, Haffner. Proceedings
of the IEEE 86, 1998, doi:10.1109/5.726791.
"""

from __future__ import annotations

from torchvision import datasets

from normbench import Data, DataRequest
from normbench_problems.datasets import official_files, table


class MNIST(datasets.MNIST):  # type: ignore[misc]
    """torchvision's class, which finds its folder by this name, reading the official files only."""

    def _check_legacy_exist(self) -> bool:
        # Old versions of torchvision left unchecked copies that would be read in their place.
        return False


def mnist(request: DataRequest) -> Data:
    """Return 60 000 train and 10 000 test images, uint8 (N, 28, 28, 1), and their digits.

    Raises:
        DataError: If a file is missing or corrupt, or cannot be fetched.
    """
    return official_files.read(table.MNIST, request, MNIST, MNIST.mirrors[0])
