"""Which of torch's implementations of an update the parameters at hand allow.

A fused update is several times faster than a loop over the parameters, on CPUs too. torch's fused
CPU kernels read parameter, gradient and state as flat memory, so all three must have the same
strides; autograd and ``state_dict`` keep that as long as a parameter's memory format stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

Groups = Sequence[dict[str, Any]]
_FUSED_DEVICES = ("cpu", "cuda")


def fused(groups: Groups) -> bool | None:
    """Return True if a fused update takes all parameters of *groups*, else None: torch decides."""
    fits = all(
        parameter.is_floating_point() and parameter.device.type in _FUSED_DEVICES
        for parameter in _parameters(groups)
    )
    return True if fits else None


def capturable(groups: Groups) -> bool:
    """Return whether all parameters are on a CUDA device, so that a graph may hold the update."""
    return all(parameter.device.type == "cuda" for parameter in _parameters(groups))


def _parameters(groups: Groups) -> Iterator[Tensor]:
    for group in groups:
        yield from group["params"]
