"""The words of ``normbench worker`` that stand for a request."""

from __future__ import annotations

import shlex

from normbench.launchers.base import LaunchRequest, Pack
from normbench.launchers.launches import LaunchFolder
from normbench.quantities import typed_bytes, typed_seconds
from normbench.rungs import AUTO


def worker_words(request: LaunchRequest, launch: LaunchFolder) -> list[str]:
    """Return the words for the runs of *launch*, but for device, slots and wall time."""
    words = ["--store", str(request.store), "--data-dir", str(request.data_folder)]
    words += ["--since", str(launch.info()["since"])]
    for file in request.plugin_files:
        words += ["--plugin", str(file)]
    given = {
        "--runs": launch.runs_file,
        "--time-limit": request.time_limit,
        "--memory-limit": request.memory_limit,
        "--checkpoint-seconds": request.checkpoint_seconds,
    }
    for name, value in given.items():
        words += [] if value is None else [name, str(value)]
    words += [] if request.engine == AUTO else ["--engine", request.engine]
    words += [] if _pack(request) == "auto" else ["--pack", str(_pack(request))]
    return [*words, "--keep-weights"] if request.keep_weights else words


def _pack(request: LaunchRequest) -> Pack:
    """Return the size of packs; none form by themselves where other workers share the GPU."""
    return "off" if request.pack == "auto" and request.slots not in (None, 1) else request.pack


def resume_command(request: LaunchRequest, launcher: str) -> str:
    """Return the command that goes on with what is left of *request*, from whatever folder."""
    words = ["normbench", "resume", "--store", str(request.store.absolute())]
    words += ["--launcher", launcher]
    words += [] if request.device == "auto" else ["--device", request.device]
    for name, word in request.options.items():
        words += ["--launcher-option", f"{name}={word}"]
    given = {
        "--data-dir": request.data_folder.absolute(),
        "--slots": request.slots,
        "--time-limit": request.time_limit and typed_seconds(request.time_limit),
        "--memory-limit": request.memory_limit and typed_bytes(request.memory_limit),
    }
    for option, value in given.items():
        words += [] if value is None else [option, str(value)]
    words += [] if request.engine == AUTO else ["--engine", request.engine]
    words += [] if request.pack == "auto" else ["--pack", str(request.pack)]
    for file in request.plugin_files:
        words += ["--plugin", str(file.absolute())]
    words += ["--keep-weights"] if request.keep_weights else []
    return shlex.join(words)
