"""Parts of launchers: slots, memory, limits as typed, process trees, launch folders, reports."""

from __future__ import annotations

import dataclasses
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from normbench import UsageError
from normbench.api import Launching, check_launching
from normbench.errors import SecondInterrupt, StoreError
from normbench.launchers import pool
from normbench.launchers.base import LaunchRequest
from normbench.launchers.devices import check_pack, cores, devices, parse_pack, parse_slots
from normbench.launchers.kernel import oom_kills
from normbench.launchers.launches import LaunchFolder, launches, read_runs
from normbench.launchers.local import Scheduler, _shares
from normbench.launchers.pool import Held, WorkerProcess, _variables
from normbench.launchers.tally import Tally
from normbench.launchers.words import resume_command, worker_words
from normbench.plugins import load_catalogue
from normbench.quantities import (
    counted,
    parse_bytes,
    parse_seconds,
    show_bytes,
    typed_bytes,
    typed_seconds,
)
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore, StoredRun
from normbench.store.strikes import STRIKES
from normbench.worker.reports import Reporter, ReportReader
from normbench.worker.trees import MARK, Processes, find_tree, kill_tree

GIB = 2**30
# A worker whose child leaves the session, and whose grandchild is nobody's child.
FAMILY = """
import subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
orphan = f"import subprocess as s; print(s.Popen({sleep!r}, stdout=-3, start_new_session=True).pid)"
own = subprocess.Popen(sleep, start_new_session=True)
print(own.pid, subprocess.check_output([sys.executable, "-c", orphan], text=True), flush=True)
time.sleep(600)
"""


def test_processor_has_a_slot_for_each_core_this_process_may_use():
    """Without --slots every core trains one run."""
    assert ["cpu"] * len(os.sched_getaffinity(0)) == devices("cpu", None)
    assert ["cpu"] * 5 == devices("cpu", 5)


@pytest.mark.parametrize(
    ("slots", "found", "shared"),
    [
        (None, ["cpu"] * len(cores()), False),
        (None, ["cpu"] * (len(cores()) + 1), True),
        (1, ["cuda:0", "cuda:1"], False),
        (2, ["cuda:0", "cuda:1", "cuda:0", "cuda:1"], True),
        ("auto", ["cuda:0", "cuda:1"], True),
    ],
)
def test_times_count_where_each_run_has_a_core_or_gpu_to_itself(tmp_path, slots, found, shared):
    """More runs than cores share them; a GPU is shared as soon as it may train two."""
    request = LaunchRequest(store=tmp_path, data_folder=tmp_path, slots=slots)

    assert shared == _shares(found, request)


def test_gpus_are_pinned_one_a_slot(monkeypatch):
    """Each visible GPU has its slots; a number chooses one of them."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")

    assert ["cuda:0", "cuda:1"] == devices("auto", None)
    assert ["cuda:0", "cuda:1", "cuda:0", "cuda:1"] == devices("cuda", 2)
    assert ["cuda:1"] == devices("cuda:1", None)
    assert ["4", "7"] == [
        _variables(device, "f00d")["CUDA_VISIBLE_DEVICES"] for device in ("cuda:0", "cuda:1")
    ]
    with pytest.raises(UsageError, match="this machine has 2 GPUs"):
        devices("cuda:2", None)


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cpu:1", ""])
def test_unknown_device_lists_the_known_ones(device, monkeypatch):
    """A device is auto, cpu, cuda or cuda:N."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UsageError, match="expected auto, cpu, cuda or cuda:N"):
        devices(device, None)


def test_slots_are_a_number_or_auto():
    """Anything else is refused with what is expected."""
    assert (3, "auto") == (parse_slots("3"), parse_slots("auto"))
    assert ["cpu"] * len(os.sched_getaffinity(0)) == devices("cpu", "auto")
    for words in ("0", "-1", "two", "1.5", ""):
        with pytest.raises(UsageError, match="whole number from 1, or auto"):
            parse_slots(words)


