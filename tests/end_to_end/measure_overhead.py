"""Measure what the local launcher costs: ``measure_overhead.py STORE [RUNS] [SLOTS] [WORD...]``.

Trains RUNS short runs (200) on SLOTS slots (2) through ``normbench worker --drain`` and prints, as
JSON, the share of the slots' time that was not spent in attempts at runs, with and without the
time that worker processes take to start and import, and how much memory workers and driver held
early and late. Further words are the problem, the optimizer and overrides; the default is
``digits_cnn_bn sgd protocol.epochs=1``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from normbench.launchers.launches import launches
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunStore

DEFAULT = ("digits_cnn_bn", "sgd", "protocol.epochs=1")


def fill(folder: Path, runs: int, problem: str, optimizer: str, *words: str) -> None:
    """Add so many runs to a store."""
    store = RunStore.open(folder, create=True)
    request = Request(problem=problem, optimizer=optimizer, words=words, seeds=runs)
    for spec in resolve(request, load_catalogue()):
        store.add(spec)


def drain(folder: Path, slots: int) -> tuple[float, list[int]]:
    """Train what is pending; return the seconds that took, and the driver's memory meanwhile."""
    command = [sys.executable, "-m", "normbench.worker", "--drain", "--store", str(folder)]
    command += ["--slots", str(slots), "--log-level", "WARNING"]
    began, held = time.monotonic(), []
    with subprocess.Popen(command) as driver:
        while driver.poll() is None:
            held.append(resident(driver.pid))
            time.sleep(0.2)
    if driver.returncode:
        raise subprocess.CalledProcessError(driver.returncode, command)
    return time.monotonic() - began, held


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds, 0 once it has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def workers(folder: Path) -> list[list[dict[str, Any]]]:
    """Return what the workers of the last launch reported, each with its own lines."""
    files = sorted(launches(folder)[-1].logs.glob("*.jsonl"))
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def grown(peaks: Sequence[int]) -> list[int]:
    """Return the MB after the first tenth of the time and at the end: they should be the same."""
    return [round(peaks[place] / 2**20) for place in (len(peaks) // 10, -1)]


def measure(folder: Path, slots: int, wall: float, held: Sequence[int]) -> dict[str, Any]:
    """Return the shares, and how much memory workers and driver held early and late."""
    found = workers(folder)
    peaks = [[e["peak_memory"] for e in lines if e["event"] == "ended"] for lines in found]
    seconds = [event["seconds"] for lines in found for event in lines if event["event"] == "ended"]
    opening = sum(
        line["start_seconds"] for lines in found for line in lines if "start_seconds" in line
    )
    busy, whole = sum(seconds), slots * wall
    return {
        "runs": len(seconds),
        "slots": slots,
        "wall_seconds": round(wall, 2),
        "median_run_seconds": round(sorted(seconds)[len(seconds) // 2], 4),
        "worker_starts": len(found),
        "start_seconds": round(opening, 2),
        "overhead_with_starts": round(1 - busy / whole, 4),
        "overhead": round(1 - busy / (whole - opening), 4),
        "worker_memory_mb": [grown(each) for each in peaks if each],
        "driver_memory_mb": grown([size for size in held if size]),
        "load": os.getloadavg(),
    }


def main() -> None:
    """Fill, drain, measure."""
    folder, *rest = sys.argv[1:]
    runs, slots = (int(word) for word in (*rest[:2], "200", "2")[:2]) if rest else (200, 2)
    fill(Path(folder), runs, *(rest[2:] or DEFAULT))
    wall, held = drain(Path(folder), slots)
    print(json.dumps(measure(Path(folder), slots, wall, held)))  # noqa: T201 - this is what it is for


if __name__ == "__main__":
    main()
