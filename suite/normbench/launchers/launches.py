"""Launch folders: what was started on a store, by whom, and the logs of its workers.

A launch has the folder ``STORE/launches/ID``::

    runs.txt     the runs to take, a fingerprint a line; absent if all that is pending is taken
    launch.json  launcher, host, process, time, options, ids of jobs
    logs/        what the workers of this launch say

Lists of runs are handed over in this folder, since no command line holds 100 000 of them. Nothing
here is the truth about runs; a folder may be deleted once its launch is over.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from normbench.launchers.base import LaunchRequest
from normbench.store import processes
from normbench.store.files import explained, open_folder, read_json, remove_tree, to_json
from normbench.store.files import write_whole as _write_whole
from normbench.store.layout import list_names

LAUNCHES_FOLDER = "launches"
LAUNCH_FILE = "launch.json"
DRAIN = "drain"  # what `worker --drain` is called where a launcher would be
RUNS_FILE = "runs.txt"
LOGS_FOLDER = "logs"
_SCHEMA = 1
_KEPT = 20
_KEPT_SECONDS = 7 * 86400.0
_ENCODING = "ascii"


@dataclass(frozen=True)
class LaunchFolder:
    """The folder of one launch.

    Attributes:
        path: Where it is.
    """

    path: Path

    @classmethod
    def create(cls, launcher: str, request: LaunchRequest) -> Self:
        """Make the folder of a launch that begins now, and sweep those long over.

        Args:
            launcher: Name of the launcher.
            request: What it is to train.

        Raises:
            StoreError: If the store cannot be written.
        """
        top = request.store / LAUNCHES_FOLDER
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = top / f"{stamp}-{launcher}-{secrets.token_hex(3)}"
        with explained("write", path):
            (path / LOGS_FOLDER).mkdir(parents=True)
            if not request.drain:
                _write(path / RUNS_FILE, "".join(f"{run}\n" for run in request.fingerprints))
            _write(path / LAUNCH_FILE, to_json(_content(path, launcher, request)))
        _sweep(top)
        return cls(path)

    @property
    def id(self) -> str:
        """Its name: when it began, its launcher, and a few digits."""
        return self.path.name

    @property
    def logs(self) -> Path:
        """Folder of its logs."""
        return self.path / LOGS_FOLDER

    @property
    def runs_file(self) -> Path | None:
        """The list of its runs; None if it takes all that is pending."""
        path = self.path / RUNS_FILE
        return path if path.exists() else None

    def runs(self) -> list[str] | None:
        """Return the fingerprints of its runs; None if it takes all that is pending."""
        path = self.runs_file
        return None if path is None else read_runs(path)

    def info(self) -> dict[str, Any]:
        """Return what ``launch.json`` says; empty if it is not there.

        ``launcher``, ``host``, ``boot``, ``pid``, ``process_started``, ``started`` (Unix seconds),
        ``since`` (the same by the clock of the store's file system), ``store``, ``runs`` (their
        number, None for all), ``device``, ``slots``, ``pack``, ``engine``, ``time_limit``,
        ``memory_limit``, ``wall_time``, ``options`` and ``jobs``; later ``ended``, and what
        :meth:`note` added.
        """
        return read_json(self.path / LAUNCH_FILE) or {}

    def note(self, **values: Any) -> None:
        """Add *values* to ``launch.json``, such as ``jobs=["4711"]`` or ``ended=time.time()``.

        Raises:
            StoreError: If it cannot be written.
        """
        with explained("write", self.path / LAUNCH_FILE):
            _write(self.path / LAUNCH_FILE, to_json({**self.info(), **values}))

    def is_over(self) -> bool:
        """Whether it ended, or had no jobs and ran on this machine, where its driver is dead."""
        info = self.info()
        if info.get("ended"):
            return True
        here = (info.get("host"), info.get("boot")) == (socket.gethostname(), processes.boot())
        alone = here and not info.get("jobs")
        return alone and processes.is_dead(info.get("pid", 0), info.get("process_started", ""))


def launches(store: Path) -> list[LaunchFolder]:
    """Return the launches of the store in the folder *store*, the newest last."""
    top = store / LAUNCHES_FOLDER
    return [LaunchFolder(top / name) for name in sorted(list_names(top))]


def read_runs(path: Path) -> list[str]:
    """Return the fingerprints in the file *path*, one a line; blank lines do not count.

    Raises:
        StoreError: If it cannot be read.
    """
    with explained("read", path):
        return path.read_text(encoding=_ENCODING, errors="replace").split()


def write_runs(path: Path, fingerprints: Iterable[str]) -> None:
    """Write the file that :func:`read_runs` reads.

    Raises:
        StoreError: If it cannot be written.
    """
    with explained("write", path):
        _write(path, "".join(f"{run}\n" for run in fingerprints))


def _content(path: Path, launcher: str, request: LaunchRequest) -> dict[str, Any]:
    return {
        "schema": _SCHEMA,
        "launcher": launcher,
        "host": socket.gethostname(),
        "boot": processes.boot(),
        "pid": os.getpid(),
        "process_started": processes.started(os.getpid()),
        "started": time.time(),
        "since": path.stat().st_mtime,
        "store": str(request.store),
        "runs": None if request.drain else len(request.fingerprints),
        "device": request.device,
        "slots": request.slots,
        "pack": request.pack,
        "engine": request.engine,
        "time_limit": request.time_limit,
        "memory_limit": request.memory_limit,
        "wall_time": request.wall_time,
        "options": dict(request.options),
        "jobs": [],
    }


def _write(path: Path, content: str | bytes) -> None:
    data = content.encode(_ENCODING) if isinstance(content, str) else content
    with open_folder(path.parent) as folder:
        _write_whole(path.name, data, folder=folder)


def _sweep(top: Path) -> None:
    """Remove the folders of launches long over, all but the newest few."""
    now = time.time()
    for name in sorted(list_names(top))[:-_KEPT]:
        launch = LaunchFolder(top / name)
        if now - launch.info().get("started", now) > _KEPT_SECONDS and launch.is_over():
            remove_tree(launch.path)
