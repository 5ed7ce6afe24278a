"""Optimizers of the package pytorch-optimizer; ``getattr`` of this module gives the factories."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytorch_optimizer
from torch.optim import Optimizer

from normbench_plugins.bridges.construction import Groups, construct


def __getattr__(name: str) -> Any:
    try:
        found = pytorch_optimizer.load_optimizer(name)
    except NotImplementedError:
        raise AttributeError(f"pytorch_optimizer has no optimizer {name!r}") from None
    return partial(_make, found)


def _make(kind: type[Optimizer], groups: Groups, **values: Any) -> Optimizer:
    return construct(f"pytorch_optimizer:{kind.__name__.lower()}", kind, groups, values)
