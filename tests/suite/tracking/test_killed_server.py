"""A tracking server that dies in the middle of a synchronisation."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from normbench.store import RunStore
from normbench.tracking import SyncReport, sync
from normbench.tracking.child import free_port, running_server

Contents = Callable[..., dict[str, Any]]
WaitUntil = Callable[[Callable[[], bool]], None]


@pytest.mark.slow
def test_a_killed_server_is_caught_up_with_when_it_is_back(
    many_runs: RunStore,
    other_uri: str,
    contents: Contents,
    count_runs: Callable[..., int],
    wait_until: WaitUntil,
) -> None:
    """SIGKILL of the server in the middle, restart, again: all there once, files by its proxy."""
    port = free_port("127.0.0.1", 5600)
    address = f"http://127.0.0.1:{port}"
    database = f"sqlite:///{many_runs.root / 'mlflow.db'}"
    with running_server(many_runs, database, "127.0.0.1", port) as server:

        def kill_in_the_middle() -> None:
            wait_until(lambda: count_runs(many_runs) >= 6)
            os.killpg(server.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_in_the_middle)
        killer.start()
        interrupted = sync(many_runs, uri=address)
        killer.join()
    with running_server(many_runs, database, "127.0.0.1", port):
        completed = sync(many_runs, uri=address)
        again = sync(many_runs, uri=address)
        held = contents(many_runs, address)

    sync(many_runs, uri=other_uri)
    assert interrupted.failed > 0
    assert "does not answer" in interrupted.problems[0]
    assert (0, SyncReport(unchanged=16)) == (completed.failed, again)
    assert contents(many_runs, other_uri) == held
