"""Street View House Numbers: 32×32 colour photographs of digits.

Reading Digits in Natural Images with Unsupervised Feature Learning. Netzer, Wang, Coates, Bissacco,
Wu, Ng. NIPS Workshop on Deep Learning and Unsupervised Feature Learning, 2011.
"""

from __future__ import annotations

from pathlib import Path

from torchvision import datasets

from normbench import Data, DataRequest
from normbench_problems.datasets import official_files, table

FOLDER = "SVHN"
ADDRESS = "http://ufldl.stanford.edu/housenumbers/"


class _Reader:
    """torchvision's class as the other datasets' are: its parts are called train and test."""

    def __init__(self, root: Path, *, train: bool, download: bool = False) -> None:
        folder = root / FOLDER
        if download:
            folder.mkdir(parents=True, exist_ok=True)
            datasets.SVHN(folder, split="test", download=True)
        part = datasets.SVHN(folder, split="train" if train else "test", download=download)
        self.data = part.data.transpose(0, 2, 3, 1)
        self.targets = part.labels


def svhn(request: DataRequest) -> Data:
    """Return 73 257 train and 26 032 test images, uint8 (N, 32, 32, 3), and their digits.

    The 531 131 easier images of the part called extra are not used, as in DeepOBS.

    Raises:
        DataError: If a file is missing or corrupt, or cannot be fetched.
    """
    return official_files.read(table.SVHN, request, _Reader, ADDRESS)
