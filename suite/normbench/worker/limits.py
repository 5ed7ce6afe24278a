"""The limits of a run: its time, and the memory of its worker.

The memory limit is ``RLIMIT_DATA``: unlike ``RLIMIT_AS`` it leaves out what torch and CUDA only
reserve or map from files. An allocation beyond it fails inside the worker, before any neighbour is
hurt. What a worker holds untouched when it begins is allowed on top. Memory in GPUs is not limited,
and where a GPU is used the driver's mappings would count, so there the launcher alone watches.
"""

from __future__ import annotations

import errno
import os
import resource
import sys
import time
from pathlib import Path

import torch

from normbench.errors import NormbenchError, UsageError
from normbench.quantities import show_bytes, typed_bytes
from normbench.tables import duration
from normbench.worker.trees import Processes

# What torch raises as a plain RuntimeError, by its allocator, its CUDA libraries and C++ itself.
_WORDS = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    "out of memory",
    "ALLOC_FAILED",
)


class TimeLimitError(NormbenchError):
    """The run has taken as long as it may."""


class TimeLimit:
    """The time that one attempt at a run has.

    Args:
        seconds: That the run may take; None without limit.
        spent: Seconds that earlier attempts took up to the checkpoint that this one goes on from.
        pack: Runs that share the device's time with it, itself included; it has as many times as
            long.
    """

    def __init__(self, seconds: float | None, spent: float = 0.0, pack: int = 1) -> None:
        self.began = time.monotonic()
        self._seconds, self._spent, self._pack = seconds, spent, pack

    @property
    def ends(self) -> float | None:
        """When it is over, on the clock ``time.monotonic``; None without limit."""
        return (
            None if self._seconds is None else self.began + self._seconds * self._pack - self._spent
        )

    def check(self, checkpoint: int | None = None) -> None:
        """Raise :class:`TimeLimitError` if it is over.

        Args:
            checkpoint: Epochs trained up to the checkpoint that the run goes on from, if any.
        """
        if self.ends is not None and time.monotonic() > self.ends:
            times = f", {self._pack} times over in a pack of {self._pack}" if self._pack > 1 else ""
            raise TimeLimitError(
                f"the run took longer than its limit of {duration(self._seconds or 0.0)}{times}, "
                f"in which loading its data counts. {_goes_on(checkpoint)}; give it a longer "
                "--time-limit."
            )


def _goes_on(checkpoint: int | None) -> str:
    if checkpoint is None:
        return "It has no checkpoint yet and starts again"
    return f"It goes on after epoch {checkpoint}"


def limit_memory(limit: int | None, device: torch.device) -> None:
    """Let allocations of this process fail beyond *limit* bytes, where the system can do that."""
    if limit is None or device.type != "cpu" or not sys.platform.startswith("linux"):
        return
    held = _status()
    untouched = max(0, held.get("VmData", 0) - held.get("RssAnon", 0))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = limit + untouched
    resource.setrlimit(
        resource.RLIMIT_DATA, (bound if hard == resource.RLIM_INFINITY else min(bound, hard), hard)
    )


def check_memory_limit(limit: int | None) -> None:
    """Refuse a *limit* below what this worker holds before it trains anything.

    Raises:
        UsageError: With both numbers.
    """
    held = 0 if limit is None else Processes().memory(os.getpid())
    if limit is not None and held > limit:
        raise UsageError(
            f"--memory-limit {typed_bytes(limit)}: a worker holds {show_bytes(held)} once it has "
            "imported what it needs, before it takes a run. Give more than that: what the worker "
            "holds plus what a run needs."
        )


def lift_memory_limit() -> None:
    """Take the limit back, so that a run out of memory can still be closed."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether *error* says that memory could not be had."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def out_of_memory_message(error: BaseException, limit: int | None) -> str:
    """Return what to say of *error*, in a line."""
    words = (str(error) or "memory ran out").splitlines()[0]
    return f"{words} (memory limit: {show_bytes(limit)})" if limit else words


def _status() -> dict[str, int]:
    """Return the sizes in ``/proc/self/status``, in bytes."""
    found = {}
    for line in (
        Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    ):
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * 1024
    return found
