"""Whether the kernel's out-of-memory killer struck, as far as it tells: a counter of the cgroup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def oom_kills(groups: Path = Path("/proc/self/cgroup"), top: Path = _CGROUPS) -> int:
    """Return how many processes of this cgroup the killer has ended so far; 0 if unknown."""
    found = [_count(path) for path in _counters(groups, top)]
    return max(found, default=0)


def _counters(groups: Path, top: Path) -> Iterator[Path]:
    """Yield the files that may hold the counter, of both versions of cgroups."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if not controllers:
            yield top / inside / "memory.events"
            yield top / "memory.events"
        elif "memory" in controllers.split(","):
            yield top / "memory" / inside / "memory.oom_control"
            yield top / "memory" / "memory.oom_control"


def _count(path: Path) -> int:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    counts = [line.split()[1] for line in lines if line.startswith("oom_kill ")]
    return int(counts[0]) if counts else 0
