"""``mlflow server`` as a child process that never outlives us in peace or by Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from normbench.errors import StoreError
from normbench.store import RunStore
from normbench.tracking.backend import ARTIFACTS, prepare_environment

_PORTS_TRIED = 50
_SECONDS_TO_START = 120.0
_SECONDS_TO_END = 10.0
_PAUSE = 0.2
# Browsers open no page on these; the "bad ports" of the WHATWG Fetch standard from 1024 on.
_REFUSED_BY_BROWSERS = {
    *range(6665, 6670),
    *(1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6679, 6697, 10080),
}
_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Server:
    """A running ``mlflow server``.

    Attributes:
        address: Where it answers.
        pid: Its process, which leads a group of its own.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        address: str,
        output: IO[bytes],
        stopping: threading.Event,
    ) -> None:
        self._process, self._output, self._stopping = process, output, stopping
        self.address, self.pid = address, process.pid

    @property
    def stopping(self) -> bool:
        """Whether somebody asked it to end."""
        return self._stopping.is_set()

    def wait_until_ready(self, seconds: float = _SECONDS_TO_START) -> None:
        """Wait until the server answers.

        Raises:
            StoreError: If it ends instead, or takes longer than *seconds*.
        """
        deadline = time.monotonic() + seconds
        while not (self.answers() or self._stopping.is_set()):
            if self._process.poll() is not None:
                raise StoreError(f"the MLflow server did not start: {self._last_words()}")
            if time.monotonic() > deadline:
                raise StoreError(
                    f"the MLflow server did not answer at {self.address} within {seconds:g} s: "
                    f"{self._last_words()}"
                )
            self._stopping.wait(_PAUSE)

    def wait(self) -> None:
        """Wait until somebody asks it to end.

        Raises:
            StoreError: If it ends by itself.
        """
        while not self._stopping.wait(_PAUSE):
            if self._process.poll() is not None:
                raise StoreError(f"the MLflow server ended: {self._last_words()}")

    def answers(self) -> bool:
        """Whether the server answers and is ours, not another on its port."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.address}health", timeout=2.0) as answer:
                return answer.status == 200 and self._process.poll() is None
        except OSError:
            return False

    def end(self) -> None:
        """End the server and every process that it started."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_END)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _last_words(self) -> str:
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:]) or "it said nothing."


@contextlib.contextmanager
def running_server(store: RunStore, uri: str, host: str, port: int) -> Iterator[Server]:
    """Run ``mlflow server`` with one worker and no job runner while the context lasts."""
    prepare_environment()
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    address = f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"
    stopping = threading.Event()
    with tempfile.TemporaryFile() as output, _signals_to(stopping):
        process = subprocess.Popen(
            _command(uri, store.root.resolve() / ARTIFACTS, host, port),
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        server = Server(process, address, output, stopping)
        try:
            server.wait_until_ready()
            yield server
        finally:
            server.end()


def _command(uri: str, artifacts: Path, host: str, port: int) -> Sequence[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", uri),
        *("--artifacts-destination", artifacts.as_uri()),
        *("--host", host, "--port", str(port)),
        *("--workers", "1"),
    ]


@contextlib.contextmanager
def _signals_to(stopping: threading.Event) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM only set *stopping*; nothing but the main thread may ask so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port(host: str, first: int) -> int:
    """Return the first free port from *first* on that browsers open; any if *first* is 0.

    Raises:
        StoreError: If there is none, or the address is not this machine's.
    """
    last = min(first + _PORTS_TRIED, 65536)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (port for port in range(first, last) if port not in _REFUSED_BY_BROWSERS):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except PermissionError:
                continue
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise StoreError(
                    f"cannot listen on {host}: {error}. Give an address of this machine with "
                    f"--host; 127.0.0.1 always is."
                ) from error
            return int(probe.getsockname()[1])
    raise StoreError(
        f"ports {first} to {last - 1} of {host} are all taken. Give another with --port."
    )
