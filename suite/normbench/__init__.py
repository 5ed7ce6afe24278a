"""normbench: paired, resumable benchmarks of normalization layers and optimizers.

This module is all that plugins and scripts need; what lies below it may move. Names whose code
needs torch are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from normbench.descriptions import (
    DataFile,
    Dataset,
    Launcher,
    Measure,
    Metric,
    Network,
    Norm,
    Observer,
    Optimizer,
    Problem,
    Setting,
    Source,
    Suite,
    Training,
)
from normbench.errors import DataError, NormbenchError, PluginError, StoreError, UsageError
from normbench.hookspecs import hookimpl
from normbench.parameters import Parameter, Search, Value
from normbench.publications import Publication, PublishedResult
from normbench.rules import Ablation, Protocol, Rules
from normbench.setting_files import read_settings

if TYPE_CHECKING:
    from normbench.api import Report, run
    from normbench.data import Data, DataRequest, Part, check_files
    from normbench.groups import parameter_groups
    from normbench.layers import Dropout, GaussianNoise, SamePad2d, Stochastic
    from normbench.observers import Probe, View
    from normbench.roles import Invariance, ParameterInfo, Role, SiteInfo, role_of
    from normbench.sites import Fitting, Site, Sites
    from normbench.statistics import PairedTTest, paired_t_test
    from normbench.tasks import Batch, Classification, Scores, State, Task
    from normbench.tuning import TuningReport, tune

_LAZY = {
    "Report": "normbench.api",
    "run": "normbench.api",
    "Data": "normbench.data",
    "DataRequest": "normbench.data",
    "Part": "normbench.data",
    "check_files": "normbench.data",
    "parameter_groups": "normbench.groups",
    "Dropout": "normbench.layers",
    "GaussianNoise": "normbench.layers",
    "SamePad2d": "normbench.layers",
    "Stochastic": "normbench.layers",
    "ParameterInfo": "normbench.roles",
    "Probe": "normbench.observers",
    "SiteInfo": "normbench.roles",
    "View": "normbench.observers",
    "Fitting": "normbench.sites",
    "Invariance": "normbench.roles",
    "Role": "normbench.roles",
    "role_of": "normbench.roles",
    "Site": "normbench.sites",
    "Sites": "normbench.sites",
    "PairedTTest": "normbench.statistics",
    "paired_t_test": "normbench.statistics",
    "Batch": "normbench.tasks",
    "Classification": "normbench.tasks",
    "Scores": "normbench.tasks",
    "State": "normbench.tasks",
    "Task": "normbench.tasks",
    "TuningReport": "normbench.tuning",
    "tune": "normbench.tuning",
}

__all__ = [
    "Ablation",
    "Batch",
    "Classification",
    "Data",
    "DataError",
    "DataFile",
    "DataRequest",
    "Dataset",
    "Dropout",
    "Fitting",
    "GaussianNoise",
    "Invariance",
    "Launcher",
    "Measure",
    "Metric",
    "Network",
    "Norm",
    "NormbenchError",
    "Observer",
    "Optimizer",
    "PairedTTest",
    "Parameter",
    "ParameterInfo",
    "Part",
    "PluginError",
    "Probe",
    "Problem",
    "Protocol",
    "Publication",
    "PublishedResult",
    "Report",
    "Role",
    "Rules",
    "SamePad2d",
    "Scores",
    "Search",
    "Setting",
    "Site",
    "SiteInfo",
    "Sites",
    "Source",
    "State",
    "Stochastic",
    "StoreError",
    "Suite",
    "Task",
    "Training",
    "TuningReport",
    "UsageError",
    "Value",
    "View",
    "check_files",
    "hookimpl",
    "paired_t_test",
    "parameter_groups",
    "read_settings",
    "role_of",
    "run",
    "tune",
]


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("normbench")
    if name not in _LAZY:
        raise AttributeError(f"module 'normbench' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
