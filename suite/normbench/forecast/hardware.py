"""Names of the devices of this machine, without torch."""

from __future__ import annotations

import platform
from pathlib import Path

_GPUS = Path("/proc/driver/nvidia/gpus")


def device_name(device: str) -> str:
    """Return the name of *device*, ``cpu`` or ``cuda:N``; ``cuda`` where a GPU's is not known."""
    if device == "cpu":
        return processor_name()
    names = [_field(file, "Model") for file in sorted(_GPUS.glob("*/information"))]
    number = device.partition(":")[2]
    index = int(number) if number else 0
    return names[index] if index < len(names) and names[index] else "cuda"


def processor_name() -> str:
    """Return the name of the processor."""
    model = _field(Path("/proc/cpuinfo"), "model name")
    return model or platform.processor() or platform.machine()


def _field(file: Path, name: str) -> str:
    """Return the value of the first line ``NAME: VALUE`` of *file*; empty if there is none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(values, "")
