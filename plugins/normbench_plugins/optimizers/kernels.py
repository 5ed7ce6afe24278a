"""Which of torch's implementations of an update the parameters at hand allow.

A fused update is several times faster than a loop over the parameters, on CPUs too. torch's fused
CPU kernels read parameter, gradient and state as flat memory, so all three must have the same
strides; autograd and ``state_dict`` keep that as long as a parameter's memory format stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from torch import Tensor
from torch.optim.optimizer import ParamsT

from normbench import UsageError

Groups = ParamsT
GroupList = Sequence[dict[str, Any]]
_FUSED_DEVICES = ("cpu", "cuda")


def listed(groups: Groups) -> GroupList:
    """Return *groups*, given in any way that torch takes them, as groups to be read repeatedly.

    Args:
        groups: Tensors, (name, tensor) pairs, or groups of either; iterators are exhausted.

    Raises:
        UsageError: If it is a single tensor, whose rows would be taken for the parameters.
    """
    if isinstance(groups, Tensor):
        raise UsageError(
            "the optimizer received a single tensor: expected a list of parameters or of parameter "
            "groups. Put the tensor into a list."
        )
    items: list[Any] = list(groups)
    if items and not isinstance(items[0], dict):
        items = [{"params": items}]
    return [{**group, "params": _members(group["params"])} for group in items]


def fused(groups: GroupList) -> bool | None:
    """Return True if a fused update takes all parameters of *groups*, else None: torch decides."""
    fits = all(
        parameter.is_floating_point() and parameter.device.type in _FUSED_DEVICES
        for parameter in _parameters(groups)
    )
    return True if fits else None


def capturable(groups: GroupList) -> bool:
    """Return whether all parameters are on a CUDA device, so that a graph may hold the update."""
    return all(parameter.device.type == "cuda" for parameter in _parameters(groups))


def _members(members: Any) -> Any:
    """Return the parameters of a group as a list; torch takes one tensor and refuses a set."""
    return members if isinstance(members, Tensor | set) else list(members)


def _parameters(groups: GroupList) -> Iterator[Tensor]:
    for group in groups:
        members = group["params"]
        for member in [members] if isinstance(members, Tensor) else members:
            yield member[1] if isinstance(member, tuple) else cast(Tensor, member)
