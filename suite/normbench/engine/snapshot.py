"""What a step changes, taken down so that trial steps can be undone to the bit.

It also tells what a step changes in Python: a captured step would not change that again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from normbench.engine.randomness import Randomness
from normbench.engine.step import Step

_PLAIN = (bool, int, float, str, type(None))
# By which torch remembers to look at devices and types once; a checkpoint sets it again.
_NO_STATE = ("_need_device_dtype_check_for_fused",)
Path = tuple[str, ...]


class Snapshot:
    """Weights, buffers, optimizer, position and random streams at one moment.

    Args:
        step: The step that will be tried.
        randomness: Streams of the layers.
    """

    def __init__(self, step: Step, randomness: Randomness) -> None:
        self._step, self._randomness = step, randomness
        self._random = randomness.state()
        self._leaves = dict(_leaves(step))
        self._values = {
            path: leaf.detach().clone()
            for path, leaf in self._leaves.items()
            if isinstance(leaf, Tensor)
        }
        optimizer = step.optimizer
        self._states = {owner: _structure(state) for owner, state in optimizer.state.items()}
        self._groups = [
            {key: _structure(value) for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
        ]
        self._objects = [(thing, _attributes(thing)) for thing in _objects(step)]
        self._carried = dict(step.state)

    def values(self) -> dict[Path, Tensor]:
        """Return copies of the current values of the tensors that were there."""
        return {
            path: leaf.detach().clone()
            for path, leaf in self._leaves.items()
            if isinstance(leaf, Tensor)
        }

    def movement(self) -> Tensor:
        """Return the distance that the parameters have moved since, in float64."""
        moved = [
            (parameter.detach() - self._values["parameter", name]).double().norm()
            for name, parameter in self._step.network.named_parameters()
        ]
        distance: Tensor = torch.stack(moved).norm()
        return distance

    def changes(self) -> dict[Path, str]:
        """Return what has changed since by other means than operations on the tensors there.

        By path, with what happens to it; what is the optimizer's begins with ``optimizer``.
        """
        now, before = dict(_leaves(self._step)), self._leaves
        found = {path: "goes away" for path in before if path not in now}
        for path, leaf in now.items():
            if _same(before.get(path, _ABSENT), leaf):
                if self._changed_elsewhere(path, leaf):
                    found[path] = f"changes on the {leaf.device.type}, where no replay computes"
                continue
            tensors = isinstance(leaf, Tensor)
            found[path] = "is made anew in each step" if tensors else "changes in Python"
        return found

    def _changed_elsewhere(self, path: Path, leaf: Any) -> bool:
        """Whether *leaf* is a tensor that steps change on another device than their own."""
        if not isinstance(leaf, Tensor) or leaf.device.type == self._step.device.type:
            return False
        return not torch.equal(leaf, self._values[path])

    def drew_globally(self) -> bool:
        """Whether numbers have since been drawn from torch's global generators."""
        states = zip(self._random[1:], self._randomness.state()[1:], strict=True)
        return any(not torch.equal(before, now) for before, now in states)

    @torch.no_grad()
    def restore(self) -> None:
        """Undo all that has happened since."""
        step = self._step
        for owner in [each for each in step.optimizer.state if each not in self._states]:
            del step.optimizer.state[owner]
        for owner, state in self._states.items():
            step.optimizer.state[owner] = _structure(state)
        for group, values in zip(step.optimizer.param_groups, self._groups, strict=True):
            for key in [key for key in group if key != "params" and key not in values]:
                del group[key]
            group.update({key: _structure(value) for key, value in values.items()})
        for thing, attributes in self._objects:
            _set_attributes(thing, attributes)
        step.state = dict(self._carried)
        for path, value in self._values.items():
            self._leaves[path].copy_(value)
        self._randomness.restore(self._random)


_ABSENT = object()


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor) or isinstance(after, Tensor):
        return before is after
    return type(before) is type(after) and (before == after or before != before)


def _leaves(step: Step) -> Iterator[tuple[Path, Any]]:
    """Return all that a step may change, by path: tensors and plain values."""
    for name, parameter in step.network.named_parameters():
        yield ("parameter", name), parameter
    for name, buffer in step.network.named_buffers():
        yield ("buffer", name), buffer
    for name, tensor in step.tensors().items():
        yield ("step", name), tensor
    for index, state in enumerate(step.optimizer.state.values()):
        yield from _within(("optimizer state", str(index)), state)
    for index, group in enumerate(step.optimizer.param_groups):
        values = {key: value for key, value in group.items() if key not in ("params", "lr")}
        yield from _within(("optimizer group", str(index)), values)
    for key, value in _attributes(step.optimizer).items():
        yield ("optimizer attribute", key), value
    for name, module in step.network.named_modules():
        for key, value in _attributes(module).items():
            if not isinstance(value, Tensor):
                yield ("attribute", f"{name}.{key}".lstrip(".")), value


def _within(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, (Tensor, *_PLAIN)):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _within((*path, str(key)), inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _within((*path, str(index)), inner)


def _structure(value: Any) -> Any:
    """Return *value* in containers of its own, around the same tensors."""
    if isinstance(value, Mapping):
        return {key: _structure(inner) for key, inner in value.items()}
    return [_structure(inner) for inner in value] if isinstance(value, list) else value


def _objects(step: Step) -> Iterator[Any]:
    yield step.optimizer
    yield from step.network.modules()


def _attributes(thing: Any) -> dict[str, Any]:
    """Return the plain attributes of *thing*, and of a module its buffers."""
    found = {
        key: value
        for key, value in vars(thing).items()
        if isinstance(value, _PLAIN) and key not in _NO_STATE
    }
    return found | dict(vars(thing).get("_buffers", {}))


def _set_attributes(thing: Any, attributes: Mapping[str, Any]) -> None:
    buffers = vars(thing).get("_buffers", {})
    for key, value in attributes.items():
        if key in buffers:
            buffers[key] = value
        elif vars(thing).get(key, _ABSENT) is not value:
            setattr(thing, key, value)