@pytest.mark.parametrize(
    ("pack", "slots", "device", "fault"),
    [
        (4, None, "cuda:0", ""),
        ("auto", "auto", "cpu", ""),
        (1, 3, "cpu", ""),
        (4, 1, "cpu", "these are to train on the processor"),
        (4, 2, "cuda:0", "both let runs share a GPU"),
    ],
)
def test_packs_have_a_gpu_to_themselves(pack, slots, device, fault, tmp_path):
    """A size that cannot be had is refused; without one, packs stay away from shared GPUs."""
    with pytest.raises(UsageError, match=fault) if fault else nullcontext():
        check_pack(pack, slots, device)
    for text in ("0", "two", "", "-1"):
        with pytest.raises(UsageError, match="whole number from 1, auto or off"):
            parse_pack(text)
    request = LaunchRequest(store=tmp_path, data_folder=tmp_path, slots=slots, pack=pack)
    words = worker_words(request, LaunchFolder.create("local", request))
    given = words[words.index("--pack") + 1] if "--pack" in words else "auto"
    assert ("off" if (pack, slots) == ("auto", "auto") else pack) == parse_pack(given)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("90", 90),
        ("1.5s", 1.5),
        ("30m", 1800),
        ("2h", 7200),
        ("1d", 86400),
        ("10:30", 37800),
        ("1:30:00", 5400),
        ("2-12:00:00", 216000),
    ],
)
def test_times_are_read_as_typed(words, seconds):
    """Seconds, a unit, or a clock time as schedulers write it."""
    assert seconds == parse_seconds(words)


@pytest.mark.parametrize(
    ("words", "size"), [("1024", 1024), ("4G", 4 * GIB), ("1.5 GiB", 1.5 * GIB), ("64mb", 2**26)]
)
def test_sizes_are_read_as_typed(words, size):
    """Units are powers of 1024."""
    assert size == parse_bytes(words)
    assert "1.5 GiB" == show_bytes(1.5 * GIB)


@pytest.mark.parametrize(
    ("seconds", "size", "shown"),
    [(7200.0, 2**32, "2h 4G"), (90.0, 1536 * 2**20, "90 1536M"), (0.5, 1000, "0.5 1000")],
)
def test_commands_name_quantities_as_typed(seconds, size, shown):
    """They mean the same when they are typed again."""
    words = typed_seconds(seconds), typed_bytes(size)

    assert shown == " ".join(words)
    assert (seconds, size) == (parse_seconds(words[0]), parse_bytes(words[1]))


def test_the_command_that_goes_on_asks_for_the_same(tmp_path):
    """Device, engine, limits and files go along; a worker is told the engine, too."""
    files = {"store": tmp_path, "data_folder": tmp_path}
    limits = {"time_limit": 5400.0, "memory_limit": 4 * GIB}
    request = LaunchRequest(
        **{**files, **limits, "device": "cuda:1", "engine": "compile", "pack": 4},
        plugin_files=(tmp_path / "p.py",),
    )
    words = worker_words(request, LaunchFolder.create("dask", request))

    assert resume_command(request, "dask") == (
        f"normbench resume --store {tmp_path} --launcher dask --device cuda:1 --data-dir "
        f"{tmp_path} --time-limit 90m --memory-limit 4G --engine compile --pack 4 "
        f"--plugin {tmp_path}/p.py"
    )
    assert ["--engine", "compile", "--pack", "4"] == words[-4:]
    plain = f"normbench resume --store {tmp_path} --launcher dask --data-dir {tmp_path}"
    assert plain == resume_command(LaunchRequest(**files), "dask")


