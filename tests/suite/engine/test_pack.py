"""A pack's runs are those runs alone, to the bit, whatever happens to the others.

The recorder for the processor replays branches one operation of each at a time.
"""

from __future__ import annotations

import runpy
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_map_only

from normbench import Dropout
from normbench.engine import capturing, recording
from normbench.engine.pack import Member, Pack, PackBrokenError
from normbench.engine.session import open_session
from normbench.engine.trainer import Trainer
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE = load_catalogue()
Recorder = runpy.run_path(str(Path(__file__).with_name("processor_recorder.py")))["Recorder"]
Carrying = runpy.run_path(str(Path(__file__).with_name("carrying_task.py")))["Carrying"]
BASE = ("problem.batch_size=8", "protocol.epochs=4", "protocol.evaluate_every=4")
KEPT = {"outcome", "diverged_at_step", "score", "final", "best", "epochs", "steps"} | {
    *("gradient_evaluations", "weights_sha256", "engine")
}


class Sink:
    """Keeps points and checkpoints; breaks off in an epoch if told to."""

    def __init__(self, folder=None, stop=None):
        self.folder, self.stop, self.points = folder, stop, []

    def point(self, point):
        """Keep a curve point."""
        self.points.append(point)

    def progress(self, epoch, step, steps):
        """Break off."""
        if epoch == self.stop:
            raise InterruptedError(f"in epoch {epoch}")

    def checkpoint(self, write, epoch):
        """Keep a checkpoint."""
        if self.folder:
            write(self.folder / f"{epoch}.pt")


@pytest.fixture
def counted(monkeypatch):
    """Let the processor record; return the sizes of what is recorded together."""
    sizes = []

    class Counting(Recorder):
        def capture_branches(self, works, generators):
            sizes.extend([len(works)] * (len(works) > 1))
            return super().capture_branches(works, generators)

    monkeypatch.setitem(recording.RECORDERS, "cpu", lambda device, generators: Counting())
    monkeypatch.setattr("normbench.engine.pack.PROGRESS_SECONDS", 0.0)
    return sizes


def opened(
    optimizer, *words, seed=0, norm=None, layer=None, carries=False, double=False, device="cpu"
):
    """Return a session of epochs of five steps, with a smaller last batch."""
    sites = {"norm": norm, "sites": (1, 1, 0)} if norm else {}
    request = Request(
        problem="digits_cnn", optimizer=optimizer, words=(*BASE, *words), seeds=[seed], **sites
    )
    session = open_session(resolve(request, CATALOGUE)[0], CATALOGUE, None, torch.device(device))
    session.source.steps, session.source.last_size, session.source.examples = 5, 3, 35
    if layer is not None:
        session.network.layer = layer
        session.network.register_forward_pre_hook(lambda net, given: (net.layer(given[0]),))
    if double:
        session.network.double()
        session.network.register_forward_pre_hook(lambda net, given: (given[0].double(),))
    if carries:
        session.task = session.loop.step.task = Carrying(session.task, empty=True)
        session.loop._plain_task = session.task
    return session


class Infinite(torch.nn.Module):
    """Gives infinite values from a given training step on."""

    def __init__(self, step):
        super().__init__()
        self.step = step
        self.register_buffer("count", torch.zeros(()))

    def forward(self, inputs):
        """Count where it trains."""
        if self.training:
            self.count.add_(1)
        return torch.where(self.count < self.step, inputs, torch.inf)


def alone(session, sink=None, **resume):
    """Train *session* by itself and return its result."""
    return Trainer(session, sink or Sink(), checkpoint_seconds=-1).run(**resume)


def together(sessions, sinks=None, resumes=None):
    """Train *sessions* as a pack and return their results; None for one that broke off."""
    members = []
    for index, session in enumerate(sessions):
        sink = (sinks or {}).get(index, Sink())
        course = Trainer(session, sink, checkpoint_seconds=-1).course(
            **(resumes or {}).get(index, {})
        )
        members.append(Member(course, lambda session=session: session.loop))
    Pack(members).run()
    return [member.outcome for member in members]


def bits(session, result):
    """Return all of a run that must not depend on its company."""
    kept = {name: value for name, value in result.items() if name in KEPT}
    state = session.optimizer.state_dict()["state"]
    return {**kept, "state": tree_map_only(torch.Tensor, lambda t: t.numpy().tobytes(), state)}


ALIKE = [
    ("momentum", {"seed": 1}),
    ("momentum", {"seed": 2, "norm": "group_norm"}),
    ("momentum", {"norm": "group_norm", "words": ("norm.num_groups=2",), "carries": True}),
    ("momentum", {"words": ("lr=0.001",), "layer": lambda: Dropout(0.3)}),
]
MIXED = [
    *ALIKE[:2],
    ("momentum", {"layer": lambda: torch.nn.Dropout(0.3)}),
    ("schedule_free_sgd", {}),
    ("sam", {"layer": lambda: Dropout(0.3)}),
    ("adagrad", {}),
    ("momentum", {"layer": lambda: Infinite(15)}),
    ("momentum", {"words": ("protocol.epochs=3",)}),
]


def made(runs, double=False):
    """Return a session for each of *runs*."""
    found = []
    for optimizer, given in runs:
        given = dict(given)
        words = given.pop("words", ())
        layer = given.pop("layer", None)
        found.append(opened(optimizer, *words, **given, layer=layer and layer(), double=double))
    return found


