"""A capture that breaks off leaves a process that trains on, or one that says that it cannot.

A stand-in on the processor does what torch up to 2.12 is known to do when CUDA refuses a capture.
"""

from __future__ import annotations

import runpy
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from normbench import Dropout, Optimizer
from normbench.engine import capturing
from normbench.engine.capturing import CaptureBrokenError, Captures
from normbench.engine.graph import LadderLoop
from normbench.engine.ladder import choose_rates, rungs_to_try
from normbench.engine.recording import RECORDERS, CudaRecorder
from normbench.engine.session import open_session
from normbench.engine.step import Step
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE, CPU = load_catalogue(), torch.device("cpu")
STANDIN = runpy.run_path(str(Path(__file__).with_name("processor_recorder.py")))
UNEXPECTED = "Offset increment outside graph capture encountered unexpectedly."


class Stream:
    """A stream that waits for nothing."""

    def __init__(self, device=None):
        self.device = device

    def wait_stream(self, other):
        """Return."""


def names(generators):
    """Return what tells *generators* apart, however Python holds them."""
    return {generator._cdata for generator in generators}


class OldTorch(TorchDispatchMode):
    """What torch keeps of a capture that broke, until somebody puts it right.

    Args:
        recovers: Whether a capture may hold behind one that broke.
        marks: Whether one that broke marks its generators.
    """

    def __init__(self, *, recovers=True, marks=True):
        super().__init__()
        self.recovers, self.marks, self.broke = recovers, marks, False
        self.main = self.current = Stream()
        self.marked, self.underway, self.held, self.capturing = set(), set(), set(), False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = kwargs or {}
        if any(each.name == "generator" for each in function._schema.arguments):
            self.draw([given.get("generator") or torch.default_generator])
        return function(*args, **given)

    def draw(self, generators):
        """Refuse marked generators outside of captures."""
        if not self.capturing and self.marked & names(generators):
            raise RuntimeError(UNEXPECTED)

    @contextmanager
    def stream(self, stream):
        """Make *stream* the current one."""
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextmanager
    def graph(self, graph, *, pool, stream, capture_error_mode):
        """Capture into *graph*, with no clean-up if that breaks."""
        if self.underway or (self.broke and not self.recovers):
            raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")
        before, self.current, self.capturing = self.current, stream, True
        self.underway.add(pool)
        self.held.add(pool)
        graph.generators.append(torch.default_generator)
        marked = names(graph.generators)
        self.marked |= marked
        try:
            with graph.recording:
                yield
        except RuntimeError:
            self.broke = True
            self.marked -= set() if self.marks else marked
            raise RuntimeError("operation failed due to an error during capture") from None
        finally:
            self.capturing = False
        self.underway.remove(pool)
        self.marked -= marked
        self.current = before

    def end(self, index, pool):
        """End the capture into *pool*."""
        if pool not in self.underway:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.underway.remove(pool)


@pytest.fixture
def old_torch(monkeypatch):
    """Return what lets this process capture as on an old torch for CUDA."""

    def begin(**how):
        old = OldTorch(**how)

        class Graph:
            def __init__(self):
                self.generators, self.recording = [], STANDIN["Recording"]()
                self.register_generator_state = self.generators.append

            def replay(self):
                old.draw(self.generators)
                self.recording.replay()

        fakes = {"Stream": Stream, "CUDAGraph": Graph, "stream": old.stream, "graph": old.graph}
        fakes |= {"graph_pool_handle": object, "current_stream": lambda _: old.current}
        fakes |= {"set_stream": lambda stream: setattr(old, "current", stream)}
        fakes |= {"current_device": lambda: 0, "synchronize": lambda _: None}
        for name, fake in {**fakes, "default_generators": [torch.default_generator]}.items():
            monkeypatch.setattr(torch.cuda, name, fake)
        freed = lambda _, pool: old.held.remove(pool)  # noqa: E731 - a fake of one line
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", old.end, raising=False)
        monkeypatch.setattr(torch._C, "_cuda_releasePool", freed, raising=False)
        monkeypatch.setattr(capturing, "TOLD_OF_GENERATORS", True)
        monkeypatch.setattr(capturing, "CAPTURES", Captures())
        monkeypatch.setitem(RECORDERS, "cpu", CudaRecorder)
        return old

    return begin


class ReadsOnHost(torch.nn.Module):
    """Scales by a number read from the device."""

    def forward(self, inputs):
        """Read and scale."""
        return inputs * (1 + inputs.mean().item())