@pytest.mark.parametrize("words", ["", "0", "-3", "4X", "nan", "inf", "1e3"])
def test_other_quantities_are_refused(words):
    """The message shows what was typed and what is understood."""
    with pytest.raises(UsageError, match="is no time: give seconds above 0"):
        parse_seconds(words)
    with pytest.raises(UsageError, match="is no size: give bytes above 0"):
        parse_bytes(words)


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("run",), "0 runs"),
        (1, ("run",), "1 run"),
        (2, ("comparable row",), "2 comparable rows"),
        (1, ("process", "processes"), "1 process"),
        (2, ("process", "processes"), "2 processes"),
    ],
)
def test_counts_agree_with_their_nouns(number, words, text):
    """One thing is singular, none and several are plural."""
    assert text == counted(number, *words)


def test_local_launcher_refuses_options_of_others():
    """A word that nobody would read is an error, and so is a launcher that does not exist."""
    catalogue = load_catalogue()
    with pytest.raises(UsageError, match="no options of its own, but was given partition"):
        check_launching(Launching(launcher_options={"partition": "gpu"}), catalogue)
    with pytest.raises(UsageError, match=r"unknown launcher 'lokal'.* Did you mean 'local'"):
        check_launching(Launching(launcher="lokal"), catalogue)


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/job", "job/memory.events"),
        ("0::/", "memory.events"),
        ("5:cpu,memory:/job", "memory/job/memory.oom_control"),
    ],
)
def test_kernel_counts_its_kills(tmp_path, line, file):
    """The counter is found in both versions of cgroups; without one it is 0."""
    groups = tmp_path / "cgroup"
    groups.write_text(f"{line}\n")
    assert 0 == oom_kills(groups, tmp_path)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("low 0\noom 2\noom_kill 3\n")

    assert 3 == oom_kills(groups, tmp_path)
    assert 0 == oom_kills(tmp_path / "absent", tmp_path)


@pytest.fixture
def family():
    """A process with a child in another session and an orphaned grandchild; and their pids."""
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, MARK: "f00d"},
        start_new_session=True,
    )
    own, orphan = map(int, process.stdout.readline().split())
    yield process, own, orphan
    process.stdout.close()
    kill_tree(process.pid, "f00d")
    process.wait()


def test_tree_is_found_wherever_its_members_went(family):
    """The session, the descendants and the mark count; memory is that of all descendants."""
    process, own, orphan = family

    assert {process.pid, own, orphan} == find_tree(process.pid, "f00d")
    assert {process.pid, own} == Processes().tree(process.pid)
    assert 2**20 < Processes().memory(own) < Processes().memory(process.pid)
    assert set() == find_tree(2**22 - 1, "beef")
    # The number of a worker that is gone is another's now, who leads that session.
    assert set() == find_tree(process.pid, "beef")


def test_dead_processes_that_wait_for_their_parents_hold_nothing(family):
    """A zombie is no member of a tree, though its number is still taken."""
    process, _, _ = family
    process.kill()
    deadline = time.monotonic() + 30
    while _runs(process.pid):
        assert time.monotonic() < deadline

    assert Path(f"/proc/{process.pid}").exists()
    assert process.pid not in Processes().tree(process.pid)


def test_whole_tree_is_killed(family):
    """Nothing survives, not even what nobody is the parent of."""
    process, own, orphan = family
    kill_tree(process.pid, "f00d")
    process.wait()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() and _runs(pid) for pid in (own, orphan)):
        assert time.monotonic() < deadline

    assert -signal.SIGKILL == process.returncode
    assert set() == find_tree(process.pid, "f00d")


def _runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def launch_request(store: Path, runs: int = 2, **words) -> LaunchRequest:
    """Return a request for some runs."""
    fingerprints = tuple(f"{number:032x}" for number in range(runs))
    return LaunchRequest(store=store, fingerprints=fingerprints, data_folder=store, **words)


def test_launch_folder_holds_list_and_details(tmp_path):
    """What was started, by whom, and what is noted later, can be read by anybody."""
    folder = LaunchFolder.create("local", launch_request(tmp_path, time_limit=5.0))
    folder.note(jobs=["17"])

    assert [folder] == launches(tmp_path)
    assert [f"{number:032x}" for number in range(2)] == folder.runs() == read_runs(folder.runs_file)
    info = folder.info()
    assert ("local", os.getpid(), 2, 5.0) == tuple(
        info[name] for name in ("launcher", "pid", "runs", "time_limit")
    )
    assert ["17"] == info["jobs"]
    assert abs(info["since"] - time.time()) < 60
    assert folder.logs.is_dir()


