"""How many runs a GPU can train at once, decided from the memory that runs were seen to take.

The first run of a launch has the GPU to itself. From its peak follows how many would fit, if each
took as much as the largest one seen so far. A number once reached is given up only as runs end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# What a process holds beside torch's own memory: the CUDA context and the libraries' workspaces.
CONTEXT_BYTES = 700 * 2**20
_USABLE = 0.92
MOST_IN_A_PACK = 8
# A run of a pack is recorded twice, alone and as a branch.
_RECORDED = 2


@dataclass
class GpuMemory:
    """What is known of the memory of one GPU.

    Attributes:
        free: Bytes that were free once the first worker had opened it; None before.
        peak: Most bytes that a run was seen to take; None before the first.
    """

    free: int | None = None
    peak: int | None = None

    def saw_free(self, free: int) -> None:
        """Take note of the free bytes that the first worker found; later ones are not alone."""
        if self.free is None and free > 0:
            self.free = free

    def saw_peak(self, peak: int) -> None:
        """Take note of the bytes that a run took."""
        if peak > 0:
            self.peak = max(peak, self.peak or 0)

    def fits(self, most: int) -> int:
        """Return how many runs fit, from 1 to *most*."""
        return slots_by_memory(self.free, self.peak, most)


class GpuSlots:
    """Sizes the slots of all GPUs of one launcher.

    Args:
        gpus: Their devices.
        most: Most runs to allow on each.
    """

    def __init__(self, gpus: Iterable[str], most: int) -> None:
        self._memory = {gpu: GpuMemory() for gpu in gpus}
        self._most = most

    def saw(self, device: str, *, free: int = 0, peak: int = 0) -> None:
        """Take note of the memory of a device; of the processor nothing is noted."""
        if device in self._memory:
            self._memory[device].saw_free(free)
            self._memory[device].saw_peak(peak)

    def idle(self, busy: Sequence[str]) -> list[str]:
        """Return the device of each slot that is free while those of *busy* are not."""
        return [
            device
            for device, memory in self._memory.items()
            for _ in range(memory.fits(self._most) - busy.count(device))
        ]


def slots_by_memory(free: int | None, peak: int | None, most: int) -> int:
    """Return how many runs fit into a GPU at once, from 1 to *most*.

    Args:
        free: Bytes that were free once the first worker had opened the GPU; None if unknown.
        peak: Most bytes that a run took; None if unknown.
        most: Most runs to allow, for instance the cores there are for each GPU.
    """
    if free is None or peak is None:
        return 1
    left = free * _USABLE - peak
    return max(1, min(most, 1 + int(left // (peak + CONTEXT_BYTES))))


def pack_by_memory(free: int, peak: int | None, most: int) -> int:
    """Return how many runs one process on a GPU can train at once, from 1 to *most*.

    Args:
        free: Bytes that were free when the process began; 0 if unknown.
        peak: Most bytes that a run of the kind took alone; None if unknown.
        most: Most runs to allow.
    """
    if not free or not peak:
        return 1
    return max(1, min(most, int(free * _USABLE // (peak * _RECORDED))))
