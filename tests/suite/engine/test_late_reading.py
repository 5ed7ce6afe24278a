"""What is read an epoch late is what is read at once: result, curve, weights and checkpoints."""

from __future__ import annotations

import json
import math
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from normbench import Data, Part
from normbench.engine import transfer
from normbench.engine.session import assemble, open_session
from normbench.engine.trainer import Trainer
from normbench.engine.transfer import Transfer
from normbench.engine.writer import Writer
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
TIMED = {"train_seconds", "evaluation_seconds", "observing_seconds", "images_per_second"}
TIMED |= {"engine_seconds", "peak_memory_mb", "finished_at", "time"}
STEPS, EPOCHS = 5, 4


class Keeping:
    """A sink that keeps points, and the checkpoint of each epoch behind its point."""

    def __init__(self, folder=None):
        self.points, self.folder, self.reached = [], folder, []

    def point(self, point):
        """Keep a curve point, which must be strict JSON."""
        self.points.append(json.loads(json.dumps(point, allow_nan=False)))

    def progress(self, epoch, step, steps):
        """Ignore progress."""

    def checkpoint(self, write, epoch):
        """Keep the checkpoint of *epoch*, and the last point before it."""
        self.reached.append((epoch, self.points[-1]["epoch"]))
        if self.folder is not None:
            write(self.folder / f"{epoch}.pt")


@pytest.fixture
def patient(monkeypatch):
    """Let no checkpoint be left out because the one before is still being written."""
    monkeypatch.setattr(Writer, "busy", False)


def opened(problem="digits_cnn_bn", optimizer="momentum", words=()):
    """Return a session of few steps; of the digits on random images."""
    words = [f"protocol.epochs={EPOCHS}", "protocol.evaluate_every=1", *words]
    if problem.startswith("digits"):
        words.append("problem.batch_size=10")
    asked = {"problem": problem, "optimizer": optimizer, "seeds": [0]}
    spec = resolve(Request(words=words, **asked), CATALOGUE)[0]
    if not problem.startswith("digits"):
        return open_session(spec, CATALOGUE, None, CPU)
    images = np.random.default_rng(0).integers(0, 241, (60, 8, 8, 1), dtype=np.uint8)
    data = Data(Part(images, np.arange(60) % 10), Part(images[:20], np.arange(20) % 10))
    session = assemble(spec, CATALOGUE, data, CPU)
    assert STEPS == session.source.steps
    return session


def spoil(session, step, *, fragile=""):
    """Make a weight infinite behind *step*, 0 for before training; what is fragile then raises."""
    weight, taken = next(session.network.parameters()), [0]

    def before(*_):
        broken = not torch.isfinite(weight).all()
        if broken and fragile == ("step" if session.network.training else "evaluation"):
            raise RuntimeError("the algorithm failed to converge")

    def after(*_):
        taken[0] += 1
        if taken[0] == step:
            weight.data.view(-1)[0] = math.inf

    if step == 0:
        weight.data.view(-1)[0] = math.inf
    session.optimizer.register_step_pre_hook(before)
    if fragile == "evaluation":
        session.network.register_forward_pre_hook(before)
    session.optimizer.register_step_post_hook(after)


def untimed(tree):
    """Return *tree* without what the clock says."""
    if not isinstance(tree, dict):
        return tree
    kept = {name: untimed(value) for name, value in tree.items() if name not in TIMED}
    return kept | ({"seconds": None} if "seconds" in kept else {})


def ended(session, *, late, folder=None, **resume):
    """Train; return result, points, what is left of the network, and the sink's checkpoints."""
    sink = Keeping(folder)
    trainer = Trainer(session, sink, checkpoint_seconds=-1, late=late)
    result = trainer.run(**resume)
    left = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    return untimed(result), [untimed(point) for point in sink.points], left, sink.reached


def assert_same(expected, actual):
    """Compare trees of tensors and values to the bit."""
    expected, actual = tree_leaves(expected), tree_leaves(actual)
    assert len(expected) == len(actual)
    for one, other in zip(expected, actual, strict=True):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one.nan_to_num(7), other.nan_to_num(7))
        else:
            assert one == other


CASES = {
    "finished": ({}, None, {}),
    "min metric": ({"problem": "quadratic_deep", "optimizer": "sgd"}, None, {}),
    "seldom": ({"words": ("protocol.evaluate_every=3",)}, None, {}),
    "best": ({"words": ("protocol.select=best",)}, None, {}),
    "averaged": ({"optimizer": "schedule_free_sgd"}, None, {}),
    "averaged, diverged": ({"optimizer": "schedule_free_sgd"}, STEPS + 1, {}),
    "before training": ({}, 0, {}),
    "first epoch": ({}, 2, {}),
    "first epoch's last step": ({}, STEPS, {}),
    "middle epoch": ({"optimizer": "adam"}, 2 * STEPS + 1, {}),
    "last epoch": ({}, 3 * STEPS + 2, {}),
    "last step": ({}, 4 * STEPS, {}),
    "later steps raise": ({}, 2 * STEPS, {"fragile": "step"}),
    "its evaluation raises": ({}, 2 * STEPS + 2, {"fragile": "evaluation"}),
}


