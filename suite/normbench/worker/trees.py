"""The processes that a worker started, found wherever they went, to count and to kill them.

A process belongs to a worker if it descends from it, is in its session, or bears its mark in the
environment, which children inherit even where they leave the session and outlive their parents.
Elsewhere than on Linux only the worker's own process group is known.

A launcher does not adopt orphans (``PR_SET_CHILD_SUBREAPER``): it may run in a user's own Python
process, whose other children it must not reap.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

MARK = "NORMBENCH_WORKER"
_PROC = Path("/proc")
_PARENT, _SESSION = 1, 3  # fields of /proc/PID/stat, counted from the one after the name
_ROUNDS = 10


class Processes:
    """The processes of this machine at a moment, to find the trees of many workers in one look."""

    def __init__(self) -> None:
        found = {pid: fields for pid in _numbers() if (fields := _fields(pid))}
        self._parents = {pid: int(fields[_PARENT]) for pid, fields in found.items()}
        self._sessions = {pid: int(fields[_SESSION]) for pid, fields in found.items()}

    def tree(self, pid: int, mark: str = "") -> set[int]:
        """Return the processes that belong to the worker *pid*, itself among them if it is there.

        Args:
            pid: The worker, which leads its session.
            mark: Value of the variable :data:`MARK` in its environment; empty not to look for it.
        """
        marked = {member for member in self._sessions if mark and _has_mark(member, mark)}
        if mark and pid in self._sessions and pid not in marked:
            # The worker is gone and its number is a stranger's, who also leads that session.
            return marked | self._descendants(marked)
        led = {member for member, session in self._sessions.items() if session == pid}
        found = marked | led | ({pid} & self._sessions.keys())
        return found | self._descendants(found | {pid})

    def memory(self, pid: int) -> int:
        """Return the bytes of memory that the worker *pid* and its descendants hold.

        What processes share is counted once, in parts. 0 where the system does not say.
        """
        return sum(_memory(member) for member in self.tree(pid))

    def _descendants(self, ancestors: set[int]) -> set[int]:
        found: set[int] = set()
        new = set(ancestors)
        while new:
            children = {child for child, parent in self._parents.items() if parent in new}
            new = children - found - ancestors
            found |= new
        return found


def find_tree(pid: int, mark: str) -> set[int]:
    """Return the processes that belong to the worker *pid* now; see :meth:`Processes.tree`."""
    return Processes().tree(pid, mark)


def kill_tree(pid: int, mark: str) -> None:
    """Kill the worker *pid* and all that belong to it; this process last, if it is one of them.

    They are frozen first, until no new ones appear, so that none starts another meanwhile.
    """
    frozen = freeze_tree(pid, mark)
    _signal(frozen - {os.getpid()}, signal.SIGKILL)
    if os.getpid() in frozen:
        os.kill(os.getpid(), signal.SIGKILL)


def freeze_tree(pid: int, mark: str) -> set[int]:
    """Stop the worker *pid* and all that belong to it, but not this process; return them all."""
    if not _PROC.joinpath("self").exists():
        _signal_group(pid, signal.SIGKILL)
        return set()
    found: set[int] = set()
    for _ in range(_ROUNDS):
        new = find_tree(pid, mark) - found
        if not new:
            break
        _signal(new - {os.getpid()}, signal.SIGSTOP)
        found |= new
    return found


def _memory(pid: int) -> int:
    """Return the proportional set size of a process without the files it maps, in bytes."""
    sizes = {}
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(":")
        if name in ("Pss_Anon", "Pss_Shmem", "SwapPss"):
            sizes[name] = int(rest.split()[0]) * 1024
    return sum(sizes.values())


def _has_mark(pid: int, mark: str) -> bool:
    try:
        variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{MARK}={mark}".encode() in variables


def _numbers() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdecimal()]  # noqa: PTH208 - names
    except OSError:
        return []


def _fields(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    fields = text.rpartition(")")[2].split()
    # A zombie holds nothing and only waits for its parent.
    return [] if fields[:1] == ["Z"] else fields


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