def trained(*layers, engine="graph"):
    """Train a run with dropout of both kinds and *layers*; return its rung and what is left."""
    words = ("problem.batch_size=8",)
    asked = {"problem": "digits_cnn", "optimizer": "momentum", "words": words, "seeds": [0]}
    session = open_session(resolve(Request(**asked), CATALOGUE)[0], CATALOGUE, None, CPU)
    session.source.steps, session.source.last_size, session.source.examples = 5, 8, 40
    session.network.layer = torch.nn.Sequential(Dropout(0.3), torch.nn.Dropout(0.3), *layers)
    session.network.register_forward_pre_hook(lambda net, given: (net.layer(given[0]),))
    description = CATALOGUE.get(Optimizer, "momentum")
    rates = choose_rates(session.optimizer, description, 5, CPU)
    parts = (session.network, session.task, session.optimizer, session.source, rates)
    loop = LadderLoop(
        Step(*parts, precision="fp32", device=CPU),
        session.randomness,
        rungs=rungs_to_try(engine, description, captures=True),
        recorder=CudaRecorder(CPU, session.randomness.generators) if engine != "eager" else None,
    )
    for epoch in (1, 2):
        loop.run_epoch(epoch, [1.0] * 5, lambda *_: None)
    return loop.name, session.network.state_dict(), torch.get_rng_state()


def assert_same(expected, actual):
    """Compare what is left of two runs to the bit."""
    for one, other in zip(tree_leaves(expected), tree_leaves(actual), strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else True


def test_process_captures_on_behind_a_capture_that_broke(old_torch, caplog):
    """The run that broke it draws on and is the plain one; the next one is captured again."""
    old = old_torch()
    plain = [trained(ReadsOnHost(), engine="eager"), trained(engine="eager")]
    with old:
        found = [trained(ReadsOnHost()), trained()]

    assert_same(plain, found)
    assert ["eager", "graph"] == [name for name, *_ in found]
    assert old.broke
    assert (old.main, set(), set()) == (old.current, old.underway, old.marked)
    # What is held are the small graphs that prove it, and the step that was captured.
    assert (3, 2) == (len(old.held), len(capturing.CAPTURES.broken))
    assert "nothing more" not in caplog.text


def test_process_that_cannot_capture_again_says_so_once(old_torch, caplog):
    """Where numbers can still be drawn, this run and the next take plain steps."""
    old = old_torch(recovers=False, marks=False)
    plain = [trained(ReadsOnHost(), engine="eager"), trained(engine="eager")]
    with old:
        found = [trained(ReadsOnHost()), trained()]

    assert_same(plain, found)
    assert ["eager", "eager"] == [name for name, *_ in found]
    assert old.main is old.current
    said = [each.message for each in caplog.records if "captures nothing more: " in each.message]
    assert 1 == sum(each.startswith("this process") for each in said)


def test_process_that_cannot_draw_again_ends_its_run(old_torch):
    """No step is trained on a generator that nobody can draw from."""
    with old_torch(recovers=False), pytest.raises(CaptureBrokenError, match="in a new process"):
        trained(ReadsOnHost())


def test_proof_takes_no_numbers_from_anybody(old_torch):
    """Behind it each generator is where the capture left it, and what broke that is the reason."""
    generator = torch.Generator().manual_seed(3)
    everybody = [generator, torch.default_generator]
    before = [each.get_state() for each in everybody]
    with old_torch(), pytest.raises(RuntimeError, match="_local_scalar_dense"):
        capturing.capture(CPU, Stream(), lambda: torch.ones(()).item(), [generator])

    assert_same(before, [each.get_state() for each in everybody])


def test_newer_torch_is_not_told_of_generators(old_torch, monkeypatch):
    """From 2.14 on it finds them by itself and warns of being told; what it ends stays ended."""
    old = old_torch()
    monkeypatch.setattr(capturing, "TOLD_OF_GENERATORS", False)
    generator, numbers = torch.Generator(), torch.zeros(3)
    draws = [generator]
    graph = capturing.capture(CPU, Stream(), lambda: numbers.uniform_(generator=generator), draws)
    assert [torch.default_generator] == graph.generators

    def interrupted():
        raise ValueError("a layer's own")

    @contextmanager
    def newer(*_, pool, **__):
        old.held.add(pool)
        with nullcontext():
            yield

    monkeypatch.setattr(torch.cuda, "graph", newer)
    monkeypatch.setattr(capturing, "_prove", lambda *_: None)
    with pytest.raises(ValueError, match="a layer's own"):
        capturing.capture(CPU, Stream(), interrupted, [])
    assert (2, []) == (len(old.held), capturing.CAPTURES.broken)
