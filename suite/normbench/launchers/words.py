"""The words of ``normbench worker`` that stand for a request."""

from __future__ import annotations

from normbench.launchers.base import LaunchRequest
from normbench.launchers.launches import LaunchFolder


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
    return [*words, "--keep-weights"] if request.keep_weights else words
