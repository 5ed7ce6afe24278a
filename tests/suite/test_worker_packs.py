"""Packs of a worker: claimed together, each run with an attempt and an outcome of its own.

A recorder for the processor stands in for CUDA graphs, see ``engine/processor_recorder.py``.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch

from normbench import UsageError
from normbench.engine import recording
from normbench.engine.capturing import CAPTURES, CaptureBrokenError
from normbench.engine.evaluation import Evaluator
from normbench.engine.meter import Meter
from normbench.pack_key import pack_key
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.store import RunState, RunStore
from normbench.store.folders import list_attempts
from normbench.store.queue import Queue
from normbench.store.strikes import count_strikes, must_be_alone
from normbench.worker import training
from normbench.worker.packing import Packing
from normbench.worker.sink import AttemptSink
from normbench.worker.training import Worker

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
STANDIN = Path(__file__).parent / "engine" / "processor_recorder.py"
Recorder = runpy.run_path(str(STANDIN))["Recorder"]
WORDS = ("protocol.epochs=5", "problem.batch_size=256", "protocol.evaluate_every=5")


@pytest.fixture
def recording_here(monkeypatch):
    """Let this process record on the processor, and look at its limits in every step."""
    monkeypatch.setitem(recording.RECORDERS, "cpu", lambda device, generators: Recorder())
    monkeypatch.setattr("normbench.engine.pack.PROGRESS_SECONDS", 0.0)


def spec(*words, seed=0, **asked):
    """Return one short run."""
    request = {"problem": "digits_cnn", "optimizer": "momentum", **asked}
    return resolve(Request(**request, words=(*WORDS, *words), seeds=[seed]), CATALOGUE)[0]


def filled(folder, seeds):
    """Return a store with a run for each of *seeds*, and its runs."""
    store = RunStore.open(folder, create=True)
    return store, [store.add(spec(seed=seed, problem="quadratic_deep")) for seed in range(seeds)]


def worker_of(store, size=1, **options):
    """Return a worker in this process with packs of *size*."""
    packing = Packing(size, CPU)
    return Worker(store, CATALOGUE, CPU, Path(), packing=packing, checkpoint_seconds=0, **options)


def weights_alone(folder, *seeds):
    """Return the weights that each of *seeds* ends in when it is trained by itself."""
    store, runs = filled(folder, max(seeds) + 1)
    for seed in seeds:
        worker_of(store).train(runs[seed])
    return [runs[seed].result()["weights_sha256"] for seed in seeds]


def test_runs_of_a_pack_that_is_killed_end_alone_in_the_same_bits(tmp_path, recording_here):
    """SIGKILL strikes none of them; each then has its process to itself, and its own weights."""
    store, runs = filled(tmp_path / "killed", 3)
    words = ["--store", store.root, "--device", "cpu", "--checkpoint-seconds", "0"]
    command = [sys.executable, "-m", "normbench.worker", *words, "--pack", "3"]
    environment = {**os.environ, "NORMBENCH_TEST_RECORDER": str(STANDIN)}
    with subprocess.Popen([*command, "--plugin", STANDIN], env=environment) as process:
        deadline = time.monotonic() + 60
        while any(len(run.points()) < 3 for run in runs):
            assert time.monotonic() < deadline
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.05)
        process.send_signal(signal.SIGKILL)
    attempts = [list_attempts(run.path) for run in runs]

    assert [(0, True)] * 3 == [
        (count_strikes(each, store.now()), must_be_alone(each, store.now())) for each in attempts
    ]
    worker, queue = worker_of(store, 3), Queue(store)
    assert [[RunState.FINISHED]] * 3 + [[]] == [worker.take(queue) for _ in range(4)]
    results = [run.result() for run in runs]
    assert weights_alone(tmp_path / "alone", 0, 1, 2) == [
        each["weights_sha256"] for each in results
    ]
    assert [(2, 1, False)] * 3 == [
        (each["attempt"], each["pack"], each["shared"]) for each in results
    ]


def test_each_run_of_a_pack_has_an_outcome_of_its_own(tmp_path, recording_here, monkeypatch):
    """One fails, one lacks memory, one is cancelled, one is taken over; the fifth ends as alone."""
    store, runs = filled(tmp_path / "pack", 5)
    progress = AttemptSink.progress
    troubles = dict(zip([run.fingerprint for run in runs[1:]], range(1, 5), strict=True))

    def troubled(self, epoch, step, steps):
        trouble = troubles.pop(self._attempt.fingerprint, 0) if epoch == 3 else 0
        if trouble == 1:
            raise ValueError("a plugin's own")
        if trouble == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if trouble == 3:
            runs[3].cancel()
        if trouble == 4:
            self._attempt.path.rename(self._attempt.path.with_name("0001.superseded"))
        progress(self, epoch, step, steps)

    monkeypatch.setattr(AttemptSink, "progress", troubled)
    readings = chain([100.0], repeat(600.0))
    meter = SimpleNamespace(joules=lambda: next(readings))
    monkeypatch.setattr(Meter, "of", lambda device: meter)
    worker, queue = worker_of(store, 8), Queue(store, [run.fingerprint for run in runs])
    good, let_go = RunState.FINISHED, RunState.INTERRUPTED

    assert [good, RunState.FAILED, let_go, let_go, let_go] == worker.take(queue)
    assert "ValueError: a plugin's own" == runs[1].attempts()[-1].message
    assert runs[2].attempts()[-1].message == (
        "OutOfMemoryError: CUDA out of memory; it left a pack of 5 and is trained alone next"
    )
    assert ["cancelled", ""] == [run.attempts()[-1].message for run in runs[3:]]
    assert [[good], []] == [worker.take(queue) for _ in range(2)]
    first, second = runs[0].result(), runs[2].result()
    assert [(5, True), (1, False)] == [(each["pack"], each["shared"]) for each in (first, second)]
    assert [500.0 / 5, 0.0] == [each["energy_joules"] for each in (first, second)]
    assert [first["weights_sha256"], second["weights_sha256"]] == (
        weights_alone(tmp_path / "alone", 0, 2)
    )


@pytest.mark.parametrize("again", [False, True])
def test_run_that_broke_its_process_by_capturing_is_trained_plainly_by_the_next(
    again, tmp_path, recording_here, monkeypatch
):
    """It is let go of once, for a worker that captures nothing; if that breaks, it has failed."""
    store, (run,) = filled(tmp_path, 1)
    broken = CaptureBrokenError("nobody can draw.")

    def breaking(*_):
        raise broken

    monkeypatch.setattr(Recorder, "capture", breaking)
    first = worker_of(store)
    assert [RunState.INTERRUPTED] == first.take(Queue(store))
    assert first.broken
    assert first.unclean
    assert "nobody can draw. A new process trains it next." == run.attempts()[-1].message
    if again:
        monkeypatch.setattr(Evaluator, "evaluate", breaking)
    second = worker_of(store)

    assert [RunState.FAILED if again else RunState.FINISHED] == second.take(Queue(store))
    assert again == second.broken
    assert again or ("eager", 2) == tuple(run.result()[name] for name in ("engine", "attempt"))


def test_run_that_broke_its_process_by_its_evaluation_keeps_its_steps(
    tmp_path, recording_here, monkeypatch
):
    """Its checkpoint holds it to captured steps; evaluations are not captured again."""
    store, (run,) = filled(tmp_path, 1)
    capture, taken = Recorder.capture, []

    def breaking(self, work):
        taken.append(work)
        if len(taken) > 1:
            raise CaptureBrokenError("nobody can draw.")
        return capture(self, work)

    monkeypatch.setattr(Recorder, "capture", breaking)
    assert [RunState.INTERRUPTED] == worker_of(store).take(Queue(store))
    taken.clear()

    assert [RunState.FINISHED] == worker_of(store).take(Queue(store))
    assert ("graph", 2) == tuple(run.result()[name] for name in ("engine", "attempt"))


def test_worker_of_a_process_that_captures_nothing_more_is_replaced(tmp_path, monkeypatch):
    """Its run ends well; its launcher is told that it is unclean."""
    store, _ = filled(tmp_path, 1)
    monkeypatch.setattr(CAPTURES, "over", "a reason")
    worker = worker_of(store)

    assert [RunState.FINISHED] == worker.take(Queue(store))
    assert (True, False) == (worker.unclean, worker.broken)


def test_queue_hands_out_what_fits_and_keeps_the_rest(tmp_path):
    """Of the runs of a kind each worker claims its share; the others keep their places."""
    store, alike = filled(tmp_path, 5)
    other = store.add(spec(optimizer="sgd", problem="quadratic_deep"))
    names = [run.fingerprint for run in (alike[0], other, *alike[1:])]
    kind, queue = pack_key(alike[0].spec), Queue(store, names)
    held = [queue.take({})]
    given = {"most": 7, "peers": 2}
    held += queue.take_beside(lambda run: pack_key(run.spec) == kind, {}, **given)

    assert [names[0], *names[2:4]] == [run.fingerprint for run, _ in held]
    assert [names[1], *names[4:]] == [queue.take({})[0].fingerprint for _ in range(3)]


def test_run_whose_pack_broke_has_its_process_to_itself(tmp_path, recording_here):
    """Others of its kind wait for the next pack."""
    store, runs = filled(tmp_path, 3)
    with runs[0].claim({}) as attempt:
        attempt.note_pack(3, broken=True)
        attempt.close(RunState.INTERRUPTED)
    worker, queue = worker_of(store, 3), Queue(store, [run.fingerprint for run in runs])

    assert [1, 2] == [len(worker.take(queue)) for _ in range(2)]
    assert [1, 2, 2] == [run.result()["pack"] for run in runs]


def test_a_suspect_has_the_machine_to_itself_until_it_gets_on(tmp_path, monkeypatch):
    """Its death would count up to its first checkpoint; then others may train beside it."""
    store, (run,) = filled(tmp_path, 1)
    os.utime(run.claim({}).path / "heartbeat", (1, 1))
    queue, alone = Queue(store, [run.fingerprint]), []
    point = AttemptSink.point

    def watched(self, content):
        alone.append(queue.secluded)
        point(self, content)

    monkeypatch.setattr(AttemptSink, "point", watched)

    assert [RunState.FINISHED] == worker_of(store).take(queue)
    assert [True, False] == [alone[0], alone[-1]]
    assert json.loads((list_attempts(run.path)[-1].path / "pack.json").read_text())["alone"]


def test_runs_of_a_pack_must_fit_into_the_time_that_all_of_them_take(tmp_path):
    """A run that takes 50 s alone fits into 100 s, but not beside two others."""
    store, (run,) = filled(tmp_path, 1)
    worker = worker_of(store, until=time.time() + 100)
    worker._predictor.learn(run, run.spec.epochs, 50.0)

    assert [True, False] == [worker._fits(run, pack) for pack in (1, 3)]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"words": ("lr=0.5", "momentum=0.5", "protocol.epochs=9")}, True),
        ({"words": ("protocol.schedule=cosine", "protocol.weight_decay=0.1")}, True),
        ({"norm": "group_norm", "words": ("norm.num_groups=2",)}, True),
        ({"norm": "group_norm", "ablation": "fixed_gamma"}, True),
        ({"norm": "group_norm", "sites": (1, 0, 0)}, False),
        ({"norm": "layer_norm"}, False),
        ({"optimizer": "sgd"}, False),
        ({"problem": "mnist_logreg"}, False),
        ({"words": ("problem.batch_size=32",)}, False),
        ({"words": ("protocol.precision=fp32",)}, False),
        ({"words": ("protocol.deterministic=false",)}, False),
        ({"words": ("protocol.validation_share=0.2",)}, False),
    ],
)
def test_kind_is_what_shapes_a_step(change, same):
    """Seeds, rates, schedules and parameters of optimizer and norm are free; shapes are not."""
    words = change.pop("words", ())
    norm = {"norm": "group_norm"} if change.get("norm") == "group_norm" else {}

    assert same == (pack_key(spec(**norm)) == pack_key(spec(*words, seed=7, **change)))


def test_each_kind_is_measured_by_its_own_peak(tmp_path, recording_here, monkeypatch):
    """What the device keeps of an earlier, larger kind is no need of a later one."""
    store, held, seen = RunStore.open(tmp_path, create=True), [0], []
    sizes = [f"problem.batch_size={size}" for size in (256, 32)]
    runs = [store.add(spec("protocol.epochs=1", size)) for size in sizes]
    opening = training.open_session

    def opened(run, *given):
        held[0] = max(held[0], run.problem.training.batch_size)
        return opening(run, *given)

    monkeypatch.setattr(training, "open_session", opened)
    monkeypatch.setattr(training, "forget_memory", lambda _: held.__setitem__(0, 0))
    monkeypatch.setattr(training, "peak_memory", lambda _: held[0])
    monkeypatch.setattr(Packing, "saw", lambda _, run, peak, **__: seen.append((run, peak)))
    worker, queue = worker_of(store), Queue(store, [run.fingerprint for run in runs])
    while worker.take(queue):
        pass

    assert [(256, 256), (32, 32)] == [(run.problem.training.batch_size, peak) for run, peak in seen]


@pytest.mark.parametrize("size", [1, 2])
def test_gpu_that_fails_before_a_run_ends_it_as_one_that_fails_in_it(size, tmp_path, monkeypatch):
    """The worker is replaced; alone the run has failed, in a pack it is trained alone next."""
    store, (run, *others) = filled(tmp_path, size)
    forget = Mock(side_effect=[RuntimeError("CUDA error: an illegal memory access")])
    monkeypatch.setattr(training, "forget_memory", forget)
    monkeypatch.setattr(Packing, "most", lambda *_: size)
    worker = worker_of(store)
    ended = RunState.FAILED if size == 1 else RunState.INTERRUPTED

    assert [ended, *[RunState.FINISHED for _ in others]] == worker.take(Queue(store))
    assert worker.broken
    message = run.attempts()[-1].message
    assert message.startswith("RuntimeError: CUDA error: an illegal memory access")
    assert (size > 1) == message.endswith("it left a pack of 2 and is trained alone next")


def test_worker_sizes_packs_from_the_first_run_of_a_kind(monkeypatch):
    """The first is alone, the next are as many as fit, and the processor trains one run."""
    free, run = 80 * 2**30, spec()
    with pytest.raises(UsageError, match="this worker trains on the processor"):
        Packing(4, CPU)
    assert 1 == Packing("auto", CPU, free=free).most(run, "auto")
    monkeypatch.setitem(recording.RECORDERS, "cpu", lambda device, generators: Recorder())
    auto = Packing("auto", CPU, free=free)
    sizes = [auto.most(run, "auto")]
    auto.saw(run, 2**30, can_branch=False)
    sizes.append(auto.most(run, "auto"))
    for peak in (1, 7, 100):
        auto.saw(run, peak * 2**30)
        sizes.append(auto.most(run, "auto"))

    assert [1, 1, 8, 5, 1] == sizes
    assert [1, 1] == [auto.most(spec(optimizer="sgd"), "auto"), Packing("off", CPU).most(run, "")]
    assert [4, 1] == [Packing(4, CPU).most(run, engine) for engine in ("auto", "eager")]
