"""A recorded evaluation is a plain one, and what cannot be recorded is evaluated plainly."""

from __future__ import annotations

import logging
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from normbench import Data, Part
from normbench.engine import evaluation
from normbench.engine.evaluation import Evaluator
from normbench.engine.feeding import evaluation_size
from normbench.engine.graph import LadderLoop
from normbench.engine.session import assemble
from normbench.engine.trainer import Trainer
from normbench.layers import Stochastic
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE = load_catalogue()
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
Recorder = runpy.run_path(str(Path(__file__).with_name("processor_recorder.py")))["Recorder"]
Carrying = runpy.run_path(str(Path(__file__).with_name("carrying_task.py")))["Carrying"]


class Counting(Recorder):
    """Counts recordings and replays."""

    def __init__(self):
        super().__init__()
        self.made, self.replayed = 0, 0

    def capture(self, work):
        """Record and count."""
        replay = super().capture(work)
        self.made += 1

        def counted():
            self.replayed += 1
            replay()

        return counted


class Points:
    """A sink that keeps the metrics of points."""

    def __init__(self):
        self.points = []

    def point(self, point):
        """Keep what was evaluated."""
        self.points.append({part: point[part] for part in ("validation", "test")})

    def progress(self, epoch, step, steps):
        """Ignore progress."""

    def checkpoint(self, write, epoch):
        """Keep none."""


@pytest.fixture
def captured(monkeypatch):
    """Let training steps count as captured."""
    monkeypatch.setattr(LadderLoop, "captured", True)


def opened(device=CPU, engine="auto", *more):
    """Return a session of four epochs with 50 training and 35 test images, evaluated by eights."""
    words = ("protocol.epochs=4", "protocol.evaluate_every=1", "problem.batch_size=10")
    words = (*words, "protocol.evaluation_batch_size=8", *more)
    asked = {"problem": "digits_cnn_bn", "optimizer": "adam", "seeds": [0]}
    spec = resolve(Request(words=words, **asked), CATALOGUE)[0]
    images = np.random.default_rng(0).integers(0, 241, (60, 8, 8, 1), dtype=np.uint8)
    data = Data(Part(images, np.arange(60) % 10), Part(images[:35], np.arange(35) % 10))
    return assemble(spec, CATALOGUE, data, device, engine)


def carry(session):
    """Carry a state from batch to batch."""
    session.task = Carrying(session.task)
    return session


class Noise(Stochastic):
    """Draws in evaluation too."""

    in_evaluation = True

    def forward(self, inputs):
        """Add what is drawn."""
        return inputs + torch.empty_like(inputs).normal_(generator=self.generator)


def with_layer(layer):
    """Return what puts *layer* before the network of a session."""

    def change(session):
        session.network.layer = layer()
        session.network.register_forward_pre_hook(
            lambda network, inputs: (network.layer(inputs[0]), *inputs[1:])
        )
        return session

    return change


def points(session, **options):
    """Train *session* and return the metrics of each point."""
    sink = Points()
    Trainer(session, sink, **options).run()
    return sink.points


@pytest.mark.parametrize(
    ("change", "late"), [(with_layer(nn.Identity), False), (carry, True), (with_layer(Noise), True)]
)
@pytest.mark.usefixtures("captured")
def test_recorded_evaluation_is_a_plain_one(change, late):
    """Every example counts once, the last batch is smaller, and noise is drawn anew each time."""
    recorder = Counting()
    found = points(change(opened()), recorder=recorder, late=late)

    assert points(change(opened())) == found
    assert (1, 5) == (recorder.made, recorder.replayed)


class ReadsOnHost(nn.Module):
    """Reads a number from the device in evaluation."""

    def forward(self, inputs):
        """Scale by it."""
        return inputs if self.training else inputs * (1 + inputs.mean().item())


class CountsInPython(nn.Module):
    """Scales by a number that Python counts."""

    calls = 0

    def forward(self, inputs):
        """Count and scale."""
        self.calls += 1
        return inputs * (1 + self.calls / 100)


def from_host(session):
    """Let batches come from the host."""
    session.parts["test"].from_host = True
    return session


