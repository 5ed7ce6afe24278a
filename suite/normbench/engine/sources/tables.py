"""Batches from a table of float examples, resident on the device."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from normbench.data import Part
from normbench.engine.sources.order import Order
from normbench.engine.transfer import send
from normbench.tasks import Batch


class TableSource:
    """Batches from a table of float examples."""

    from_host: ClassVar[bool] = False

    def __init__(self, part: Part, order: Order, batch_size: int, device: torch.device) -> None:
        self.batch_size = batch_size
        self.steps, self.last_size, self.examples = order.steps, order.last_size, order.examples
        self._draw = order
        self._inputs = torch.from_numpy(part.inputs).to(device)
        self._targets = torch.from_numpy(part.targets).to(device)
        self._order = torch.zeros(order.examples, dtype=torch.int64, device=device)
        self._steps_in = torch.arange(batch_size, device=device)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of *epoch*."""
        send(self._draw.draw(epoch), self._order)

    def batch(self, cursor: Tensor, size: int) -> Batch:
        """Return *size* rows in the epoch's order."""
        rows = self._order.index_select(0, self._steps_in[:size] + cursor)
        return Batch(self._inputs.index_select(0, rows), self._targets.index_select(0, rows))
