"""What the Dask launcher has done inside a Dask worker: look at it, drain a store there, stop.

Nothing but text and numbers passes between driver and Dask worker. The draining itself is a process
of its own, ``normbench worker --drain``, with the Dask worker as its parent: once that is gone, the
process stops its workers at their last checkpoints.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from normbench.launchers.devices import visible_gpus
from normbench.launchers.launches import LOGS_FOLDER
from normbench.store.locks import hold
from normbench.worker import command

COMPLETE = (0, command.FAILED, command.INTERRUPTED)
UNABLE = (command.UNABLE, 2)
_POLL_SECONDS = 0.2
_TAIL_LINES = 3


@dataclass
class _Draining:
    """The one draining process of this Dask worker, and the launches that were stopped here."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    store: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    stopped: set[str] = field(default_factory=set)


HERE = _Draining()


def dask_setup(worker: object) -> None:  # noqa: ARG001 - the name and argument are Dask's
    """Ignore Ctrl-C in a Dask worker that shares the driver's terminal; the driver stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def version() -> str:
    """Return the version of normbench here."""
    return importlib.metadata.version("normbench")


def install_hint() -> str:
    """Return what to do where another version, or none, was found."""
    return f"This is normbench {version()}: install the same there."


def look(token: str, paths: Sequence[str], dask_worker: Any) -> dict[str, Any]:
    """Return what the launcher must know of this Dask worker before it drains a store there.

    Args:
        token: A file of the store that this launch has just written.
        paths: Files and folders that must be there as well.
        dask_worker: The worker, given by Dask.
    """
    return {
        "host": socket.gethostname(),
        "normbench": version(),
        "sees": Path(token).is_file(),
        "writes": os.access(token, os.W_OK),
        "missing": [path for path in paths if not Path(path).exists()],
        "threads": dask_worker.state.nthreads,
        "gpus": int(dask_worker.state.total_resources.get("GPU", 0)),
    }


def drain(
    launch: str, words: Sequence[str], place: Mapping[str, Any], variables: Mapping[str, str]
) -> tuple[int, str]:
    """Drain a store from this machine, in a process of its own, until nothing is left to take.

    A Dask worker drains for one launch at a time; others wait.

    Args:
        launch: Folder of the launch.
        words: Of ``normbench worker --drain``, but for device and slots.
        place: ``device`` and ``slots`` that were asked for, ``threads`` and ``gpus`` of the worker.
        variables: Environment variables to set.

    Returns:
        Its exit code, and the end of its log where it did not end as it should.
    """
    while not HERE.turn.acquire(timeout=_POLL_SECONDS):
        if launch in HERE.stopped:
            break
    else:
        with contextlib.ExitStack() as stack:
            stack.callback(HERE.turn.release)
            device, pinned = stack.enter_context(devices_here(**place))
            if not device:
                return UNABLE[0], "too few of its GPUs are free"
            return _watch(launch, [*words, *device], {**os.environ, **variables, **pinned})
    return command.INTERRUPTED, "stopped while it waited"


def stop(launch: str) -> None:
    """Stop what this Dask worker does for a launch, and whatever else drains the same store."""
    HERE.stopped.add(launch)
    process = HERE.process
    if process is not None and HERE.store == _store_of(launch):
        process.terminate()


def _watch(launch: str, words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run the process to its end."""
    log = Path(launch) / LOGS_FOLDER / f"{socket.gethostname()}-{os.getpid()}.log"
    call = [sys.executable, "-m", "normbench.worker", "--drain", "--parent", str(os.getpid())]
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [*call, *words],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=environment,
            start_new_session=True,
        )
    HERE.process, HERE.store = process, _store_of(launch)
    try:
        if launch in HERE.stopped:
            process.terminate()
        code = process.wait()
    finally:
        HERE.process = None
    if code in COMPLETE:
        return code, ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return code, f"exit code {code}: {' '.join(lines[-_TAIL_LINES:])}"


def _store_of(launch: str) -> Path:
    return Path(launch).parents[1]


@contextlib.contextmanager
def devices_here(
    device: str, slots: str | None, threads: int, gpus: int
) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Yield the words for device and slots, none if it has no device, and its environment."""
    visible = visible_gpus()
    on_gpu = device == "cuda" or (device == "auto" and bool(visible or gpus))
    if not on_gpu:
        device = "cpu" if device == "auto" else device
        slots = slots or (str(threads) if device == "cpu" else None)
        yield ["--device", device, *(["--slots", slots] if slots else [])], {}
        return
    with contextlib.ExitStack() as stack:
        free = (gpu for gpu in visible if stack.enter_context(hold(_gpu_lock(gpu), 0.0)))
        taken = [gpu for _, gpu in zip(range(gpus or len(visible)), free, strict=False)]
        words = ["--device", "cuda", *(["--slots", slots] if slots else [])]
        enough = len(taken) >= max(gpus, 1)
        if not enough:
            stack.close()
        yield words if enough else [], {"CUDA_VISIBLE_DEVICES": ",".join(taken)}


def _gpu_lock(gpu: str) -> Path:
    """Return the file whose lock says that a Dask worker of this machine uses the GPU."""
    folder = Path(tempfile.gettempdir()) / f"normbench-gpus-{os.getuid()}"
    return folder / f"{gpu.replace('/', '-')}.lock"
