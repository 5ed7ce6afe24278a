"""Averaged weights are judged in a copy with statistics of its own; training never notices."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import normbench
from normbench import Optimizer, Parameter, PluginError
from normbench.engine import averaging, checkpoint
from normbench.engine.session import open_session
from normbench.engine.trainer import Trainer
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CPU = torch.device("cpu")
LR = Parameter(name="lr", kind="float", default=0.1, summary="rate", low=0)


class Averaging(torch.optim.SGD):
    """SGD that is judged at the mean of its iterates, and whose switch back loses the last bits."""

    def step(self, closure=None):
        """Step, and average."""
        super().step(closure)
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                state = self.state[parameter]
                count = state["count"] = state.get("count", 0) + 1
                mean = state.setdefault("mean", torch.zeros_like(parameter))
                mean += (parameter - mean) / count

    @torch.no_grad()
    def eval(self):
        """Put the means into the parameters."""
        self._shift(1)

    @torch.no_grad()
    def train(self):
        """Take them out again."""
        self._shift(-1)

    def _shift(self, sign):
        for group in self.param_groups:
            for parameter in group["params"]:
                if "mean" in self.state[parameter]:
                    if sign > 0:
                        self.state[parameter]["kept"] = self.state[parameter]["mean"] - parameter
                    if "kept" in self.state[parameter]:
                        parameter += sign * self.state[parameter]["kept"]
                if sign < 0:
                    self.state[parameter].pop("kept", None)


def averaging_sgd(groups, *, lr):
    """Return the optimizer."""
    return Averaging(groups, lr=lr)


def plain_sgd(groups, *, lr):
    """Return SGD, which has nothing to switch."""
    return torch.optim.SGD(groups, lr=lr)


@pytest.fixture(scope="module")
def catalogue():
    """Return all components, one optimizer that averages, and one that only says so."""
    known = load_catalogue()
    for name, factory in (("averaging", averaging_sgd), ("pretending", plain_sgd)):
        known.add(
            Optimizer(
                name=name, summary="t", factory=factory, parameters=(LR,), averages_weights=True
            ),
            "test",
            "test",
        )
    return known


class Recorder:
    """A sink that keeps everything, and a checkpoint of every epoch."""

    def __init__(self, folder=None):
        self.points, self.folder = [], folder

    def point(self, point):
        """Keep a curve point, which must be strict JSON."""
        self.points.append(json.loads(json.dumps(point, allow_nan=False)))

    def progress(self, epoch, step, steps):
        """Ignore progress."""

    def checkpoint(self, write, epoch):
        """Keep the checkpoint of *epoch*."""
        if self.folder is not None:
            write(self.folder / f"{epoch}.pt")


def opened(catalogue, optimizer="averaging", words=(), problem="digits_cnn_bn", seed=0, **more):
    """Return a session of three short epochs on digits."""
    words = ["protocol.epochs=3", *words]
    request = Request(problem=problem, optimizer=optimizer, words=words, seeds=[seed], **more)
    return open_session(resolve(request, catalogue)[0], catalogue, None, CPU)


def trained(session, sink=None, **resume):
    """Train *session* and return its result."""
    return Trainer(session, sink or Recorder(), checkpoint_seconds=0).run(**resume)


def state_of(network):
    """Return a copy of all parameters and buffers."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one, other):
    """Whether two states are equal to the bit."""
    return all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


NAMES = ["averaging", "schedule_free_sgd", "schedule_free_adamw"]


@pytest.mark.parametrize("name", NAMES)
def test_training_does_not_notice_the_evaluation(catalogue, name):
    """Weights, buffers and curves of training are the same however often it is judged."""
    ends, hashes, losses = [], set(), []
    for every in (1, 3):
        session, sink = opened(catalogue, name, (f"protocol.evaluate_every={every}",)), Recorder()
        hashes.add(trained(session, sink)["weights_sha256"])
        ends.append(state_of(session.network))
        losses.append([point["train"] for point in sink.points if "train" in point])

    assert same(*ends)
    assert 1 == len(hashes)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", NAMES)
