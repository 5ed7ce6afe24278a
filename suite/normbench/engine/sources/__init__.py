"""Batch sources: where a training step and an evaluation get their examples.

Images, tables and texts lie on the device and a batch is one gather. A source draws an epoch's
order and augmentation on the CPU from the run's own streams and copies them to tensors that stay
where they are. A batch is then a function of a cursor on the device: no host input and no host sync
in a step, and nothing that a captured step could not replay. Image files are streamed instead, by
:mod:`normbench.engine.sources.files`, which needs Pillow.
"""

from __future__ import annotations

from normbench.engine.sources.evaluation import Evaluation
from normbench.engine.sources.images import ImageSource
from normbench.engine.sources.order import BatchSource, EvaluationSource, Order
from normbench.engine.sources.tables import TableSource
from normbench.engine.sources.tokens import TokenEvaluation, TokenSource

__all__ = [
    "BatchSource",
    "Evaluation",
    "EvaluationSource",
    "ImageSource",
    "Order",
    "TableSource",
    "TokenEvaluation",
    "TokenSource",
]
