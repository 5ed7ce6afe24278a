"""Serving MLflow's pages on a store."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from normbench.errors import StoreError, UsageError
from normbench.specs import RunSpec
from normbench.store import RunStore, StoredRun
from normbench.tracking import child, serve
from normbench.tracking.child import free_port, running_server

Spec = Callable[..., RunSpec]
Train = Callable[..., StoredRun]


def test_a_taken_port_is_passed_over() -> None:
    """The next free port is chosen while another program listens on the first."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]

        chosen = free_port("127.0.0.1", taken)

    assert taken < chosen < taken + 50


def test_ports_that_browsers_refuse_are_passed_over() -> None:
    """Port 5060 belongs to telephony, and no browser would open a page on it."""
    assert free_port("127.0.0.1", 5060) > 5061


def test_port_zero_means_any_that_is_free() -> None:
    """As usual with servers, 0 leaves the choice to the system."""
    assert free_port("127.0.0.1", 0) > 0


def test_an_address_of_another_machine_is_refused() -> None:
    """An address that cannot be listened on is named together with one that can."""
    with pytest.raises(StoreError, match=r"cannot listen on 192\.0\.2\.1.*127\.0\.0\.1"):
        free_port("192.0.2.1", 5000)


def test_the_server_has_one_worker_and_no_job_runner(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker on the given address, jobs off, telemetry off, in a process group of its own."""
    started: dict[str, object] = {}

    def refuse(command: list[str], **how: object) -> None:
        started.update(how, command=command)
        raise OSError("stop here")

    monkeypatch.setattr(child.subprocess, "Popen", refuse)

    with (
        pytest.raises(OSError, match="stop here"),
        running_server(store, "sqlite:////x.db", "127.0.0.1", 5000),
    ):
        pass

    words = " ".join(map(str, started["command"]))
    environment = started["env"]
    assert "--host 127.0.0.1 --port 5000 --workers 1" in words
    assert f"--artifacts-destination file://{store.root}/mlflow-artifacts" in words
    assert "false" == environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"]
    assert (True, "true") == (started["start_new_session"], environment["MLFLOW_DISABLE_TELEMETRY"])


def test_a_server_that_does_not_start_says_its_last_words(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the child ends at once, its last lines are in the error."""
    code = "import sys; print('no luck today'); sys.exit(3)"
    monkeypatch.setattr(child, "_command", lambda *_: [sys.executable, "-c", code])

    with (
        pytest.raises(StoreError, match="did not start: no luck today"),
        running_server(store, "sqlite:////x.db", "127.0.0.1", free_port("127.0.0.1", 5900)),
    ):
        pass


def test_a_server_elsewhere_is_only_linked(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a tracking server in the environment nothing is started, and its address is said."""
    address = f"http://127.0.0.1:{free_port('127.0.0.1', 5900)}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

    serve(store)

    assert f"MLflow: {address}/#/experiments" in capsys.readouterr().out


def test_a_port_that_was_asked_for_is_not_replaced(store: RunStore) -> None:
    """Where it is taken, the fix is said, and nothing is copied or started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {taken} is taken.*--port"):
            serve(store, port=taken, only=True)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serving_for_real_until_it_is_stopped(
    stop: signal.Signals, store: RunStore, train: Train, make_spec: Spec
) -> None:
    """It gives the link to the runs, answers, and leaves no process behind when it is stopped."""
    train(make_spec())
    port = free_port("127.0.0.1", 6000)
    code = (
        "import sys; from pathlib import Path; from normbench.store import RunStore;"
        "from normbench.tracking import serve;"
        "serve(RunStore.open(Path(sys.argv[1])), port=int(sys.argv[2]))"
    )
    serving = subprocess.Popen(
        [sys.executable, "-c", code, str(store.root), str(port)], stdout=subprocess.PIPE, text=True
    )
    lines = iter(serving.stdout.readline, "")
    said = [next(lines) for _ in range(3)]
    health = urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10).read()
    children = _descendants(serving.pid)
    serving.send_signal(stop)

    assert 0 == serving.wait(30)
    serving.stdout.close()
    assert "Copied to MLflow: 1 created, 0 updated, 0 unchanged, 0 failed.\n" == said[0]
    link = f"http://127.0.0.1:{port}/#/experiments/1/runs?workflowType=machine_learning"
    assert f"normbench/digits_cnn/quick: {link}&viewStateShareKey=normbench-runs\n" == said[1]
    assert b"OK" == health
    assert len(children) >= 1
    assert [] == [pid for pid in children if Path(f"/proc/{pid}").exists()]


def _descendants(pid: int) -> list[int]:
    """Return all processes below *pid*."""
    parents: dict[int, list[int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = file.read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(file.parent.name))
    found, left = [], [pid]
    while left:
        below = parents.get(left.pop(), [])
        found += below
        left += below
    return found
