"""Optimizers, one a file; :mod:`normbench_plugins.optimizers.table` lists them.

Those on spheres also work without the harness::

    from normbench_plugins.optimizers import AdamSRT

    optimizer = AdamSRT(normbench.parameter_groups(network, weight_decay=5e-4), lr=1e-3)

They are imported on first use, so that listing what exists needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbench_plugins.optimizers.adam_g import AdamG
    from normbench_plugins.optimizers.adam_s import AdamS
    from normbench_plugins.optimizers.adam_srt import AdamSRT
    from normbench_plugins.optimizers.sgd_mrt import SGDMRT

__all__ = ["SGDMRT", "AdamG", "AdamS", "AdamSRT"]

_MODULES = {
    "AdamG": "adam_g",
    "AdamS": "adam_s",
    "AdamSRT": "adam_srt",
    "SGDMRT": "sgd_mrt",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
