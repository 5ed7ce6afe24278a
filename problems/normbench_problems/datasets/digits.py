"""The digits of scikit-learn: 8×8 grey images, embedded in the package, no download.

Optical Recognition of Handwritten Digits. Alpaydin, Kaynak. UCI Machine Learning Repository, 1998,
doi:10.24432/C50P49. scikit-learn carries its test part of 1797 images.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from normbench import Data, DataRequest, Part

TEST_SHARE = 0.2
SPLIT_SEED = 0


def digits(request: DataRequest) -> Data:  # noqa: ARG001 - nothing lies in the data folder
    """Return 1438 train and 359 test images, uint8 (N, 8, 8, 1), and their digits.

    The source's grey levels 0 to 16 become 0 to 240 in steps of 15, exactly. It has no official
    split: the test part is a fifth of each digit, rounded, drawn once for all.
    """
    table = _table()
    inputs = (table[:, :-1] * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
    targets = table[:, -1].astype(np.int64)
    whole = Part(inputs, targets)
    test = test_indices(targets)
    train = np.setdiff1d(np.arange(len(targets)), test)
    return Data(train=whole.take(train), test=whole.take(test))


def _table() -> NDArray[np.float64]:
    """Return 1797 lines of 64 grey levels and a digit, (1797, 65).

    Importing scikit-learn takes longer than a short training, and its file needs nothing of it.
    """
    if (found := find_spec("sklearn")) is not None and found.origin is not None:
        file = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return np.column_stack([images, labels])


def test_indices(targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of the test part in ascending order.

    numpy keeps the streams of RandomState fixed for good, so the split never changes.
    """
    generator = np.random.RandomState(SPLIT_SEED)
    chosen = []
    for digit in range(10):
        members = np.flatnonzero(targets == digit)
        count = round(TEST_SHARE * len(members))
        chosen.append(generator.permutation(members)[:count])
    return np.sort(np.concatenate(chosen))