@pytest.mark.parametrize(("asked", "step", "how"), CASES.values(), ids=CASES)
@pytest.mark.usefixtures("patient")
def test_late_reading_is_immediate_reading(asked, step, how):
    """Result, curve and weights agree to the bit, whenever a run ends and whatever it asks for."""
    ends = []
    for late in (False, True):
        session = opened(**asked)
        if step is not None:
            spoil(session, step, **how)
        ends.append(ended(session, late=late))

    assert_same(*ends)
    assert ends[1][0]["outcome"] == ("finished" if step is None else "diverged")
    assert all(epoch == reached for epoch, reached in ends[1][3])
    assert step is not None or [1, 2, 3] == [epoch for epoch, _ in ends[1][3]]


@pytest.mark.parametrize("optimizer", ["adam", "schedule_free_sgd"])
@pytest.mark.usefixtures("patient")
def test_checkpoints_of_a_late_run_lead_to_the_same_end(optimizer, tmp_path):
    """Whoever goes on from them, late or not, ends in the bits of the whole run."""
    whole, points, left, _ = ended(opened(optimizer=optimizer), late=True, folder=tmp_path)

    for epoch in range(1, EPOCHS):
        resume = {"resume": tmp_path / f"{epoch}.pt", "points": points[: epoch + 1]}
        again = ended(opened(optimizer=optimizer), late=epoch != 2, **resume)
        assert_same((whole, left), (again[0], again[2]))
        assert points[epoch + 1 :] == again[1]


def test_host_stays_an_epoch_ahead():
    """The sums of an epoch are read when the next one's steps have been issued."""
    session, sink, said = opened(), Keeping(), []
    train = session.loop.run_epoch

    def watched(epoch, *rest):
        sums = train(epoch, *rest)
        said.append((epoch, [point["epoch"] for point in sink.points]))
        return sums

    session.loop.run_epoch = watched
    result = Trainer(session, sink, late=True).run()

    assert [(1, []), (2, [0]), (3, [0, 1]), (4, [0, 1, 2])] == said
    assert ("finished", 5) == (result["outcome"], len(sink.points))


def test_slow_disk_holds_nobody_up():
    """What is due while a checkpoint is still being written is left out."""
    sink, moved_on = Keeping(), threading.Event()
    keep, report = sink.checkpoint, sink.point

    def checkpoint(write, epoch):
        assert moved_on.wait(timeout=60)
        keep(write, epoch)

    def point(point):
        report(point)
        if point["epoch"] == 3:
            moved_on.set()

    sink.checkpoint, sink.point = checkpoint, point
    Trainer(opened(), sink, checkpoint_seconds=-1, late=True).run()

    assert [1] == [epoch for epoch, _ in sink.reached]


@pytest.mark.parametrize("late", [False, True])
def test_failed_write_of_a_checkpoint_ends_the_run(late):
    """The error is the one that the writer met, from a thread as well."""

    class Full(Keeping):
        def checkpoint(self, write, epoch):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        Trainer(opened(), Full(), checkpoint_seconds=-1, late=late).run()


def test_failed_write_ends_the_run_in_the_next_epoch(monkeypatch):
    """With no later checkpoint to write, the error of the last one still ends the run at once."""
    session, trained, sink = opened(), [], Keeping()
    trainer = Trainer(session, sink, late=True)
    train = session.loop.run_epoch

    def checkpoint(write, epoch):
        raise OSError(28, "No space left on device")

    def watched(epoch, *rest):
        trained.append(epoch)
        deadline = time.monotonic() + 60
        while trainer._writer.busy:
            assert time.monotonic() < deadline
        return train(epoch, *rest)

    sink.checkpoint, session.loop.run_epoch = checkpoint, watched
    monkeypatch.setattr(Trainer, "_is_checkpoint_due", lambda _, epoch: epoch == 1)
    with pytest.raises(OSError, match="No space left"):
        trainer.run()

    assert [1, 2, 3] == trained


def test_numbers_are_read_once_they_have_arrived(monkeypatch):
    """What is on its way is waited for; a fake device sends it when it is waited for."""
    on_its_way = torch.zeros(2)
    arrival = SimpleNamespace(synchronize=lambda: on_its_way.fill_(7))
    monkeypatch.setattr(transfer, "mark", lambda _: arrival)
    monkeypatch.setattr(transfer, "to_host", lambda _: on_its_way)
    sent = Transfer(SimpleNamespace(device=torch.device("cuda")))

    assert [0.0, 0.0] == on_its_way.tolist()
    assert [[7.0, 7.0]] == [each.tolist() for each in sent.read()]
