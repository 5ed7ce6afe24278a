"""Fashion-MNIST: 28×28 grey images of ten kinds of clothing.

Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms. Xiao, Rasul,
Vollgraf. 2017, arXiv:1708.07747.
"""

from __future__ import annotations

from torchvision import datasets

from normbench import Data, DataRequest
from normbench_problems.datasets import official_files, table


class FashionMNIST(datasets.FashionMNIST):  # type: ignore[misc]
    """torchvision's class, which finds its folder by this name, reading the official files only."""

    def _check_legacy_exist(self) -> bool:
        # Old versions of torchvision left unchecked copies that would be read in their place.
        return False


def fmnist(request: DataRequest) -> Data:
    """Return 60 000 train and 10 000 test images, uint8 (N, 28, 28, 1), and their classes.

    Raises:
        DataError: If a file is missing or corrupt, or cannot be fetched.
    """
    return official_files.read(
        table.FMNIST, request, FashionMNIST, "https://github.com/zalandoresearch/fashion-mnist"
    )
