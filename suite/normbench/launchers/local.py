"""The local launcher: worker processes on this machine, each with its device pinned.

Every worker gets the whole list and claims what is left of it, so nothing passes between driver
and workers but the store. A worker that dies is replaced; a run that killed three of them, one
after another, is set aside as ``killed``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from normbench.errors import NormbenchError, UsageError
from normbench.launchers.base import LaunchRequest
from normbench.store import RunState, RunStore

STRIKES = 3
POLL_SECONDS = 0.1
ELSEWHERE_SECONDS = 1.0
GRACE_SECONDS = 10.0
_ENDED = (RunState.FINISHED, RunState.DIVERGED)
_COMPLETE = (0, 1, 130)
_UNABLE = 3
_log = logging.getLogger(__name__)


@dataclass
class _Worker:
    """A worker process and where it writes its log."""

    process: subprocess.Popen[bytes]
    device: str
    log: Path


class LocalLauncher:
    """Starts workers, watches them, replaces the dead, stops all of them when interrupted."""

    def __call__(self, request: LaunchRequest, tick: Callable[[], None]) -> None:
        """Train the runs of *request*; see :class:`normbench.launchers.base.Launch`."""
        store = RunStore.open(request.store)
        slots = devices(request.device, request.slots)[: len(request.fingerprints)]
        workers = [_start(request, device) for device in slots]
        strikes: Counter[str] = Counter()
        try:
            while workers or self._waits(store, request.fingerprints):
                tick()
                time.sleep(POLL_SECONDS if workers else ELSEWHERE_SECONDS)
                for worker in [w for w in workers if w.process.poll() is not None]:
                    workers.remove(worker)
                    if self._should_replace(worker, request, store, strikes):
                        left = [run for run in request.fingerprints if strikes[run] < STRIKES]
                        request = replace(request, fingerprints=tuple(left))
                        workers += [_start(request, worker.device)] if left else []
        finally:
            _stop(workers)
            tick()

    def _waits(self, store: RunStore, fingerprints: tuple[str, ...]) -> bool:
        """Whether another process trains some of the runs."""
        runs = [store.get(fingerprint) for fingerprint in fingerprints]
        return any(run is not None and run.state() is RunState.RUNNING for run in runs)

    def _should_replace(
        self, worker: _Worker, request: LaunchRequest, store: RunStore, strikes: Counter[str]
    ) -> bool:
        """Count a dead worker against the run it held; say whether another is worth starting."""
        code = worker.process.returncode
        if code in _COMPLETE:
            return False
        if code == _UNABLE:
            raise NormbenchError(f"a worker cannot go on: {_tail(worker.log, 1)}")
        held = _held_by(worker.process.pid, request, store)
        if held is None:
            raise NormbenchError(
                f"a worker ended with {_ended(code)} before it took a run. Its log: {worker.log}\n"
                f"{_tail(worker.log)}"
            )
        strikes[held] += 1
        _log.warning("run %s: its worker ended with %s", held[:8], _ended(code))
        if strikes[held] >= STRIKES:
            _set_aside(store, held, f"its worker ended with {_ended(code)}, {STRIKES} times over")
        return True


def devices(device: str, slots: int | None) -> list[str]:
    """Return the device of each slot.

    Args:
        device: ``auto`` is every GPU if there is one, else the processor; ``cuda`` every GPU.
        slots: Slots on the processor or on each GPU; None for one on each core or GPU.

    Raises:
        UsageError: If there is no such device.
    """
    gpus = _gpu_count()
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    if device == "cpu":
        return ["cpu"] * (slots or len(_cores()))
    name, _, number = device.partition(":")
    if name != "cuda" or (number and not number.isdecimal()):
        raise UsageError(f"unknown device {device!r}: expected auto, cpu, cuda or cuda:N.")
    chosen = [int(number)] if number else list(range(gpus))
    if not chosen or max(chosen) >= gpus:
        raise UsageError(f"--device {device}: this machine has {gpus} GPUs. Use --device cpu.")
    return [f"cuda:{gpu}" for gpu in chosen for _ in range(slots or 1)]


def _gpu_count() -> int:
    """Count the GPUs this process may see, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def _cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _start(request: LaunchRequest, device: str) -> _Worker:
    command = [sys.executable, "-m", "normbench.worker", "--store", str(request.store)]
    command += ["--data-dir", str(request.data_folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if device.startswith("cuda:"):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        index = int(device.partition(":")[2])
        pinned = visible.split(",")[index] if visible else str(index)
        environment["CUDA_VISIBLE_DEVICES"] = pinned
        command += ["--device", "cuda"]
    else:
        command += ["--device", "cpu"]
    for file in request.plugin_files:
        command += ["--plugin", str(file)]
    if request.keep_weights:
        command.append("--keep-weights")
    if request.checkpoint_seconds is not None:
        command += ["--checkpoint-seconds", str(request.checkpoint_seconds)]
    log = request.store / "logs" / f"worker-{os.getpid()}-{time.time_ns()}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, *request.fingerprints],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=environment,
            start_new_session=True,
        )
    return _Worker(process, device, log)


def _held_by(pid: int, request: LaunchRequest, store: RunStore) -> str | None:
    """Return the unfinished run whose newest attempt belongs to process *pid*."""
    for fingerprint in request.fingerprints:
        run = store.get(fingerprint)
        if run is None or (run.state() in _ENDED and not run.lacking()):
            continue
        attempts = run.attempts()
        if attempts and attempts[-1].pid == pid:
            return fingerprint
    return None


def _set_aside(store: RunStore, fingerprint: str, reason: str) -> None:
    run = store.get(fingerprint)
    if run is None:
        return
    attempt = run.claim({}) or run.claim({}, for_series=True)
    if attempt is not None:
        with attempt:
            attempt.close(RunState.KILLED, reason)


def _stop(workers: list[_Worker]) -> None:
    """Ask all workers to stop, then end the whole tree of those that do not."""
    for worker in workers:
        _signal(worker, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for worker in workers:
        try:
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(worker, signal.SIGKILL)
            worker.process.wait()


def _signal(worker: _Worker, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.process.pid, number)


def _ended(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _tail(log: Path, lines: int = 5) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
