"""A worker process as its launcher sees it: started, listened to, stopped, killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from normbench.launchers.base import LaunchRequest
from normbench.launchers.devices import visible_gpus
from normbench.launchers.gpu_book import GpuBookFile
from normbench.launchers.launches import LaunchFolder
from normbench.launchers.words import worker_words
from normbench.store import RunState
from normbench.store.strikes import close_for
from normbench.worker.reports import ReportReader
from normbench.worker.trees import MARK, find_tree, freeze_tree, kill_tree

_BESIDE = "its worker was killed for another run"


@dataclass(frozen=True)
class Held:
    """A run that a worker trains.

    Attributes:
        run: Its fingerprint.
        attempt: Folder of the attempt.
        ends: When its time is over, on the clock ``time.monotonic``; None without limit.
    """

    run: str
    attempt: Path
    ends: float | None


@dataclass
class WorkerProcess:
    """A worker process.

    Attributes:
        process: The process, which leads its session.
        device: Its slot's device.
        mark: What its processes bear in the environment.
        log: Its log.
        reader: Reads what it reports.
        ready: Whether it was seen to be ready.
        took: How many runs it has taken.
        waited: Whether it ended since its runs wait for others on this machine.
        held: The runs that it trains, by fingerprint: one, several if they are a pack, or none.
    """

    process: subprocess.Popen[bytes]
    device: str
    mark: str
    log: Path
    reader: ReportReader
    ready: bool = False
    took: int = 0
    waited: bool = False
    held: dict[str, Held] = field(default_factory=dict)

    def news(self) -> list[dict[str, Any]]:
        """Return what it reported since the last call."""
        news = self.reader.news()
        for event in news:
            if event["event"] == "ready":
                self.ready = True
            elif event["event"] == "took":
                self.took += 1
                held = Held(event["run"], Path(event["attempt"]), event["ends"])
                self.held[held.run] = held
            elif event["event"] == "waits":
                self.waited = True
            elif event["event"] == "ended":
                self.held.pop(event["run"], None)
        return news

    def ask_to_stop(self) -> None:
        """Ask it to stop at its last checkpoint."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGTERM)

    def kill(
        self, outcome: RunState, message: str, *, runs: Collection[str] | None = None
    ) -> tuple[Sequence[str], Sequence[dict[str, Any]]]:
        """Kill it and all it started; close its attempts in its name.

        All are frozen before, so that a result which it was about to publish counts or does not.

        Args:
            outcome: How its runs end.
            message: Why.
            runs: Those that end so; what else it holds is interrupted. If there are none, which run
                of a pack is to blame is not known: each is trained alone next. None for all.

        Returns:
            The runs whose attempts were closed so, and what it reported since it was last heard.
        """
        closed: list[str] = []
        try:
            freeze_tree(self.process.pid, self.mark)
            news = self.news()
            for run, held in self.held.items():
                if runs is None or run in runs:
                    closed += [run] if close_for(held.attempt, outcome, message) else []
                elif runs:
                    close_for(held.attempt, RunState.INTERRUPTED, _BESIDE)
        finally:
            kill_tree(self.process.pid, self.mark)
            self.process.kill()
            self.process.wait()
        return closed, news

    def clear_away(self) -> int:
        """Kill what it left behind; return how many processes that were."""
        left = len(find_tree(self.process.pid, self.mark))
        if left:
            kill_tree(self.process.pid, self.mark)
        return left

    def last_words(self, lines: int = 5) -> str:
        """Return the end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])


def start_worker(
    request: LaunchRequest,
    folder: LaunchFolder,
    device: str,
    *,
    since: float,
    until: float | None,
    shared: bool,
    peers: int = 1,
    book: GpuBookFile | None = None,
) -> WorkerProcess:
    """Start a worker on *device*.

    Args:
        request: What it is to train.
        folder: Folder of the launch.
        device: ``cpu`` or ``cuda:N``.
        since: When the launch began, by the clock of the store's file system.
        until: Unix seconds at which the machine goes away; None if it stays.
        shared: Whether other runs share the device.
        peers: Workers of this launcher on GPUs, which share packs out.
        book: What is known of GPUs that several workers share; None if none does.
    """
    mark = secrets.token_hex(8)
    log = folder.logs / f"worker-{time.strftime('%H%M%S')}-{mark[:6]}.log"
    report = log.with_suffix(".jsonl")
    command = [sys.executable, "-m", "normbench.worker", *worker_words(request, folder)]
    command += ["--device", device.partition(":")[0]]
    command += ["--parent", str(os.getpid()), "--report", str(report), "--since", str(since)]
    command += ["--started", str(time.monotonic())]
    command += [] if until is None else ["--until", str(until)]
    command += ["--shared"] if shared else []
    command += ["--peers", str(peers)] if peers > 1 else []
    if book is not None:
        command += ["--gpu-book", str(book.path), "--gpu", device]
        command += ["--sized"] if book.sized else []
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=_variables(device, mark),
            start_new_session=True,
        )
    return WorkerProcess(process, device, mark, log, ReportReader(report))


def _variables(device: str, mark: str) -> Mapping[str, str]:
    variables = {**os.environ, "OMP_NUM_THREADS": "1", MARK: mark}
    if device.startswith("cuda:"):
        variables["CUDA_VISIBLE_DEVICES"] = visible_gpus()[int(device.partition(":")[2])]
    return variables
