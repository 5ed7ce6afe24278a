"""The worker: takes runs of a store one after another and trains them.

It needs torch, numpy and pluggy. Specs come resolved from the store. ``normbench worker`` and
``python -m normbench.worker`` are the same command, see :mod:`normbench.worker.command`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from normbench.worker.command import main

if TYPE_CHECKING:
    from normbench.worker.training import Worker

__all__ = ["Worker", "main"]


def __getattr__(name: str) -> Any:
    # A launcher reads the words of the command, and must not import torch for that.
    if name == "Worker":
        from normbench.worker.training import Worker

        return Worker
    raise AttributeError(f"module 'normbench.worker' has no attribute {name!r}")
