"""Normalization layers, one family a file; :mod:`normbench_plugins.norms.table` lists them.

The modules also work without the harness::

    from normbench_plugins.norms import GroupNorm

    norm = GroupNorm(64, num_groups=8)

So do ``normalise_groups`` and ``rescale_groups``, what norms over groups of channels are made of: a
norm of yours that calls them keeps channels_last and runs as fused kernels on a GPU. All are
imported on first use, so that listing what exists needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbench_plugins.norms.batch_norm import BatchNorm
    from normbench_plugins.norms.batch_renorm import BatchRenorm
    from normbench_plugins.norms.evonorm_b0 import EvoNormB0
    from normbench_plugins.norms.evonorm_s0 import EvoNormS0
    from normbench_plugins.norms.filter_response_norm import (
        FilterResponseNorm,
        ThresholdedLinearUnit,
    )
    from normbench_plugins.norms.ghost_batch_norm import GhostBatchNorm
    from normbench_plugins.norms.group_norm import GroupNorm
    from normbench_plugins.norms.grouped import normalise_groups, rescale_groups
    from normbench_plugins.norms.instance_norm import InstanceNorm
    from normbench_plugins.norms.layer_norm import LayerNorm
    from normbench_plugins.norms.mean_centering import MeanCentering
    from normbench_plugins.norms.rms_norm import RMSNorm
    from normbench_plugins.norms.scaled_weight_standardization import ScaledWeightStandardization
    from normbench_plugins.norms.switchable_norm import SwitchableNorm
    from normbench_plugins.norms.variance_norm import VarianceNorm
    from normbench_plugins.norms.weight_centering import WeightCentering
    from normbench_plugins.norms.weight_norm import ScaledReLU, WeightNorm
    from normbench_plugins.norms.weight_standardization import WeightStandardization

__all__ = [
    "BatchNorm",
    "BatchRenorm",
    "EvoNormB0",
    "EvoNormS0",
    "FilterResponseNorm",
    "GhostBatchNorm",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "MeanCentering",
    "RMSNorm",
    "ScaledReLU",
    "ScaledWeightStandardization",
    "SwitchableNorm",
    "ThresholdedLinearUnit",
    "VarianceNorm",
    "WeightCentering",
    "WeightNorm",
    "WeightStandardization",
    "normalise_groups",
    "rescale_groups",
]

_MODULES = {
    "BatchNorm": "batch_norm",
    "BatchRenorm": "batch_renorm",
    "EvoNormB0": "evonorm_b0",
    "EvoNormS0": "evonorm_s0",
    "FilterResponseNorm": "filter_response_norm",
    "GhostBatchNorm": "ghost_batch_norm",
    "GroupNorm": "group_norm",
    "InstanceNorm": "instance_norm",
    "LayerNorm": "layer_norm",
    "MeanCentering": "mean_centering",
    "RMSNorm": "rms_norm",
    "ScaledReLU": "weight_norm",
    "ScaledWeightStandardization": "scaled_weight_standardization",
    "SwitchableNorm": "switchable_norm",
    "ThresholdedLinearUnit": "filter_response_norm",
    "VarianceNorm": "variance_norm",
    "WeightCentering": "weight_centering",
    "WeightNorm": "weight_norm",
    "WeightStandardization": "weight_standardization",
    "normalise_groups": "grouped",
    "rescale_groups": "grouped",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