@pytest.fixture
def struck(tmp_path) -> tuple[RunStore, StoredRun]:
    """A store and its only run, which three workers have died on."""
    store = RunStore.open(tmp_path / "store", create=True)
    request = Request(problem="digits_cnn", optimizer="sgd", words=[], seeds=[0])
    run = store.add(resolve(request, load_catalogue())[0])
    for _ in range(STRIKES):
        attempt = run.claim({})
        attempt.note_pack(1, alone=True)
        os.utime(attempt.path / "heartbeat", (1, 1))
    return store, run


def test_draining_says_that_a_run_ended_badly(struck):
    """The exit code of `worker --drain` is 1, and its log ends with what came of the runs."""
    store, run = struck
    command = [sys.executable, "-m", "normbench.worker", "--drain", "--device", "cpu"]
    done = subprocess.run([*command, "--store", store.root], capture_output=True, text=True)

    assert 1 == done.returncode, done.stderr
    assert "INFO runs: 1 killed" in done.stderr
    assert RunState.KILLED is run.state()


def test_driver_counts_what_it_sets_aside_itself(struck, tmp_path):
    """A run with three strikes that the driver meets is an outcome of its launch, told once."""
    store, run = struck
    asked = LaunchRequest(
        store=store.root, fingerprints=(run.fingerprint,), data_folder=tmp_path, device="cpu"
    )
    scheduler = Scheduler(asked, LaunchFolder.create("local", asked), lambda: None)
    scheduler.run()

    assert RunState.KILLED is run.state()
    assert {RunState.KILLED: 1} == scheduler.tally.outcomes
    assert scheduler.tally.failed
    assert {"killed": 1} == launches(store.root)[0].info()["outcomes"]


@pytest.fixture
def two_runs(tmp_path) -> tuple[RunStore, list[StoredRun]]:
    """A store and two runs of it."""
    store = RunStore.open(tmp_path / "store", create=True)
    request = Request(problem="quadratic_deep", optimizer="sgd", words=[], seeds=[0, 1])
    return store, [store.add(spec) for spec in resolve(request, load_catalogue())]


def scheduler_of(store: RunStore, runs: list[StoredRun], **words) -> Scheduler:
    """Return a scheduler that has started nothing."""
    names = tuple(run.fingerprint for run in runs)
    asked = launch_request(store.root, device="cpu", slots=1, **words)
    asked = dataclasses.replace(asked, fingerprints=names)
    return Scheduler(asked, LaunchFolder.create("local", asked), lambda: None)


def test_what_a_worker_reports_until_it_is_killed_counts(two_runs, tmp_path, monkeypatch):
    """A run that failed before is told; the one it went on with is interrupted, no death."""
    store, (late, after) = two_runs
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen(command, start_new_session=True)
    path = tmp_path / "worker.jsonl"
    worker = WorkerProcess(process, "cpu", "f00d", tmp_path / "log", ReportReader(path))
    attempts = [late.claim({}), after.claim({})]
    scheduler = scheduler_of(store, [late, after])
    scheduler._workers.append(worker)
    monkeypatch.setattr(scheduler, "_fill", lambda: None)
    reporter = Reporter(path)
    reporter.tell("took", run="f" * 32, attempt=str(tmp_path / "gone"), ends=None)
    for run, attempt in zip((late, after), attempts, strict=True):
        reporter.tell("took", run=run.fingerprint, attempt=str(attempt.path), ends=1.0)
    reporter.tell("ended", run="f" * 32, outcome="failed", message="a plugin's own")
    scheduler._kill(worker, RunState.TIMED_OUT, "killed: too long", [late.fingerprint])

    assert {RunState.FAILED: 1, RunState.TIMED_OUT: 1} == scheduler.tally.outcomes
    assert [RunState.TIMED_OUT, RunState.INTERRUPTED] == [late.state(), after.state()]
    assert "its worker was killed for another run" == after.attempts()[-1].message
    assert [] == scheduler._workers