def test_training_equals_the_optimizer_alone(catalogue, name):
    """The weights that train are those of a loop that never switches nor evaluates."""
    session, alone = (opened(catalogue, name, ("protocol.schedule=constant",)) for _ in range(2))
    trained(session)
    for epoch in (1, 2, 3):
        alone.loop.run_epoch(epoch, [1.0] * alone.source.steps, lambda *_: None)

    assert same(state_of(session.network), state_of(alone.network))


@pytest.mark.parametrize("name", NAMES)
def test_run_resumed_from_any_epoch_ends_in_the_same_bits(catalogue, name, tmp_path):
    """Checkpoints hold the weights that train; the averages and their statistics come back."""
    recorder = Recorder(tmp_path)
    words = ("problem.augmentation=pad_crop:1",)
    whole = trained(opened(catalogue, name, words), recorder)

    for epoch in (1, 2):
        points = Recorder()
        again = trained(
            opened(catalogue, name, words),
            points,
            resume=tmp_path / f"{epoch}.pt",
            points=recorder.points[: epoch + 1],
        )
        assert whole["weights_sha256"] == again["weights_sha256"]
        assert whole["final"] == again["final"]
        assert [p["test"] for p in recorder.points[epoch + 1 :]] == [
            p["test"] for p in points.points
        ]


def test_judged_weights_are_the_averages(catalogue):
    """The copy holds the optimizer's means; result and score are the copy's."""
    session = opened(catalogue)
    trainer = Trainer(session, Recorder())
    result = trainer.run()

    copied = list(session.averaged.network.parameters())
    means = [session.optimizer.state[p].get("mean", p) for p in session.network.parameters()]
    moved = [m for m, p in zip(means, session.network.parameters(), strict=True) if m is not p]
    assert trainer.network is session.averaged.network
    assert checkpoint.weights_hash(trainer.network) == result["weights_sha256"]
    assert len(moved) > 0
    for mean, parameter in zip(means, copied, strict=True):
        torch.testing.assert_close(mean, parameter.detach())


def test_statistics_are_means_over_the_batches_of_their_own_stream(catalogue):
    """Running statistics of the copy are the means of batch statistics at the averages."""
    session = opened(catalogue, words=("problem.batch_size=200",))
    trained(session)
    network = session.averaged.network
    first = next(m for m in network.modules() if hasattr(m, "running_mean"))
    seen = []
    handle = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    network.train()
    session.source.start_epoch(averaging.STREAM)
    for index in range(session.source.steps):
        cursor = torch.tensor(index * 200)
        network(session.source.batch(cursor, 200).inputs)
    handle.remove()
    session.averaged.refresh()

    means = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    variances = torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0)
    torch.testing.assert_close(first.running_mean, means)
    torch.testing.assert_close(first.running_var, variances)


@pytest.mark.parametrize(("batch_size", "expected"), [(10, 50), (200, 6)])
def test_statistics_take_fifty_batches_at_most(catalogue, batch_size, expected):
    """Fifty, or as many as an epoch has; they are no gradient evaluations."""
    session, sizes = opened(catalogue, words=(f"problem.batch_size={batch_size}",)), []
    take = session.source.batch
    session.source.batch = lambda cursor, size: sizes.append(int(cursor)) or take(cursor, size)

    session.averaged.refresh()

    assert list(range(0, expected * batch_size, batch_size)) == sizes
    assert 0 == session.loop.gradient_evaluations


def test_statistics_see_other_batches_than_training(catalogue):
    """Their order is one of its own, and that of no epoch of training."""
    session, taken, firsts = opened(catalogue), [], []
    take = session.source.batch
    for epoch in (averaging.STREAM, 1, 2, 3):
        session.source.start_epoch(epoch)
        firsts.append(take(torch.tensor(0), 16).inputs.clone())

    session.source.batch = lambda *where: taken.append(take(*where)) or taken[-1]
    session.averaged.refresh()

    assert torch.equal(firsts[0], taken[0].inputs[:16])
    assert not any(torch.equal(firsts[0], first) for first in firsts[1:])


