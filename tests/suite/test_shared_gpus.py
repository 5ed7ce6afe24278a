"""GPUs that several workers share: who is let in, and what becomes of who lacks memory there.

A real scheduler, queue and book; the workers and the memory they take are simulated, a tick a look.
"""

from __future__ import annotations

import json
import os
import types
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from normbench.launchers import gpu_book, local
from normbench.launchers.base import LaunchRequest
from normbench.launchers.gpu_book import GpuBook, GpuBookFile, Kind
from normbench.launchers.launches import LaunchFolder
from normbench.launchers.packing import CONTEXT_BYTES
from normbench.launchers.seating import GpuRoom, Needs, Seating
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore
from normbench.store.folders import list_attempts
from normbench.store.queue import Queue
from normbench.store.strikes import must_have_gpu_alone
from normbench.worker import loop
from normbench.worker.command import parser
from normbench.worker.predictions import Predictor
from normbench.worker.training import Worker

GIB = 2**30
CATALOGUE = load_catalogue()
GPU = "cuda:0"


@dataclass
class Machine:
    """A machine with GPUs of 40 GiB, and who holds how much of which."""

    free: int = 40 * GIB
    held: dict[int, tuple[str, int]] = field(default_factory=dict)
    living: set[int] = field(default_factory=set)
    pids: count = field(default_factory=lambda: count(1))
    peers: set[int] = field(default_factory=set)
    most: int = 0
    together: int = 0
    lacked: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)

    def takes(self, pid: int, device: str, size: int) -> bool:
        """Let a process hold *size* bytes of a GPU beside its context, unless it is full."""
        others = [
            held for owner, (gpu, held) in self.held.items() if owner != pid and gpu == device
        ]
        taken = sum(others) + size + len(others) * CONTEXT_BYTES
        if taken > self.free:
            return False
        self.held[pid] = device, size
        self.most, self.together = max(self.most, taken), max(self.together, len(others) + 1)
        return True


class SimulatedWorker:
    """A worker that takes memory as it begins a run, and a few looks to end it."""

    def __init__(self, machine: Machine, request, folder, device, *, book, peers, **_) -> None:
        self.machine, self.device, self.held, self.took = machine, device, {}, 0
        self.waited = False
        self.pid = next(machine.pids)
        machine.living.add(self.pid)
        machine.peers.add(peers)
        machine.used.append(device)
        self.process = types.SimpleNamespace(pid=self.pid, returncode=0, poll=lambda: None)
        store = RunStore.open(request.store)
        self.queue, self.room = Queue(store, request.fingerprints), None
        if book is not None:
            self.room = GpuRoom(book, device, self.pid, Needs(store))
        self.course = self.work()

    def news(self):
        """Go on for a tick."""
        if next(self.course, None) is None and self.pid in self.machine.living:
            self.machine.living.remove(self.pid)
            self.machine.held.pop(self.pid, None)
            self.process.poll = lambda: 0
        return []

    def work(self):
        """Take runs until there are none."""
        if self.room is not None:
            self.room.saw_free(self.machine.free)
        yield "started"
        while found := self.queue.take({}, room=self.room and self.room.enter):
            run, attempt = found
            self.took += 1
            with attempt:
                yield from self.train(run, attempt)

    def train(self, run, attempt):
        """Train a run; its learning rate says how many GiB it takes."""
        size = round(run.spec.learning_rate * 1000 * GIB)
        if not self.machine.takes(self.pid, self.device, size):
            self.machine.lacked.append(run.fingerprint)
            if self.room.lacked(run):
                attempt.note_pack(1, crowded=True)
                attempt.close(RunState.INTERRUPTED)
                self.queue.give_back(run)
            else:
                attempt.close(RunState.OUT_OF_MEMORY)
            return
        yield "began"
        if self.room is not None:
            self.room.saw_peak(run, size)
        yield from ["trains"] * 3
        attempt.publish({"outcome": "finished", "score": 0.5})

    def clear_away(self) -> int:
        """Leave nothing behind."""
        return 0