@pytest.mark.parametrize("fails", ["close_for", "freeze_tree"])
def test_workers_are_killed_though_a_disk_is_full(two_runs, tmp_path, monkeypatch, fails):
    """Each is, whatever fails for the others; the first failure is raised then."""
    store, runs = two_runs
    scheduler = scheduler_of(store, runs)
    command = [sys.executable, "-Sc", "import signal; signal.pause()"]
    for run in runs:
        process = subprocess.Popen(command, start_new_session=True)
        reader = ReportReader(tmp_path / "worker.jsonl")
        worker = WorkerProcess(process, "cpu", "f00d", tmp_path / "log", reader)
        worker.held[run.fingerprint] = Held(run.fingerprint, tmp_path, None)
        scheduler._workers.append(worker)
    workers, full = list(scheduler._workers), [StoreError("full"), StoreError("full as well")]
    monkeypatch.setattr(scheduler, "_ask_to_stop", lambda: None)
    monkeypatch.setattr(pool, fails, Mock(side_effect=full))
    with pytest.raises(StoreError, match=r"full$"):
        scheduler._close()

    assert [-signal.SIGKILL] * 2 == [worker.process.returncode for worker in workers]
    assert [] == scheduler._workers
    assert "ended" in launches(store.root)[0].info()


@pytest.mark.parametrize("held", [1, 2])
def test_of_a_pack_beyond_its_memory_none_is_blamed(two_runs, monkeypatch, held):
    """One run alone is out of memory; two are each trained alone next."""
    store, runs = two_runs
    scheduler = scheduler_of(store, runs, memory_limit=1)
    worker = WorkerProcess(None, "cpu", "f00d", store.root, ReportReader(store.root / "none"))
    names = [run.fingerprint for run in runs[:held]]
    worker.held = {name: Held(name, store.root, None) for name in names}
    blamed: list[str] = []
    monkeypatch.setattr(scheduler, "_kill", lambda *words: blamed.append(words[3]))
    worker.process = SimpleNamespace(pid=os.getpid())
    scheduler._check_memory(worker, Processes())

    assert [names if held == 1 else []] == blamed


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_says_whether_it_was_the_second(two_runs, monkeypatch, again, number):
    """Whoever closes the launch then spends no time on it; its end is noted whatever comes."""
    store, runs = two_runs
    scheduler = scheduler_of(store, runs)
    note_end = scheduler._note_end

    def interrupt() -> None:
        os.kill(os.getpid(), number)

    monkeypatch.setattr(scheduler, "_loop", interrupt)
    monkeypatch.setattr(scheduler, "_ask_to_stop", lambda: None)
    monkeypatch.setattr(scheduler, "_note_end", lambda: (again and interrupt(), note_end()))
    with pytest.raises(KeyboardInterrupt) as caught:
        scheduler.run()

    assert again is isinstance(caught.value, SecondInterrupt)
    assert "ended" in launches(store.root)[0].info()


def test_draining_launch_has_no_list(tmp_path):
    """It takes all that is pending."""
    folder = LaunchFolder.create("drain", launch_request(tmp_path, runs=0, drain=True))

    assert (None, None, None) == (folder.runs_file, folder.runs(), folder.info()["runs"])


def test_launches_long_over_are_swept(tmp_path):
    """Of old launches the newest twenty stay, and every one whose driver may live."""
    request = launch_request(tmp_path)
    folders = [LaunchFolder.create(f"l{number:02}", request) for number in range(22)]
    first = sorted(folders, key=lambda folder: folder.id)
    for folder in first:
        folder.note(started=1.0, ended=None if folder is first[0] else 2.0)
    first[1].note(pid=2**22 - 1)
    assert [False, True] == [first[0].is_over(), first[1].is_over()]
    last = LaunchFolder.create("local", request)

    left = {folder.id for folder in launches(tmp_path)}
    assert {first[0].id, last.id} | {folder.id for folder in first[3:]} == left


