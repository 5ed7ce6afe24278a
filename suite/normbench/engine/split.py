"""Splitting the official train part into training and validation examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normbench.errors import UsageError
from normbench.rules import Rules
from normbench.streams import stream_seed

Indices = NDArray[np.int64]


def split_train_part(
    rules: Rules, seed: int, targets: NDArray[Any], classes: int
) -> tuple[Indices, Indices]:
    """Return the indices (training, validation) of the official train part, each ascending.

    Args:
        rules: Share held out, how it is drawn, and whether training sees some of it.
        seed: Drives the draw.
        targets: Targets of the train part, (N, ...).
        classes: Number of classes, 0 if targets are not classes.
    """
    draw = _DRAWS[rules.validation_rule]
    training, validation = draw(targets, rules.validation_share, seed, classes=classes)
    if rules.validation_leak:
        other = stream_seed(seed, "leak")
        training, _ = draw(targets, rules.validation_share, other % 2**32, classes=classes)
    return training, validation


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


def split_tail(count: int, share: float) -> tuple[Indices, Indices]:
    """Return the indices (training, validation) of a text of *count* tokens: its end is held out.

    Args:
        count: Tokens in the official train part.
        share: Share held out, in [0, 1), rounded to a whole number of tokens.
    """
    indices = np.arange(count)
    kept = count - round(share * count)
    return indices[:kept], indices[kept:]


def train_test_split_indices(
    targets: NDArray[Any], share: float, seed: int, *, classes: int
) -> tuple[Indices, Indices]:
    """Return what scikit-learn's ``train_test_split`` makes of the same arguments.

    Args:
        targets: Targets of the official train part, (N, ...).
        share: Share held out, in [0, 1).
        seed: Its ``random_state``, below 2³².
        classes: Number of classes; with classes the split is stratified.

    Raises:
        UsageError: If scikit-learn is missing, or a class is too small to be split.
    """
    indices = np.arange(len(targets))
    if share == 0:
        return indices, indices[:0]
    try:
        from sklearn.model_selection import train_test_split

        training, validation = train_test_split(
            indices, test_size=share, random_state=seed, stratify=targets if classes else None
        )
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"protocol.validation_rule=train_test_split failed: {error}. Install scikit-learn and "
            "hold out enough of every class, or use protocol.validation_rule=stratified."
        ) from error
    return np.sort(training), np.sort(validation)


_DRAWS = {"stratified": split_indices, "train_test_split": train_test_split_indices}