@pytest.mark.parametrize("norm", ["batch_norm", "batch_renorm", "ghost_batch_norm", "evonorm_b0"])
def test_every_norm_with_running_statistics_is_estimated(catalogue, norm):
    """With all weights as they were, statistics from one stream do not depend on what they were."""
    ends = []
    for start in (0.5, 3.0):
        session = opened(catalogue, problem="digits_cnn", norm=norm)
        for name, buffer in session.network.named_buffers():
            if name.rpartition(".")[2].startswith("running"):
                buffer.fill_(start)
        session.averaged.refresh()
        ends.append(state_of(session.averaged.network))

    running = [name for name in ends[0] if name.rpartition(".")[2].startswith("running")]
    assert running
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in running)
    assert any((ends[0][name] != 0.5).any() for name in running)


def test_statistics_improve_the_score(catalogue):
    """Averages judged with the statistics of the last iterate score worse."""
    session = opened(catalogue, "schedule_free_sgd", ("lr=3", "problem.batch_size=128"))
    result = trained(session)
    stale = session.averaged
    stale._estimate_statistics = lambda: None
    stale.refresh()
    part = session.parts["test"]
    network = stale.network.eval()
    right = sum((network(batch.inputs).argmax(1) == batch.targets).sum().item() for batch in part)

    assert result["score"] > right / part.examples


def test_start_is_judged_as_for_any_optimizer(catalogue):
    """Before training there are no averages: the first point equals that of plain SGD."""
    points = []
    for name in ("schedule_free_sgd", "sgd"):
        sink = Recorder()
        trained(opened(catalogue, name), sink)
        points.append(sink.points[0]["test"])

    assert points[0] == points[1]


def test_estimation_is_training_time(catalogue, monkeypatch):
    """What the averages need to be of use is charged to training, not to evaluation."""
    clock = iter(range(0, 10_000_000, 1))
    monkeypatch.setattr("normbench.engine.trainer.time.perf_counter", lambda: float(next(clock)))
    seconds = {}
    for name in ("schedule_free_sgd", "sgd"):
        result = trained(opened(catalogue, name))
        seconds[name] = (result["train_seconds"], result["evaluation_seconds"])

    assert (6.0, 4.0) == seconds["schedule_free_sgd"]
    assert (3.0, 4.0) == seconds["sgd"]


def test_noise_in_training_is_the_same_each_time(catalogue):
    """Dropout in the passes for statistics has a stream of its own, whatever came before."""
    ends = []
    for consumed in (0, 7):
        session = opened(catalogue, "schedule_free_sgd")
        for network in (session.network, session.averaged.network):
            network.features = nn.Sequential(normbench.Dropout(0.5), nn.Dropout(0.5))
            network.register_forward_pre_hook(lambda m, inputs: (m.features(inputs[0]),))
        torch.rand(consumed)
        session.averaged.refresh()
        ends.append(state_of(session.averaged.network))

    assert same(*ends)


def test_diverged_run_is_closed(catalogue):
    """Bad numbers end the run, whose hash is that of the weights that trained."""
    session = opened(catalogue, "schedule_free_sgd")

    class Spoiling(Recorder):
        def point(self, point):
            super().point(point)
            if point["epoch"] == 1:
                nn.init.constant_(session.network.dense2.bias, torch.nan)

    result = trained(session, Spoiling())

    assert ("diverged", 41) == (result["outcome"], result["diverged_at_step"])
    assert checkpoint.weights_hash(session.network) == result["weights_sha256"]


def test_description_without_the_methods_is_refused(catalogue):
    """An optimizer that claims to average must have the switch."""
    with pytest.raises(PluginError, match=r"SGD averages weights .* no train\(\) and no eval\(\)"):
        opened(catalogue, "pretending")
