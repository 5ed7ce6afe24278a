"""Splitting the official train part into training and validation examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normbench.streams import stream_seed

Indices = NDArray[np.int64]


def split_indices(
    targets: NDArray[Any], share: float, seed: int, *, classes: int
) -> tuple[Indices, Indices]:
    """Return the indices (training, validation), each in ascending order.

    With *classes* the split is stratified: each class gives its own share, rounded. Without, the
    examples are one class. The same seed gives the same split everywhere.

    Args:
        targets: Targets of the official train part, (N, ...).
        share: Share held out, in [0, 1).
        seed: Drives the draw.
        classes: Number of classes, 0 if targets are not classes.
    """
    generator = np.random.default_rng(stream_seed(seed, "split"))
    labels = targets if classes else np.zeros(len(targets), dtype=np.int64)
    held_out = np.zeros(len(targets), dtype=bool)
    for label in range(max(classes, 1)):
        members = np.flatnonzero(labels == label)
        count = round(share * len(members))
        held_out[generator.permutation(members)[:count]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
