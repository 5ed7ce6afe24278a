"""A recorder for the processor that stands in for CUDA graphs in tests.

It keeps the operations of a step with the tensors they met, refuses what a capture refuses, and
replays into the same memory; branches it replays one operation of each at a time. Given to a worker
as a plugin file that is named so in ``NORMBENCH_TEST_RECORDER``, it lets that worker record.

What it takes is necessary for a capture, and not sufficient: it refuses operations that are known
to wait for the device or to copy from the host, as far as they show on a processor. A ``.to`` of a
device that is no literal does not, nor does what a kernel does on CUDA alone.
"""

from __future__ import annotations

import os
from contextlib import nullcontext

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import normbench
from normbench.engine.recording import RECORDERS

aten = torch.ops.aten
HOST = {
    *(aten._local_scalar_dense.default, aten.equal.default, aten._linalg_check_errors.default),
    *(aten.nonzero.default, aten.masked_select.default, aten.bincount.default),
    *(aten._unique2.default, aten.unique_dim.default, aten.unique_consecutive.default),
}
TO_HOST = {torch.Tensor.cpu, torch.Tensor.tolist, torch.Tensor.numpy}
FROM_HOST = {torch.tensor, torch.as_tensor, torch.asarray}


def refuse(function):
    """Raise what CUDA raises."""
    raise RuntimeError(f"operation not permitted when stream is capturing: {function}")


def waits(function, args, given):
    """Whether an operation reads from the device on CUDA, or copies to it from the host."""
    if function in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):
        indices = [index for index in args[1] if index is not None]
        return any(index.dtype in (torch.bool, torch.uint8) for index in indices)
    if function is aten.repeat_interleave.Tensor:
        return given.get("output_size") is None
    # A scalar of the host meets tensors of the device as a number does; more must be copied.
    return function in HOST or (function is aten.lift_fresh.default and args[0].dim() > 0)


class Watching(TorchFunctionMode):
    """Refuses what shows in Python alone where the device is the processor."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        given = kwargs or {}
        if function in TO_HOST or (function is torch.Tensor.to and "cpu" in args[1:2]):
            refuse(function)
        # Named so, and not taken from a tensor, the processor is the host.
        copies = function in FROM_HOST and given.get("device") not in (None, "cpu")
        copies = copies and not isinstance(args[0], torch.Tensor)
        if copies or function is torch.Tensor.new_tensor:
            refuse(function)
        return function(*args, **given)


class Recording(TorchDispatchMode):
    """Keeps every operation with the tensors it met."""

    def __init__(self):
        super().__init__()
        self.calls, self.watching = [], Watching()

    def __enter__(self):
        self.watching.__enter__()
        return super().__enter__()

    def __exit__(self, *raised):
        super().__exit__(*raised)
        self.watching.__exit__(*raised)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if waits(function, args, kwargs or {}):
            refuse(function)
        result = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, result))
        return result

    def replay(self):
        """Run the operations again; what they make goes where the recording made it."""
        side_by_side([self])

    def operations(self):
        """Run the operations again, and pause behind each."""
        made, memory = {}, {}
        for function, args, kwargs, result in self.calls:
            given = tree_map_only(torch.Tensor, lambda t: made.get(id(t), t), (args, kwargs))
            again = function(*given[0], **given[1])
            for before, after in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(before, torch.Tensor):
                    made[id(before)] = after
                    here, there = before.untyped_storage(), after.untyped_storage()
                    memory[here.data_ptr()] = here, there
            yield
        for here, there in memory.values():
            if here.data_ptr() != there.data_ptr():
                here.copy_(there)


@torch.no_grad()
def side_by_side(recordings):
    """Run an operation of each in turn, until all are through."""
    running = [recording.operations() for recording in recordings]
    over = object()
    while running:
        running = [each for each in running if next(each, over) is not over]


class Recorder:
    """Records on the processor."""

    def beside(self):
        """Return a context that changes nothing."""
        return nullcontext()

    def capture(self, work):
        """Return what replays *work*."""
        return self.capture_branches([work], [])

    def capture_branches(self, works, generators):
        """Return what replays all *works*, one operation of each at a time."""
        recordings = []
        for work in works:
            recordings.append(Recording())
            with recordings[-1]:
                work()
        return lambda: side_by_side(recordings)

    def wait(self):
        """Return: the processor is never behind."""


@normbench.hookimpl
def normbench_observers():
    """Offer nothing, and let this process record on the processor if the tests say so."""
    if os.environ.get("NORMBENCH_TEST_RECORDER") == __file__:
        RECORDERS["cpu"] = lambda device, generators: Recorder()
    return []
