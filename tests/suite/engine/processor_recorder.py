"""A recorder for the processor that stands in for CUDA graphs in tests.

It keeps the operations of a step with the tensors they met, refuses what a capture refuses, and
replays into the same memory; branches it replays one operation of each at a time. Given to a worker
as a plugin file that is named so in ``NORMBENCH_TEST_RECORDER``, it lets that worker record.
"""

from __future__ import annotations

import os
from contextlib import nullcontext

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import normbench
from normbench.engine.recording import RECORDERS

aten = torch.ops.aten
HOST = {
    *(aten._local_scalar_dense.default, aten.equal.default),
    *(aten.nonzero.default, aten.masked_select.default),
}


class Recording(TorchDispatchMode):
    """Keeps every operation with the tensors it met."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in HOST:
            raise RuntimeError(f"operation not permitted when stream is capturing: {function}")
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
