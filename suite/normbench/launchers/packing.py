"""How many runs fit into the memory of a GPU, from what runs were seen to take."""

from __future__ import annotations

from collections.abc import Sequence

# What a process holds beside torch's own memory: the CUDA context and the libraries' workspaces.
CONTEXT_BYTES = 700 * 2**20
_USABLE = 0.92
MOST_IN_A_PACK = 8
# A run of a pack is recorded twice, alone and as a branch.
_RECORDED = 2


def fits_beside(free: int | None, inside: Sequence[int], need: int) -> bool:
    """Return whether a run fits into a GPU beside those of other processes.

    Args:
        free: Bytes that were free once the first process had opened the GPU; None if unknown.
        inside: Bytes that each of the others takes at most.
        need: Bytes that it takes at most.
    """
    taken = sum(inside) + need + len(inside) * CONTEXT_BYTES
    return not inside or (free is not None and taken <= free * _USABLE)


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
