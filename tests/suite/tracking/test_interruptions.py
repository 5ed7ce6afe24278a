"""Whatever dies between two steps: after the next synchronisation nothing is lost or doubled."""

from __future__ import annotations

import http.server
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from normbench.specs import RunSpec
from normbench.store import RunStore, StoredRun
from normbench.tracking import SyncReport, sync
from normbench.tracking.backend import open_backend
from normbench.tracking.child import free_port

Spec = Callable[..., RunSpec]
Train = Callable[..., StoredRun]
Contents = Callable[..., dict[str, Any]]
WaitUntil = Callable[[Callable[[], bool]], None]
WrapClient = Callable[[Callable[[Any], Any]], None]

_READS = ("search_", "get_", "list_")


class _Killed(BaseException):
    """The process dies here."""


class _Client:
    """MLflow's client, of which each writing call is handed to *write*."""

    def __init__(self, client: Any, write: Callable[[str, Callable[..., Any]], Any]) -> None:
        self._client, self._write = client, write

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name.startswith(_READS):
            return method
        return lambda *values, **named: self._write(name, lambda: method(*values, **named))


@pytest.fixture
def some_runs(store: RunStore, train: Train, make_spec: Spec) -> RunStore:
    """A store with a finished, a failed and a diverged run in two rows."""
    train(make_spec(0))
    train(make_spec(1), outcome="failed")
    train(make_spec(0, norm="group_norm"), outcome="diverged")
    return store


@pytest.mark.parametrize("first", range(4))
def test_dying_between_any_two_writes_loses_and_doubles_nothing(
    first: int,
    some_runs: RunStore,
    other_uri: str,
    contents: Contents,
    wrap_client: WrapClient,
) -> None:
    """A collector that is killed after one to four writes, over and over, ends where others end."""

    def few_writes(_name: str, call: Callable[..., Any]) -> Any:
        # Files and views are sent again each time, so one write alone would not get past them.
        if len(written) > (first + deaths) % 4:
            raise _Killed
        written.append(call())
        return written[-1]

    sync(some_runs, uri=other_uri)
    wrap_client(lambda client: _Client(client, few_writes))
    deaths, report, written = 0, None, []
    while report is None and deaths < 200:
        written = []
        try:
            report = sync(some_runs)
        except _Killed:
            deaths += 1

    assert 12 < deaths < 200
    assert (0, 3) == (report.failed, report.created + report.updated + report.unchanged)
    assert contents(some_runs, other_uri) == contents(some_runs)


def test_requests_that_are_sent_twice_count_once(
    some_runs: RunStore, other_uri: str, contents: Contents, wrap_client: WrapClient
) -> None:
    """When every answer is lost and every request repeated, each run still exists once."""

    def twice(_name: str, call: Callable[..., Any]) -> Any:
        call()
        try:
            return call()
        except open_backend(some_runs).faults:
            return None  # what exists already cannot be created or deleted again

    sync(some_runs, uri=other_uri)
    wrap_client(lambda client: _Client(client, twice))

    report = sync(some_runs)

    assert SyncReport(created=3) == report
    assert contents(some_runs, other_uri) == contents(some_runs)


def test_a_run_that_mlflow_refuses_does_not_stop_the_others(
    some_runs: RunStore, contents: Contents, wrap_client: WrapClient
) -> None:
    """One run fails with MLflow's reason, the others are copied, and it follows the next time."""
    from mlflow.exceptions import MlflowException

    def refuse_first(name: str, call: Callable[..., Any]) -> Any:
        names.append(name)
        if names.count("set_terminated") == 1 and name == "set_terminated":
            raise MlflowException("no such thing today")
        return call()

    names: list[str] = []
    wrap_client(lambda client: _Client(client, refuse_first))

    report = sync(some_runs)

    assert (1, 2) == (report.failed, report.created)
    assert "no such thing today" in report.problems[0]
    assert 0 == sync(some_runs).failed


def test_a_killed_process_is_completed_by_the_next(
    many_runs: RunStore,
    other_uri: str,
    contents: Contents,
    count_runs: Callable[..., int],
    wait_until: WaitUntil,
) -> None:
    """SIGKILL in the middle of copying, then again from the start: as if undisturbed."""
    code = (
        "import sys; from pathlib import Path; from normbench.store import RunStore;"
        "from normbench.tracking import sync; sync(RunStore.open(Path(sys.argv[1])))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(many_runs.root)])
    wait_until(lambda: count_runs(many_runs) >= 6 or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    assert -signal.SIGKILL == process.wait()

    report = sync(many_runs)
    sync(many_runs, uri=other_uri)

    assert (0, 16) == (report.failed, report.created + report.updated + report.unchanged)
    assert report.created > 0
    assert contents(many_runs, other_uri) == contents(many_runs)


def test_a_server_that_is_away_costs_few_requests(many_runs: RunStore) -> None:
    """Sixteen runs and a server in trouble: a handful of requests, all counted as failed."""
    with _answering(503) as (address, requests):
        report = sync(many_runs, uri=address)

    assert SyncReport(failed=16, problems=report.problems) == report
    assert "does not answer" in report.problems[0]
    assert 1 <= len(requests) <= 6


def test_a_server_that_dies_is_asked_only_a_little_more(
    many_runs: RunStore, wrap_client: WrapClient
) -> None:
    """After MLflow has gone in the middle of sixteen runs, few calls are made, and all is told."""
    calls: list[str] = []

    class Dying:
        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            if calls.count("set_terminated") > 2:
                raise OSError("Connection refused")
            return getattr(self._client, name)

    wrap_client(Dying)

    report = sync(many_runs)

    assert (2, 14) == (report.created, report.failed)
    assert "does not answer" in report.problems[0]
    last = len(calls) - calls[::-1].index("set_terminated")
    assert len(calls) - last <= 2


def test_nobody_at_the_address_is_a_failure_without_an_exception(many_runs: RunStore) -> None:
    """Where no server listens, every run is counted as failed and the reason names the address."""
    address = f"http://127.0.0.1:{free_port('127.0.0.1', 5700)}"

    report = sync(many_runs, uri=address)

    assert 16 == report.failed
    assert address in report.problems[0]


@contextmanager
def _answering(status: int) -> Iterator[tuple[str, list[str]]]:
    """Run a server that answers every request with *status* and keeps their paths."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            requests.append(self.path)
            self.send_error(status)

        do_GET = _answer  # noqa: N815 - the base class calls it so
        do_POST = _answer  # noqa: N815

        def log_message(self, *words: object) -> None:
            """Stay silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
