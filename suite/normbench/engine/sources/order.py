"""What every batch source is, and the order in which an epoch visits its examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from normbench.engine.split import Indices
from normbench.rules import Rules
from normbench.streams import stream_seed
from normbench.tasks import Batch


class BatchSource(Protocol):
    """Where a step gets its batch from.

    Attributes:
        steps: Steps in an epoch.
        batch_size: Examples in a batch.
        examples: Examples trained on in an epoch.
        last_size: Examples in the last batch of an epoch.
        from_host: Whether each batch comes from the host; then no device can fetch it by itself.
    """

    from_host: ClassVar[bool]
    steps: int
    batch_size: int
    examples: int
    last_size: int

    def start_epoch(self, epoch: int) -> None:
        """Draw the order and the augmentation of *epoch*."""
        ...

    def batch(self, cursor: Tensor, size: int) -> Batch:
        """Return the *size* examples from position *cursor*, a 0-d int64 tensor on the device."""
        ...


class EvaluationSource(Protocol):
    """All examples of a part, unaugmented, each once.

    Attributes:
        examples: How many there are.
        from_host: Whether batches come from the host, so that no recording can repeat them.
    """

    examples: int
    from_host: ClassVar[bool]

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches that together hold every example once."""
        ...


class Order:
    """The order of an epoch: which training example comes at which position."""

    def __init__(self, indices: Indices, seed: int, batch_size: int, rules: Rules) -> None:
        self.indices = torch.from_numpy(np.ascontiguousarray(indices))
        self.seed = seed
        self.shuffle = rules.shuffle
        full, rest = divmod(len(indices), batch_size)
        partial = 0 if rules.drop_last else rest
        self.steps = full + (1 if partial else 0)
        self.last_size = partial or batch_size
        self.examples = full * batch_size + partial

    def draw(self, epoch: int) -> Tensor:
        """Return the positions of *epoch* as indices into the train part, on the CPU."""
        if not self.shuffle:
            return self.indices[: self.examples]
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "order", epoch))
        permutation = torch.randperm(len(self.indices), generator=generator)
        return self.indices[permutation[: self.examples]]
