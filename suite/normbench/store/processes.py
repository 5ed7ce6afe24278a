"""Who is alive: processes of this machine, told apart from later ones with the same number."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

_STATE, _START = 0, 19  # fields of /proc/PID/stat, counted from the one after the name


@cache
def boot() -> str:
    """Identify this start of the machine and the space its process numbers count in.

    Containers share a host's name and start but not its process numbers. Empty if unknown.
    """
    if sys.platform == "darwin":
        return _output("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid")
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{started} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - not a path
    except OSError:
        return ""


def started(pid: int) -> str:
    """When process *pid* started, in units of the system's own; empty if unknown."""
    if sys.platform == "darwin":
        return _output("/bin/ps", "-o", "lstart=", "-p", str(pid))
    fields = _fields(pid)
    return fields[_START] if fields else ""


def is_dead(pid: int, start: str) -> bool:
    """Whether the process *pid* that started at *start* surely does not run any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it exists and belongs to somebody else
    if _is_zombie(pid):
        return True
    now = started(pid)
    return bool(start and now) and start != now


def _is_zombie(pid: int) -> bool:
    if sys.platform == "darwin":
        return _output("/bin/ps", "-o", "state=", "-p", str(pid)).startswith("Z")
    fields = _fields(pid)
    return bool(fields) and fields[_STATE] in "ZX"


def _fields(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _output(*command: str) -> str:
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except OSError:
        return ""
    return done.stdout.strip()
