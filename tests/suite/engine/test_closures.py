"""Optimizers that evaluate the loss themselves see one batch, and the run records what it cost."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import normbench
from normbench.engine.session import open_session
from normbench.engine.trainer import Trainer
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
RENORM = ("norm.plain_steps=0", "norm.r_ramp_steps=1", "norm.d_ramp_steps=1", "norm.momentum=0.3")


class Recorder:
    """A sink that keeps points, and checkpoints if it has a folder."""

    def __init__(self, folder=None):
        self.points, self.folder = [], folder

    def point(self, point):
        """Keep a curve point."""
        self.points.append(point)

    def progress(self, epoch, step, steps):
        """Ignore progress."""

    def checkpoint(self, write, epoch):
        """Keep the checkpoint of *epoch*."""
        if self.folder is not None:
            write(self.folder / f"{epoch}.pt")


def opened(optimizer, *words, norm="batch_norm", problem="digits_cnn"):
    """Return a session of two short epochs on digits."""
    words = ["protocol.epochs=2", "problem.batch_size=128", *words]
    request = Request(problem=problem, optimizer=optimizer, norm=norm, words=words, seeds=[0])
    return open_session(resolve(request, CATALOGUE)[0], CATALOGUE, None, CPU)


def trained(session, sink=None, **resume):
    """Train *session* and return its result."""
    return Trainer(session, sink or Recorder(), checkpoint_seconds=0).run(**resume)


@pytest.mark.parametrize(("optimizer", "least", "most"), [("sam", 2, 2), ("lbfgs", 3, 25)])
def test_gradient_evaluations_are_counted(optimizer, least, most):
    """The result has the backward passes, which are more than the steps."""
    result = trained(opened(optimizer))

    assert least * result["steps"] <= result["gradient_evaluations"] <= most * result["steps"]
    assert "finished" == result["outcome"]


@pytest.mark.parametrize(("norm", "words"), [("batch_norm", ()), ("batch_renorm", RENORM)])
@pytest.mark.parametrize("optimizer", ["sam", "lbfgs"])
def test_statistics_are_those_of_the_first_evaluation(optimizer, norm, words):
    """After one step they equal those of plain SGD, whose only evaluation is at the same point."""
    ends = []
    for name in (optimizer, "sgd"):
        session = opened(name, "problem.batch_size=1024", "protocol.epochs=1", *words, norm=norm)
        assert 1 == session.source.steps
        trained(session)
        ends.append(dict(session.network.named_buffers()))

    assert ends[0]
    for name, buffer in ends[0].items():
        assert torch.equal(ends[1][name], buffer), name


@pytest.mark.parametrize("dropout", [normbench.Dropout, nn.Dropout])
def test_every_evaluation_has_the_same_masks(dropout):
    """Without a radius SAM's second gradient is its first, also where a mask is drawn."""
    ends = []
    for name, words in (("sam", ("rho=0",)), ("momentum", ())):
        session = opened(name, *words)
        session.network.dense2 = nn.Sequential(dropout(0.5), session.network.dense2)
        ends.append(trained(session)["weights_sha256"])

    assert ends[0] == ends[1]


def test_every_evaluation_starts_from_the_same_buffers():
    """Where statistics enter the loss, the second evaluation reads those that the first read."""
    ends = []
    for name, words in (("sam", ("rho=0",)), ("momentum", ())):
        ends.append(trained(opened(name, *words, *RENORM, norm="batch_renorm"))["weights_sha256"])

    assert ends[0] == ends[1]


@pytest.mark.parametrize("optimizer", ["sam", "lbfgs"])
def test_run_resumed_ends_in_the_same_bits(optimizer, tmp_path):
    """All that the next step depends on is in the checkpoint, L-BFGS's curvature pairs included."""
    recorder = Recorder(tmp_path)
    whole = trained(opened(optimizer), recorder)
    again = trained(opened(optimizer), resume=tmp_path / "1.pt", points=recorder.points[:2])

    assert whole["weights_sha256"] == again["weights_sha256"]
    assert whole["gradient_evaluations"] == again["gradient_evaluations"]


@pytest.mark.parametrize("optimizer", ["sam", "lbfgs"])
@pytest.mark.parametrize(("evaluation", "late"), [(1, 0), (2, 1)])
def test_bad_loss_in_an_evaluation_ends_the_run(optimizer, evaluation, late):
    """NaN in a step's first evaluation is that step's; in a later one it reaches the weights."""
    words = ("line_search=false",) if optimizer == "lbfgs" else ()
    session = opened(optimizer, *words)
    step, calls, task = session.optimizer.step, [], type(session.task)

    class Spoiled(task):
        def __call__(self, network, batch, state):
            scores = super().__call__(network, batch, state)
            calls.append(len(calls))
            bad = network.training and len(steps) == 3 and calls[-1] - steps[-1] == evaluation - 1
            loss = scores.loss * math.nan if bad else scores.loss
            return normbench.Scores(loss, scores.sums, scores.state)

    steps = []
    session.optimizer.step = lambda closure: steps.append(len(calls)) or step(closure)
    session.task.__class__ = Spoiled
    result = trained(session)

    assert ("diverged", 3 + late) == (result["outcome"], result["diverged_at_step"])


def test_bad_rate_ends_the_run():
    """A step that leaves the numbers is an outcome, not a failure."""
    result = trained(opened("sam", "lr=1e30"))

    assert "diverged" == result["outcome"]


def test_warm_up_from_zero_is_no_obstacle():
    """A first step at learning rate 0 leaves L-BFGS where it is, and the run goes on."""
    result = trained(opened("lbfgs", "protocol.warmup_epochs=1", "protocol.warmup_factor=0"))

    assert "finished" == result["outcome"]
    assert result["score"] > 0.5
