"""What follows from how a worker process ended, for its run and for its launcher."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from normbench.errors import NormbenchError, UsageError
from normbench.launchers import deaths
from normbench.launchers.deaths import Deaths
from normbench.launchers.pool import Held, WorkerProcess
from normbench.launchers.tally import Tally
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore, StoredRun
from normbench.store.folders import list_attempts
from normbench.store.strikes import noted_death
from normbench.worker.command import INTERRUPTED, OUT_OF_TIME, UNABLE, UNCLEAN
from normbench.worker.reports import Reporter, ReportReader


@pytest.fixture
def kernel(monkeypatch) -> list[int]:
    """The kernel's count of what it killed for want of memory; append to raise it."""
    kills = [0]
    monkeypatch.setattr(deaths, "oom_kills", lambda: kills[-1])
    return kills


@pytest.fixture
def judge(kernel) -> Deaths:
    """The judge of one launcher, with a tally that nobody reads yet."""
    return Deaths(Tally(logging.getLogger(__name__), logging.DEBUG))


@pytest.fixture
def worker(tmp_path) -> WorkerProcess:
    """A worker that is ready, has taken nothing and has said two lines."""
    log = tmp_path / "worker.log"
    log.write_text("first words\nlast words\n")
    reader = ReportReader(tmp_path / "worker.jsonl")
    return WorkerProcess(None, "cpu", "f00d", log, reader, ready=True)


@pytest.fixture
def run(tmp_path) -> StoredRun:
    store = RunStore.open(tmp_path / "store", create=True)
    request = Request(problem="digits_cnn", optimizer="sgd", words=[], seeds=[0])
    return store.add(resolve(request, load_catalogue())[0])


@pytest.fixture
def holding(worker, run) -> Callable[[], WorkerProcess]:
    """Return what makes a worker that holds the run in a new attempt."""

    def made() -> WorkerProcess:
        for before in list_attempts(run.path):
            if (heartbeat := before.path / "heartbeat").exists():
                os.utime(heartbeat, (1, 1))
        attempt = run.claim({})
        return replace(
            worker, held={run.fingerprint: Held(run.fingerprint, Path(attempt.path), None)}, took=1
        )

    return made


@pytest.mark.parametrize("code", [UNCLEAN, INTERRUPTED])
def test_worker_that_asks_to_be_replaced_is_no_death(judge, holding, run, code):
    """Neither its run nor its launcher hears of it."""
    judge.judge(holding(), code)

    assert not judge.closed
    assert "" == noted_death(list_attempts(run.path))


def test_worker_out_of_time_ends_the_launch(judge, worker):
    """What one worker finds too long for the time left, the next would too."""
    judge.judge(worker, OUT_OF_TIME)

    assert judge.closed


@pytest.mark.parametrize(("code", "sort"), [(UNABLE, NormbenchError), (2, UsageError)])
@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("first words\nlast words\n", "last words"),
        ("2026-11-22 11:19:36,109 ERROR --limit: too low.\nGive more.\n", r"--limit.*\nGive more."),
    ],
)
def test_worker_that_cannot_go_on_says_why(judge, worker, code, sort, log, words):
    """What it said last is the error, without its time; no other worker would do better."""
    worker.log.write_text(log)
    with pytest.raises(NormbenchError, match=rf"a worker cannot go on: {words}$") as caught:
        judge.judge(worker, code)

    assert sort is caught.type


def test_workers_that_find_nothing_are_not_started_for_ever(judge, worker):
    """Ten in a row are borne, who finds runs that wait is none, and work begins the count anew."""
    for _ in range(10):
        judge.judge(worker, 0)
    judge.saw_work()
    for _ in range(10):
        judge.judge(worker, 0)
    judge.judge(replace(worker, took=1), 0)
    waiting = replace(worker)
    Reporter(worker.log.with_suffix(".jsonl")).tell("waits")
    waiting.news()
    judge.judge(waiting, 0)
    assert not judge.closed
    judge.judge(worker, 0)

    assert judge.closed


def test_worker_that_fails_to_start_is_an_error_with_its_log(judge, worker):
    """An exit code before it was ready comes again; a signal may be chance, up to ten times."""
    unready = replace(worker, ready=False)
    with pytest.raises(
        NormbenchError, match=r"exit code 7 before it took a run.*worker\.log\nfirst"
    ):
        judge.judge(unready, 7)
    for _ in range(9):
        judge.judge(unready, -signal.SIGKILL)
    with pytest.raises(NormbenchError, match="ended with signal SIGKILL before it took a run"):
        judge.judge(unready, -signal.SIGKILL)


def test_death_between_runs_is_a_warning(judge, worker, caplog):
    """Nothing was lost, and the next worker takes the next run."""
    judge.judge(worker, 7)

    assert ["a worker ended with exit code 7 while it held no run"] == caplog.messages


def test_death_on_a_run_is_noted_with_it(judge, holding, run):
    """Whoever sets the run aside can say how its workers died; nothing is counted yet."""
    judge.judge(holding(), -signal.SIGSEGV)

    assert "ended with signal SIGSEGV" == noted_death(list_attempts(run.path))
    assert list_attempts(run.path)[-1].ended() is None


def test_kill_by_the_kernel_is_lack_of_memory(judge, holding, run, kernel):
    """Only a SIGKILL beside a new kill in the kernel's count is one, and each counts once."""
    kernel.append(1)
    judge.judge(holding(), -signal.SIGKILL)
    first = list_attempts(run.path)[-1].ended()
    judge.judge(holding(), -signal.SIGKILL)
    second = list_attempts(run.path)[-1].ended()
    kernel.append(2)
    judge.judge(holding(), -signal.SIGSEGV)

    assert (RunState.OUT_OF_MEMORY, None) == (first, second)
    assert {RunState.OUT_OF_MEMORY: 1} == judge._tally.outcomes
    assert list_attempts(run.path)[-1].ended() is None


def test_death_of_a_pack_is_blamed_on_none_of_its_runs(judge, holding, run, kernel, caplog):
    """Not even lack of memory: each is trained alone next, where it counts."""
    kernel.append(1)
    packed = holding()
    other = replace(packed.held[run.fingerprint], run="0" * 32)
    judge.judge(replace(packed, held={**packed.held, other.run: other}), -signal.SIGKILL)

    assert list_attempts(run.path)[-1].ended() is None
    words = "ended with signal SIGKILL, which trained 2 runs; each is trained alone next"
    assert words == noted_death(list_attempts(run.path))
    assert 2 == len(caplog.messages)