@pytest.mark.parametrize("state", RunState)
def test_a_launch_failed_if_a_run_ended_badly(state, caplog):
    """A result is none the worse for diverging, and a run that was stopped will go on."""
    tally = Tally(logging.getLogger(__name__), logging.WARNING)
    assert not tally.failed
    tally.count("0123456789" * 3 + "01", state, "why\nand where")
    good = (RunState.FINISHED, RunState.DIVERGED, RunState.INTERRUPTED)

    assert (state not in good) == tally.failed
    assert ({state: 1}, {"0123456789" * 3 + "01"}) == (tally.outcomes, tally.runs)
    tally.count("f" * 32, state)
    assert (2, 2) == (tally.outcomes[state], len(tally.runs))
    assert [f"run 01234567: {state}: why", f"run ffffffff: {state}"] == caplog.messages


def test_launch_with_jobs_outlives_its_driver(tmp_path):
    """Only what it notes at the end tells that a launch on a cluster is over."""
    folder = LaunchFolder.create("slurm", launch_request(tmp_path))
    mine = folder.info()
    assert not folder.is_over()
    folder.note(pid=2**22 - 1)
    assert folder.is_over()
    for elsewhere in ("host", "boot"):
        folder.note(**{elsewhere: "another"})
        assert not folder.is_over()
        folder.note(**{elsewhere: mine[elsewhere]})
    folder.note(jobs=["7"])
    assert not folder.is_over()
    folder.note(ended=1.0)

    assert folder.is_over()


ORPHAN = """
import os, signal, sys, time
from normbench.worker import orphans
orphans.POLL_SECONDS = orphans.GRACE_SECONDS = 0.1
if sys.argv[1] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
orphans.watch_parent(os.getppid())
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kind", ["obedient", "deaf"])
def test_worker_ends_when_its_launcher_is_gone(kind):
    """It is told to stop as by SIGTERM, and killed if it does not listen."""
    launcher = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {ORPHAN!r}, {kind!r}]"
    )
    launcher += ", start_new_session=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", launcher], text=True, **pipes)
    pid = int(process.stdout.readline())
    runs_before = _runs(pid)
    process.communicate()
    deadline = time.monotonic() + 30
    while _runs(pid):
        assert time.monotonic() < deadline

    assert runs_before
    assert 0 == process.returncode


def test_reports_are_read_line_by_line_as_they_come(tmp_path):
    """A line that is half written waits for its other half; no file tells nobody."""
    path = tmp_path / "worker.jsonl"
    reader, reporter = ReportReader(path), Reporter(path)
    assert [] == reader.news()
    reporter.tell("ready", device_free=1)
    with path.open("a") as stream:
        stream.write('{"event": "to')

    assert [{"event": "ready", "device_free": 1}] == reader.news()
    with path.open("a") as stream:
        stream.write('ok"}\n')
    assert [{"event": "took"}] == reader.news()
    Reporter().tell("ready")
    Reporter(tmp_path / "no" / "folder").tell("ready")


def test_reports_of_a_worker_whose_disk_was_full(tmp_path):
    """The rest of a line is written once there is room; what nobody can read is passed over."""
    path = tmp_path / "worker.jsonl"
    reader, reporter = ReportReader(path), Reporter(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        reporter.tell("took", run="a")
        reporter.tell("ended", run="a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (10, []) == (path.stat().st_size, reader.news())
    reporter.tell("waits")
    path.open("ab").write(b'{"event": "to{"event": "took"}\n\xff\n\n7\n{}\n{"event": "ready"}\n')

    assert ["took", "ended", "waits", "ready"] == [news["event"] for news in reader.news()]