@pytest.mark.parametrize(
    ("runs", "double", "sizes"), [(ALIKE[1:], True, [3]), (MIXED, False, [5, 4, 3])]
)
def test_runs_of_a_pack_are_those_runs_alone(runs, double, sizes, counted, caplog):
    """Seeds, rates, norms, masks, averages, closures: same bits, whoever diverges or ends early."""
    plain, packed = made(runs, double), made(runs, double)
    expected = [bits(each, alone(each)) for each in plain]
    actual = [bits(*each) for each in zip(packed, together(packed), strict=True)]

    assert expected == actual
    assert (sizes, False) == (counted, "taking turns" in caplog.text)


def test_run_that_breaks_off_leaves_the_others(counted, tmp_path):
    """Its course hears of it at once; what it kept goes on in another pack, to the same bits."""
    pair = [ALIKE[0], ALIKE[2]]
    expected = [bits(each, alone(each)) for each in made(pair)]
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    first, sink = made(pair), Sink(folder, stop=3)
    with pytest.raises(InterruptedError, match="in epoch 3"):
        together(first, {1: sink})
    second = made(pair[::-1])
    resume = {"resume": folder / "2.pt", "points": sink.points}
    results = together(second, resumes={0: resume})

    assert expected[::-1] == [bits(*each) for each in zip(second, results, strict=True)]
    assert [2, 2] == counted


class Forgetful(Recorder):
    """Replays single steps, and of branches nothing."""

    def capture_branches(self, works, generators):
        """Record *works*, and drop several."""
        replay = super().capture_branches(works, generators)
        return replay if len(works) == 1 else lambda: None


class Breaking(Recorder):
    """Fails in the seventh step of branches."""

    def capture_branches(self, works, generators):
        """Record *works*."""
        replay, taken = super().capture_branches(works, generators), []

        def step():
            taken.append(1)
            if len(works) > 1 and len(taken) == 7:
                raise RuntimeError("an illegal memory access was encountered")
            replay()

        return step


def test_branches_that_differ_take_turns(monkeypatch, caplog):
    """Branches that lost their work are found out before a step is trained with them."""
    monkeypatch.setitem(recording.RECORDERS, "cpu", lambda device, generators: Forgetful())
    plain, packed = made(ALIKE[:2]), made(ALIKE[:2])
    expected = [bits(each, alone(each)) for each in plain]

    assert expected == [bits(*each) for each in zip(packed, together(packed), strict=True)]
    assert "2 runs do not hold side by side: run 1: parameter" in caplog.text


def test_failure_of_all_branches_is_blamed_on_none(monkeypatch):
    """Every course is told that the pack broke, not that its own run did."""
    monkeypatch.setitem(recording.RECORDERS, "cpu", lambda device, generators: Breaking())
    told = []

    def listening(course):
        try:
            return (yield from course)
        except PackBrokenError as error:
            told.append(str(error))

    sessions = made(ALIKE[:2])
    courses = [listening(Trainer(each, Sink()).course()) for each in sessions]
    Pack(
        [
            Member(course, lambda each=each: each.loop)
            for course, each in zip(courses, sessions, strict=True)
        ]
    ).run()

    assert ["2 runs side by side: an illegal memory access was encountered"] * 2 == told


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_no_branch_of_a_cuda_graph_waits_for_another(kind, monkeypatch):
    """All leave the capturing stream before the first comes back to it, failures included.

    What broke the capture is the reason, also where no stream waits for another any more, and where
    the capture cannot be ended either; so a signal remains one.
    """
    said, running = [], []

    class Stream:
        def __init__(self, device):
            self.name = f"s{len(made_streams)}"
            made_streams.append(self)

        def wait_stream(self, other):
            said.append(f"{self.name} after {other.name}")
            if said.count("work on s2"):
                raise RuntimeError("operation failed due to a previous error during capture")

    class Graph:
        register_generator_state = said.append

    @contextmanager
    def on(stream):
        running.append(stream.name)
        yield
        running.pop()

    @contextmanager
    def unending(*_, stream, **__):
        try:
            with on(stream):
                yield
        finally:
            raise RuntimeError("operation failed due to an error during capture")

    def failing():
        said.append(f"work on {running[-1]}")
        raise kind("broken")

    made_streams = []
    monkeypatch.setattr(recording, "_STREAMS", defaultdict(list))
    for name, fake in [("Stream", Stream), ("CUDAGraph", Graph), ("stream", on)]:
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.cuda, "graph", unending)
    for name in ("graph_pool_handle", "current_stream", "current_device"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: 0)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda _: None)
    monkeypatch.setattr(torch.cuda, "default_generators", [None])
    monkeypatch.setattr(capturing, "_leave_pool", lambda *_: None)
    monkeypatch.setattr(capturing, "_prove", lambda *_: None)
    monkeypatch.setattr(capturing, "TOLD_OF_GENERATORS", True)
    recorder = recording.CudaRecorder(torch.device("cuda"), [])
    works = [lambda: said.append(f"work on {running[-1]}"), failing]
    with pytest.raises(kind, match="broken"):
        recorder.capture_branches(works, ["first", "second"])

    forked, joined = ["s1 after s0", "s2 after s0"], ["s0 after s1", "s0 after s2"]
    assert ["first", "second", *forked, "work on s1", "work on s2", *joined] == said


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("norm", ["batch_norm", "group_norm"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adamw"])
def test_cuda_branches_are_those_runs_alone(optimizer, norm, caplog):
    """With deterministic kernels a pack on CUDA ends in the bits of single runs."""
    caplog.set_level("INFO", "normbench.engine")

    def sessions():
        return [
            opened(optimizer, *words, seed=seed, norm=norm, layer=Dropout(0.3), device="cuda")
            for seed, words in enumerate([(), ("lr=0.003",), ()])
        ]

    plain, packed = sessions(), sessions()
    expected = [alone(each)["weights_sha256"] for each in plain]

    assert expected == [result["weights_sha256"] for result in together(packed)]
    assert "3 runs side by side" in caplog.text