@pytest.fixture
def machine(monkeypatch):
    """A simulated machine with one GPU and eight cores."""
    made = Machine()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(local, "cores", lambda: set(range(8)))
    monkeypatch.setattr(local, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(local, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(
        local, "start_worker", lambda *given, **words: SimulatedWorker(made, *given, **words)
    )
    monkeypatch.setattr(gpu_book, "_is_gone", lambda pid, guest: pid > 0 and pid not in made.living)
    return made


def add(store, gibibytes, seeds):
    """Return runs that take so many GiB."""
    words = [f"lr={gibibytes / 1000}", "protocol.epochs=1"]
    asked = Request(
        problem="quadratic_deep", optimizer="sgd", words=words, seeds=list(range(seeds))
    )
    return [store.add(spec) for spec in resolve(asked, CATALOGUE)]


def train(tmp_path, runs, **words):
    """Train runs by a scheduler on the simulated machine."""
    names = tuple(run.fingerprint for run in runs)
    request = LaunchRequest(
        store=tmp_path, fingerprints=names, data_folder=tmp_path, device="cuda", **words
    )
    local.Scheduler(request, LaunchFolder.create("local", request), lambda: None).run()
    return Counter(run.state() for run in runs)


def test_runs_share_a_gpu_as_their_memory_allows(tmp_path, machine):
    """Small ones fill it, up to one a core; of big ones none lacks memory beside another."""
    store = RunStore.open(tmp_path, create=True)
    runs = [*add(store, 2, 14), *add(store, 20, 14)]

    assert {RunState.FINISHED: 28} == train(tmp_path, runs, slots="auto")
    assert (8, []) == (machine.together, machine.lacked)
    assert {1} == {len(run.attempts()) for run in runs}


def test_runs_that_lack_memory_beside_others_are_trained_alone(tmp_path, machine):
    """With a fixed number of slots each has an outcome of its own; too much alone is its own."""
    store = RunStore.open(tmp_path, create=True)
    runs = [*add(store, 20, 3), *add(store, 2, 3), *add(store, 50, 1)]

    assert {RunState.FINISHED: 6, RunState.OUT_OF_MEMORY: 1} == train(tmp_path, runs, slots=3)
    assert RunState.OUT_OF_MEMORY is runs[-1].state()
    assert 2 == max(len(run.attempts()) for run in runs)
    assert 3 == machine.together
    assert machine.lacked


def test_each_gpu_has_a_run_before_one_has_two(tmp_path, machine, monkeypatch):
    """Workers are spread over the GPUs, and each is told how many there are."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    store = RunStore.open(tmp_path, create=True)
    train(tmp_path, add(store, 2, 6), slots=2)

    assert [f"cuda:{gpu}" for gpu in (0, 1, 2, 3, 0, 1)] == machine.used[:6]
    assert {4} == machine.peers
    found = Seating({"cuda:0": 2, "cuda:1": 2}, ["cuda:0"], None, Needs(store))
    assert [True] * 3 + [False] == [found.seat(run, False) for run in store.runs()][:4]
    assert ["cuda:1", "cuda:0", "cuda:1"] == [seat.device for seat in found.chosen]


def test_memory_of_a_run_is_known_from_its_row_or_from_settings_that_agree():
    """One other setting says nothing; two that differ, or a run that lacked memory, neither."""
    book, row = GpuBook(sized=True), [Kind("kind", f"row {number}") for number in range(5)]
    known = [book.need(row[0]), book.need(row[0], measured=7)]
    book.saw_peak(GPU, 1, row[0], 100)
    book.saw_peak(GPU, 1, row[0], 90)
    known += [book.need(row[0], measured=7), book.need(row[1])]
    book.saw_peak(GPU, 1, row[1], 105)
    known += [book.need(row[2]), book.need(Kind("other", "row 0"))]
    book.lacked(row[0])
    known += [book.need(row[0], measured=7), book.need(row[2])]
    book.saw_peak(GPU, 1, row[0], 200)
    known += [book.need(row[0]), book.need(row[2])]

    book.saw_peak(GPU, 1, Kind("other", "row 0"), 50)
    book.saw_peak(GPU, 1, Kind("other", "row 1"), 50)
    book.lacked(Kind("other", "row 2"))
    known += [book.need(Kind("other", "row 3"))]

    assert [None, 7, 100, None, 105, None, None, None, 200, None, None] == known


@given(
    st.integers(GIB, 80 * GIB),
    st.lists(st.tuples(st.none() | st.integers(0, 80 * GIB), st.booleans()), max_size=12),
)
def test_runs_let_in_never_take_more_memory_than_there_is(free, asked):
    """However they come, the first is let in, and all together fit with their contexts."""
    book = GpuBook(sized=True)
    book.saw_free(GPU, -1, free)
    given = [
        (need, alone)
        for pid, (need, alone) in enumerate(asked, start=1)
        if book.admit(GPU, -pid, need, alone=alone)
    ]

    assert asked[:1] == given[:1]
    if len(given) > 1:
        assert not any(alone or need is None for need, alone in given)
        needs = sum(need for need, _ in given)
        assert needs + (len(given) - 1) * CONTEXT_BYTES <= free * 0.92


def test_the_book_is_kept_between_processes(tmp_path):
    """What one writes another reads; free memory is what the first found, alone."""
    file = GpuBookFile(tmp_path / "gpus.json", sized=True)
    with file.changed() as book:
        assert book.admit(GPU, -1, None)
        book.saw_free(GPU, -1, 10 * GIB)
        first = book.is_alone(GPU, -1)
        book.saw_peak(GPU, -1, Kind("k", "r"), GIB)
    book = file.read()
    book.saw_free(GPU, -2, 40 * GIB)
    rest = int(10 * GIB * 0.92) - GIB - CONTEXT_BYTES

    assert (True, True) == (first, book.is_alone(GPU, -1))
    assert (GIB, False) == (book.need(Kind("k", "r")), book.admit(GPU, -2, rest + 1))
    assert book.is_alone(GPU, -1)
    assert book.admit(GPU, -2, rest)
    assert (False, False) == (book.is_alone(GPU, -1), book.is_alone(GPU, -2))
    book.leave(GPU, -1)
    assert book.admit(GPU, -2, 9 * GIB, alone=True)
    assert not book.admit(GPU, -3, GIB)
    file.path.write_text('{"gpus": {"cuda:0": []}}', encoding="utf-8")
    assert {"peaks": {}, "gpus": {}} == file.read().content()


def test_dead_guests_are_no_company(tmp_path, monkeypatch):
    """A later process with the same number, or one before a restart, is not the guest."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-1")
    file, me = GpuBookFile.of(tmp_path, sized=True), os.getpid()
    named = {gpu_book.gpu_name(device) for device in ("cuda:0", "cuda:1", "cuda:2", GPU)}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1")
    with file.changed() as book:
        assert book.admit("5", me, GIB)
        book.saw_peak("5", me, Kind("k", "r"), GIB)
        book.begin()
    told = [file.read().admit("5", -1, None), file.read().need(Kind("k", "r"))]
    for field_name in ("started", "boot"):
        content = json.loads(file.path.read_text())
        content["gpus"]["5"]["guests"][str(me)][field_name] = "1"
        book = GpuBook(sized=True, content=content)
        told.append(book.admit("5", -1, None))
        book = GpuBook(sized=True, content=content)
        book.begin()
        told.append(book.content())

    assert ({"5", "GPU-1", "cuda:2"}, "GPU-1") == (named, gpu_book.gpu_name("cuda:1"))
    assert [False, GIB, *[True, {"peaks": {}, "gpus": {}}] * 2] == told
    assert tmp_path / "locks" == file.path.parent


def test_a_worker_writes_what_was_free_before_it_trained(tmp_path):
    """It is told the book and its GPU; a worker without company has no book."""
    words = ["--gpu-book", str(tmp_path / "gpus.json"), "--gpu", GPU, "--sized"]
    store = RunStore.open(tmp_path / "store", create=True)
    loop.open_room(store, parser().parse_args(words), 7 * GIB)

    assert loop.open_room(store, parser().parse_args([]), 7 * GIB) is None
    assert (
        7 * GIB
        == GpuBookFile(tmp_path / "gpus.json", sized=True).read().content()["gpus"][GPU]["free"]
    )


@pytest.mark.parametrize(("sized", "beside"), [(True, True), (False, True), (False, False)])
def test_a_run_that_lacks_memory_on_a_shared_gpu_is_given_back(
    tmp_path, monkeypatch, sized, beside
):
    """It is out of memory only where nobody else was; then nothing is left to try."""
    store = RunStore.open(tmp_path / "store", create=True)
    (run,) = add(store, 2, 1)

    def lacking(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("normbench.worker.training.Trainer", lacking)
    file = GpuBookFile(tmp_path / "gpus.json", sized=sized)
    room = GpuRoom(file, GPU, 2**22 - 1, Needs(store))
    monkeypatch.setattr(gpu_book, "_is_gone", lambda pid, guest: False)
    with file.changed() as book:
        # Both are known to fit.
        book.saw_free(GPU, -1, 40 * GIB)
        book.saw_peak(GPU, -1, Kind.of(run.spec), GIB)
        assert not beside or book.admit(GPU, -1, GIB)
    worker = Worker(store, CATALOGUE, torch.device("cpu"), tmp_path, room=room)
    queue = Queue(store, [run.fingerprint])
    alone = [RunState.OUT_OF_MEMORY]

    assert ([RunState.INTERRUPTED] if beside else alone) == worker.take(queue)
    words = "shared its GPU and is trained alone there next"
    assert beside == (words in run.attempts()[-1].message)
    assert [] == worker.take(queue)
    with file.changed() as book:
        book.leave(GPU, -1)
    assert (alone if beside else []) == worker.take(queue)
    assert RunState.OUT_OF_MEMORY is run.state()


def test_a_worker_tells_what_its_run_takes(tmp_path):
    """After the first evaluation others know, and it leaves the GPU when nothing is left."""
    store = RunStore.open(tmp_path / "store", create=True)
    (run,) = add(store, 2, 1)
    file = GpuBookFile(tmp_path / "gpus.json", sized=True)
    room = GpuRoom(file, GPU, os.getpid(), Needs(store))
    worker = Worker(store, CATALOGUE, torch.device("cpu"), tmp_path, room=room)
    queue = Queue(store, [run.fingerprint])
    taken = worker.take(queue)
    inside = len(file.read().content()["gpus"][GPU]["guests"])

    assert ([RunState.FINISHED], 1, []) == (taken, inside, worker.take(queue))
    assert file.read().need(Kind.of(run.spec)) > 2**20
    assert {} == file.read().content()["gpus"][GPU]["guests"]


def test_a_run_that_must_be_alone_waits_for_an_empty_gpu(tmp_path, monkeypatch):
    """Whether its queue says so, or an attempt before one that was stopped early."""
    store = RunStore.open(tmp_path, create=True)
    runs = add(store, 2, 2)
    with runs[0].claim({}) as attempt:
        attempt.note_pack(1, crowded=True)
    with runs[0].claim({}):
        pass
    lacked = must_have_gpu_alone(list_attempts(runs[0].path))
    asked, book = [(runs[1], True), (runs[0], lacked), (runs[1], False)], GpuBook(sized=False)
    assert book.admit("0", -9, None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    seating = Seating({GPU: 2}, [], book, Needs(store))
    file = GpuBookFile(tmp_path / "gpus.json", sized=False)
    with file.changed() as written:
        assert written.admit("0", -9, None)
    room = GpuRoom(file, GPU, os.getpid(), Needs(store))

    assert [False, False, True] == [seating.seat(*each) for each in asked]
    assert [False, False, True] == [room.enter(*each) for each in asked]
    assert seating.refused


def test_memory_of_finished_runs_on_gpus_is_known(tmp_path, monkeypatch):
    """Of those of the row, with what torch keeps beside; runs on the processor say nothing."""
    store = RunStore.open(tmp_path, create=True)
    runs, told = [*add(store, 2, 2), *add(store, 3, 1)], {"score": 1.0, "outcome": "finished"}
    devices = ["cuda:0", "cuda:0", "cpu"]
    for run, device in zip(runs, devices, strict=True):
        with run.claim({}) as attempt:
            attempt.publish({**told, "device": device, "peak_memory_mb": 100.0})
    predictor = Predictor(store)

    assert (120 * 2**20) == predictor.peak_memory(runs[0].spec.row)
    assert predictor.peak_memory(runs[2].spec.row) is None
    # Results are read once.
    monkeypatch.setattr(predictor, "_results", None)
    assert (120 * 2**20) == predictor.peak_memory(runs[0].spec.row)
