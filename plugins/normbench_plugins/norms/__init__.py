"""Normalization layers, one family a file; :mod:`normbench_plugins.norms.table` lists them.

The modules also work without the harness::

    from normbench_plugins.norms import GroupNorm

    norm = GroupNorm(64, num_groups=8)

They are imported on first use, so that listing what exists needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbench_plugins.norms.batch_norm import BatchNorm
    from normbench_plugins.norms.group_norm import GroupNorm
    from normbench_plugins.norms.instance_norm import InstanceNorm
    from normbench_plugins.norms.layer_norm import LayerNorm

__all__ = ["BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm"]

_MODULES = {
    "BatchNorm": "batch_norm",
    "GroupNorm": "group_norm",
    "InstanceNorm": "instance_norm",
    "LayerNorm": "layer_norm",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
