"""Optimizers, one a file; :mod:`normbench_plugins.optimizers.table` lists them.

Those that torch lacks also work without the harness::

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
    from normbench_plugins.optimizers.lamb import LAMB
    from normbench_plugins.optimizers.lars import LARS
    from normbench_plugins.optimizers.lbfgs import LBFGS
    from normbench_plugins.optimizers.lion import Lion
    from normbench_plugins.optimizers.muon import Muon
    from normbench_plugins.optimizers.sam import SAM
    from normbench_plugins.optimizers.schedule_free_adamw import ScheduleFreeAdamW
    from normbench_plugins.optimizers.schedule_free_sgd import ScheduleFreeSGD
    from normbench_plugins.optimizers.sgd_mrt import SGDMRT
    from normbench_plugins.optimizers.soap import SOAP

__all__ = [
    "LAMB",
    "LARS",
    "LBFGS",
    "SAM",
    "SGDMRT",
    "SOAP",
    "AdamG",
    "AdamS",
    "AdamSRT",
    "Lion",
    "Muon",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
]

_MODULES = {
    "AdamG": "adam_g",
    "AdamS": "adam_s",
    "AdamSRT": "adam_srt",
    "LAMB": "lamb",
    "LARS": "lars",
    "LBFGS": "lbfgs",
    "Lion": "lion",
    "Muon": "muon",
    "SAM": "sam",
    "SGDMRT": "sgd_mrt",
    "SOAP": "soap",
    "ScheduleFreeAdamW": "schedule_free_adamw",
    "ScheduleFreeSGD": "schedule_free_sgd",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
