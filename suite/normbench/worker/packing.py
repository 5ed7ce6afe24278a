"""How many runs of one kind a worker trains at once, from what the first of them took."""

from __future__ import annotations

import torch

from normbench.engine.recording import RECORDERS
from normbench.errors import UsageError
from normbench.launchers.base import Pack
from normbench.launchers.packing import MOST_IN_A_PACK, pack_by_memory
from normbench.pack_key import pack_key
from normbench.rungs import Rung
from normbench.specs import RunSpec


class Packing:
    """Sizes the packs of one worker.

    The first run of a kind is trained alone: it shows how much memory a run takes, and its times
    count.

    Args:
        asked: ``auto``, ``off``, or the size of every pack.
        device: Where the worker trains.
        free: Bytes that were free there when the worker began; 0 if unknown.
        peers: Workers of the same launcher, which shares out to all of them.

    Raises:
        UsageError: If packs of a size were asked for and *device* trains one run at a time.
    """

    def __init__(self, asked: Pack, device: torch.device, *, free: int = 0, peers: int = 1) -> None:
        self._asked, self._free, self._peaks = asked, free, dict[str, int]()
        self._able = device.type in RECORDERS
        self.peers = peers if asked == "auto" else 1
        if isinstance(asked, int) and asked > 1 and not self._able:
            raise UsageError(
                f"--pack {asked}: the runs of a pack are branches of one CUDA graph, and this "
                "worker trains on the processor, where each process has one thread and trains one "
                "run. Leave --pack out; --slots says how many processes train at once."
            )

    def most(self, spec: RunSpec, engine: str) -> int:
        """Return how many runs like *spec* to train at once, at least 1."""
        if not self._able or self._asked == "off" or engine == Rung.EAGER:
            return 1
        if self._asked != "auto":
            return self._asked
        return pack_by_memory(self._free, self._peaks.get(pack_key(spec)), MOST_IN_A_PACK)

    def saw(self, spec: RunSpec, peak: int, *, can_branch: bool = True) -> None:
        """Take note that a run like *spec*, alone, took *peak* bytes of the device.

        Kinds whose steps cannot be branches gain nothing from a pack, and get none by themselves.
        """
        if can_branch:
            key = pack_key(spec)
            self._peaks[key] = max(peak, self._peaks.get(key, 0))
