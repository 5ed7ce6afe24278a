"""Batches from one long text: parallel streams that are read a window at a time.

The text is cut into B streams of equal length that lie side by side. Step i gives window i of every
stream, T tokens each, so that the state which a recurrent network carries from one batch to the
next always belongs to the text just before. Nothing is drawn: there is no order to shuffle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from normbench.data import Part
from normbench.engine.split import Indices
from normbench.tasks import Batch

# Fixed, so that what is evaluated does not depend on the batch size that trains.
EVALUATION_STREAMS = 50


class TokenSource:
    """Windows of B streams; an example is a token.

    Every epoch reads the same windows in the same order. The N mod B·T tokens at the end of the
    part, too few for another step, are left out.

    Attributes:
        batch_size: B, the streams; a batch is (B, T).
        steps: Windows in a stream, N // B·T.
        examples: Tokens trained on in an epoch, steps·B·T.
        last_size: B.

    Args:
        part: The text and, for each of its tokens, the one to predict.
        indices: Which of its tokens are for training, in ascending order.
        streams: B.
        length: T.
        device: Where the text lies.
    """

    from_host: ClassVar[bool] = False

    def __init__(
        self, part: Part, indices: Indices, streams: int, length: int, device: torch.device
    ) -> None:
        self.batch_size = self.last_size = streams
        self.steps = len(indices) // (streams * length)
        self.examples = self.steps * streams * length
        chosen = part.take(indices[: self.examples])
        self._inputs, self._targets = _streams(chosen, streams, device)
        self._window = torch.arange(length, device=device)

    def start_epoch(self, epoch: int) -> None:
        """Do nothing: every epoch reads the text from its start."""

    def batch(self, cursor: Tensor, size: int) -> Batch:  # noqa: ARG002 - always all streams
        """Return the window of every stream that lies at *cursor*, which moves by B a step."""
        step = torch.div(cursor, self.batch_size, rounding_mode="floor")
        columns = step * len(self._window) + self._window
        return Batch(self._inputs.index_select(1, columns), self._targets.index_select(1, columns))


class TokenEvaluation:
    """A part as 50 streams, or as many as it has tokens, read a window at a time.

    The last window may be shorter. The N mod 50 tokens at the end are left out; each stream starts
    from the network's initial state.

    Attributes:
        examples: Tokens predicted.

    Args:
        part: The text and, for each of its tokens, the one to predict.
        length: T.
        device: Where the text lies.
    """

    from_host: ClassVar[bool] = False

    def __init__(self, part: Part, length: int, device: torch.device) -> None:
        streams = min(EVALUATION_STREAMS, len(part))
        self.examples = len(part) - len(part) % streams
        self._length = length
        chosen = Part(part.inputs[: self.examples], part.targets[: self.examples])
        self._inputs, self._targets = _streams(chosen, streams, device)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the windows of all streams in reading order."""
        for start in range(0, self._inputs.shape[1], self._length):
            window = slice(start, start + self._length)
            yield Batch(self._inputs[:, window], self._targets[:, window])


def _streams(part: Part, streams: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return inputs and targets as (B, tokens of a stream); each row is contiguous text."""
    inputs, targets = (
        torch.from_numpy(np.ascontiguousarray(side, dtype=np.int64)).view(streams, -1).to(device)
        for side in (part.inputs, part.targets)
    )
    return inputs, targets