OBSTACLES = [
    (with_layer(ReadsOnHost), "_local_scalar_dense"),
    (with_layer(CountsInPython), "differ"),
    (from_host, "batches come from the host"),
]


@pytest.mark.parametrize(("change", "reason"), OBSTACLES)
@pytest.mark.usefixtures("captured")
def test_what_cannot_be_recorded_is_evaluated_plainly(change, reason, caplog):
    """One line says why, and the numbers of the evaluation at hand are those of a plain one."""
    plain, session = change(opened()), change(opened())
    expected = Evaluator(plain).evaluate(plain.network).read()
    evaluator = Evaluator(session, Recorder())
    found = evaluator.evaluate(session.network).read()
    evaluator.evaluate(session.network)

    assert expected == found
    said = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    assert [1, True] == [len(said), reason in said[0]]


class Off(Recorder):
    """Replays evaluations whose sums are off by a factor."""

    def capture(self, work):
        """Record *work*."""
        replay = super().capture(work)

        def off():
            replay()
            for sums in self.evaluator._sums.values():
                sums.mul_(self.factor)

        return off


@pytest.mark.parametrize(
    ("deterministic", "factor", "holds"),
    [("false", 1.0001, True), ("false", 1.01, False), ("true", 1.0001, False)],
)
@pytest.mark.usefixtures("captured")
def test_recording_may_be_off_by_rounding_where_kernels_are_not_exact(
    deterministic, factor, holds, caplog
):
    """A tenth of a tolerance is let pass; ten tolerances are not, nor anything of exact kernels."""
    session, recorder = opened(CPU, "auto", f"protocol.deterministic={deterministic}"), Off()
    recorder.evaluator, recorder.factor = Evaluator(session, recorder), factor
    recorder.evaluator.evaluate(session.network)

    assert holds == ("its sums differ" not in caplog.text)


@pytest.mark.usefixtures("captured")
def test_recording_of_other_weights_is_not_replayed(caplog):
    """Weights that have moved in memory are found out; too many batches are not recorded."""
    session = opened()
    evaluator = Evaluator(session, Recorder())
    evaluator.evaluate(session.network)
    weight = next(session.network.parameters())
    weight.data = weight.data.clone() + 1

    found = evaluator.evaluate(session.network).read()
    assert Evaluator(session).evaluate(session.network).read() == found
    assert "weights or buffers have moved" in caplog.text


@pytest.mark.usefixtures("captured")
def test_long_evaluation_is_not_recorded(monkeypatch, caplog):
    """A recording of very many batches would take more memory than it saves time."""
    monkeypatch.setattr(evaluation, "MOST_BATCHES", 5)
    session = opened()
    Evaluator(session, Recorder()).evaluate(session.network)

    assert "it has 7 batches" in caplog.text


SIZES = [((28, 28, 1), 2500), ((32, 32, 3), 2000), ((96, 96, 3), 222), ((64,), 2000)]


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_evaluation_batches_fill_a_gpu_and_leave_a_processor_its_cache(shape, size):
    """On CUDA about two million pixels, whatever the size of an image."""
    session = opened()
    rules, network = session.spec.protocol.rules, session.network
    rules = replace(rules, evaluation_batch_size=None)

    assert size == evaluation_size(rules, network, shape, "cuda")
    assert 128 == evaluation_size(rules, network, shape, "cpu")
    assert 7 == evaluation_size(replace(rules, evaluation_batch_size=7), network, shape, "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_run_waits_for_nothing_between_its_epochs(caplog):
    """Once all is recorded, an epoch with its evaluation neither syncs nor changes a metric."""
    session = opened(device=CUDA, engine="graph")
    train = session.loop.run_epoch

    def watched(epoch, *rest):
        torch.cuda.set_sync_debug_mode("error" if epoch == 3 else "default")
        return train(epoch, *rest)

    session.loop.run_epoch = watched
    try:
        found = points(session)
    finally:
        torch.cuda.set_sync_debug_mode("default")

    assert points(opened(device=CUDA, engine="eager")) == found
    assert "not captured" not in caplog.text
