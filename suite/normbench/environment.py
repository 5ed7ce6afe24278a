"""Where and with what a run trained: provenance, never part of its identity."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from normbench.engine.precision import computed_in
from normbench.forecast.hardware import processor_name
from normbench.plugins import Catalogue

_PACKAGES = ("normbench", "torch", "torchvision", "triton", "numpy", "pluggy")
# Environment variables that change which kernels compute a run.
_VARIABLES = (
    *("CUBLAS_WORKSPACE_CONFIG", "NORMBENCH_NORM_KERNELS", "NVIDIA_TF32_OVERRIDE"),
    *("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
)


def environment(device: torch.device, catalogue: Catalogue) -> dict[str, Any]:
    """Return versions, hardware, git state and settings as strict JSON values."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "hardware": _hardware(device),
        "git": _git_state(Path(__file__).parent),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "command": sys.argv,
        "threads": torch.get_num_threads(),
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "computed_in": {"tf32": computed_in("tf32", device)},
        "plugins": [f"{plugin.name} ({plugin.origin})" for plugin in catalogue.plugins],
    }


def hardware_name(device: torch.device) -> str:
    """Return the name of the device: the GPU's, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
        found["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    return found


def _hardware(device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {
        "device": hardware_name(device),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["device_memory_mb"] = properties.total_memory // 2**20
        found["compute_capability"] = f"{properties.major}.{properties.minor}"
    return found


def _git_state(folder: Path) -> dict[str, Any]:
    """Return commit and cleanliness of the checkout that normbench runs from, if it is one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
