"""Training is reproducible to the bit, resumable at any epoch, and closed when it diverges."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from normbench import Data, Dataset, Part
from normbench.engine import trainer
from normbench.engine.checkpoint import Progress, restore
from normbench.engine.meter import EnergyUse
from normbench.engine.session import assemble, open_session
from normbench.engine.trainer import Trainer
from normbench.engine.transfer import mapped
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
SHORT = ("protocol.epochs=3", "protocol.evaluate_every=1")


class Recorder:
    """A sink that keeps everything, and a checkpoint of every epoch."""

    def __init__(self, folder=None):
        self.points, self.folder = [], folder

    def point(self, point):
        """Keep a curve point, which must be strict JSON."""
        self.points.append(json.loads(json.dumps(point, allow_nan=False)))

    def progress(self, epoch, step, steps):
        """Check that progress makes sense."""
        assert 0 < step <= steps

    def checkpoint(self, write, epoch):
        """Keep the checkpoint of *epoch*."""
        if self.folder is not None:
            write(self.folder / f"{epoch}.pt")


def make_spec(problem="digits_cnn_bn", optimizer="momentum", words=(), seed=0, **request):
    """Return one short run."""
    request = Request(
        problem=problem, optimizer=optimizer, words=[*SHORT, *words], seeds=[seed], **request
    )
    return resolve(request, CATALOGUE)[0]


def images(dataset, count=80):
    """Return random images in place of a dataset's files."""
    generator = np.random.default_rng(0)
    shape = (count, *dataset.shape)
    inputs = generator.integers(0, 256, shape, dtype=np.uint8)
    targets = np.arange(count, dtype=np.int64) % max(dataset.classes, 1)
    return Data(Part(inputs, targets), Part(inputs[:32], targets[:32]))


def session(spec):
    """Return a session; on random images where the dataset needs files."""
    dataset = CATALOGUE.get(Dataset, spec.problem.dataset.name)
    if dataset.files:
        return assemble(spec, CATALOGUE, images(dataset), CPU)
    return open_session(spec, CATALOGUE, None, CPU)


def train(spec, sink=None, **resume):
    """Train *spec* and return its result."""
    return Trainer(session(spec), sink or Recorder(), checkpoint_seconds=0).run(**resume)


def comparable(result):
    """Return the parts of a result that do not depend on the clock."""
    timed = ("train_seconds", "evaluation_seconds", "images_per_second", "peak_memory_mb")
    left_out = (*timed, "finished_at", "time_to_target")
    return {name: value for name, value in result.items() if name not in left_out}


CASES = [
    ("digits_cnn_bn", "momentum", ()),
    ("digits_cnn_bn", "adam", ("protocol.schedule=cosine", "protocol.warmup_epochs=1")),
    ("digits_cnn", "rmsprop", ("problem.augmentation=pad_crop:1,flip",)),
    ("quadratic_deep", "sgd", ("lr=0.01",)),
    ("fmnist_vae", "adam", ("problem.batch_size=16",)),
    ("cifar100_allcnnc_bn", "adamw", ("problem.batch_size=8", "protocol.epochs=2")),
]


@pytest.mark.parametrize(("problem", "optimizer", "words"), CASES)
def test_run_resumed_from_any_epoch_ends_in_the_same_bits(problem, optimizer, words, tmp_path):
    """Weights, buffers, curves and result equal those of the undisturbed run."""
    spec = make_spec(problem, optimizer, words)
    recorder = Recorder(tmp_path)
    whole = train(spec, recorder)

    for checkpoint in sorted(tmp_path.glob("*.pt")):
        epoch = int(checkpoint.stem)
        kept = recorder.points[: epoch + 1]
        resumed = train(spec, resume=checkpoint, points=kept)
        assert comparable(whole) == comparable(resumed)
    assert spec.epochs - 1 == len(list(tmp_path.glob("*.pt")))


def test_step_counts_come_back_to_where_a_new_optimizer_keeps_them(monkeypatch):
    """Adagrad's are on the host, which reads them in each step; those of a captured Adam are not.

    Without a GPU torch's fake tensors say where they would be.
    """
    with FakeTensorMode():
        network = torch.nn.Linear(2, 1, device="cuda")
        for make in (torch.optim.Adagrad, partial(torch.optim.Adam, capturable=True)):
            optimizer = make(network.parameters())
            for parameter in network.parameters():
                parameter.grad = torch.zeros_like(parameter)
            if make is not torch.optim.Adagrad:
                optimizer.step()
            expected = [state["step"].device for state in optimizer.state.values()]
            states = mapped(optimizer.state_dict(), lambda tensor: tensor.cuda())
            content = {"fingerprint": "", "network": network.state_dict(), "optimizer": states}
            content["progress"] = asdict(Progress(engine=""))
            monkeypatch.setattr(torch, "load", lambda *_, content=content, **__: content)
            session = Mock(network=network, optimizer=optimizer)
            session.spec.fingerprint = ""
            restore(None, session, Mock())
            assert expected == [state["step"].device for state in optimizer.state.values()]
    assert "cuda" == expected[0].type


class Meter:
    """Stands in for a GPU's meter, with the readings that it is to show."""

    def __init__(self, *readings):
        self.joules = iter(readings).__next__


def test_energy_is_summed_over_attempts_up_to_their_checkpoints(tmp_path):
    """What was trained in vain is left out, packs share; unmetered once, it is unknown."""
    spec, recorder = make_spec("quadratic_deep", "sgd", ("lr=0.01",)), Recorder(tmp_path)

    def joules(energy, epoch=None, sink=None):
        resume = {} if epoch is None else {"resume": tmp_path / f"{epoch}.pt"}
        points = recorder.points[: 0 if epoch is None else epoch + 1]
        made = Trainer(
            session(spec), sink or Recorder(), checkpoint_seconds=0, late=False, energy=energy
        )
        return made.run(**resume, points=points)["energy_joules"]

    assert 10.0 == joules(EnergyUse(Meter(100.0, 101.0, 103.0, 106.0, 110.0)), sink=recorder)
    assert 3.0 + 10.0 / 2 == joules(EnergyUse(Meter(500.0, 504.0, 510.0), share=2), epoch=1)
    assert joules(None) is joules(None, epoch=1) is None
    assert joules(EnergyUse(Meter(1.0, 2.0, None, 4.0, None))) is None
    before = torch.load(tmp_path / "1.pt", weights_only=True)
    del before["progress"]["energy_joules"]
    torch.save(before, tmp_path / "1.pt")
    assert joules(EnergyUse(Meter(500.0, 504.0, 510.0)), epoch=1) is None


@pytest.mark.parametrize("late", [False, True])
def test_energy_up_to_a_checkpoint_is_that_of_its_steps(late, tmp_path):
    """The next epoch's steps, issued before it is written, are not counted, nor counted again."""
    spec, recorder, taken = make_spec("quadratic_deep", "sgd", ("lr=0.01",)), Recorder(tmp_path), []

    def result(sink, **resume):
        made, meter = session(spec), Mock(joules=lambda: float(len(taken)))
        take = made.loop.take_plain_step
        made.loop.take_plain_step = lambda size: taken.append(size) or take(size)
        energy = EnergyUse(meter)
        return Trainer(made, sink, checkpoint_seconds=-1, late=late, energy=energy).run(**resume)

    whole = result(recorder)
    steps = whole["steps"] / spec.epochs
    content = torch.load(tmp_path / "1.pt", weights_only=True)
    resumed = result(Recorder(), resume=tmp_path / "1.pt", points=recorder.points[:2])

    assert steps == content["progress"]["energy_joules"]
    assert [3 * steps] * 2 == [each["energy_joules"] for each in (whole, resumed)]


def test_first_checkpoints_come_early_and_then_twice_as_late(monkeypatch):
    """With epochs of a second: after 2, 6 and 14 seconds, and from then on every 10 as asked."""
    seconds, saved = [0.0], []

    class Clocked(Recorder):
        def point(self, point):
            seconds[0] = float(point["epoch"])

        def checkpoint(self, write, epoch):
            saved.append(epoch)

    monkeypatch.setattr(trainer.time, "monotonic", lambda: seconds[0])
    spec = make_spec("quadratic_deep", "sgd", ("protocol.epochs=40", "lr=0.001"))
    Trainer(session(spec), Clocked(), checkpoint_seconds=10.0).run()

    assert [2, 6, 14, 24, 34] == saved


def test_same_seed_repeats_and_another_differs():
    """A run is a function of its spec."""
    first, again, other = (train(make_spec(seed=seed)) for seed in (0, 0, 1))

    assert first["weights_sha256"] == again["weights_sha256"]
    assert first["weights_sha256"] != other["weights_sha256"]


def test_run_does_not_depend_on_what_the_process_did_before():
    """Global random state and earlier runs leave no trace."""
    alone = train(make_spec("fmnist_vae", "adam"))
    torch.manual_seed(99)
    train(make_spec("digits_cnn_bn"))

    assert alone["weights_sha256"] == train(make_spec("fmnist_vae", "adam"))["weights_sha256"]


@pytest.mark.parametrize("problem", ["digits_cnn_bn", "fmnist_vae"])
def test_evaluation_changes_nothing(problem):
    """Evaluating seldom, on more parts, or in other batches leaves the weights alone."""
    words = ("protocol.evaluate_every=3", "protocol.train_subset=50")
    words = (*words, "protocol.evaluation_batch_size=7")

    often = train(make_spec(problem))
    seldom = train(make_spec(problem, words=words))
    assert often["weights_sha256"] == seldom["weights_sha256"]


def test_every_epoch_leaves_a_point_with_exact_metrics():
    """E+1 points; accuracy counts every test image once."""
    recorder = Recorder()
    train(make_spec(words=("protocol.train_subset=100",)), recorder)

    assert [0, 1, 2, 3] == [point["epoch"] for point in recorder.points]
    assert "train" not in recorder.points[0]
    last = recorder.points[-1]
    right = last["test"]["accuracy"] * 359
    assert math.isclose(round(right), right, abs_tol=1e-9)
    assert {"train", "validation", "test", "train_subset"} <= last.keys()


def test_evaluation_in_parts_sums_to_the_same_metrics():
    """Metrics are sums over examples, so batches of any size give the same accuracy and loss."""
    results = [
        train(make_spec(words=(f"protocol.evaluation_batch_size={size}",)))["final"]["test"]
        for size in (7, 1000)
    ]

    assert results[0]["accuracy"] == results[1]["accuracy"]
    assert results[0]["loss"] == pytest.approx(results[1]["loss"], rel=1e-6)


def test_diverged_run_is_closed_at_its_first_bad_step():
    """The score is the problem's worst, the curve ends before, and every number is finite."""
    recorder = Recorder()
    result = train(make_spec(words=("lr=1e30",)), recorder)

    assert "diverged" == result["outcome"]
    assert 1 <= result["diverged_at_step"] <= 40
    assert 0.1 == result["score"]
    assert [0] == [point["epoch"] for point in recorder.points]
    json.dumps(result, allow_nan=False)


def test_best_epoch_is_chosen_on_validation():
    """With select=best the score is the test accuracy at the best validation epoch."""
    recorder = Recorder()
    result = train(make_spec(words=("protocol.select=best", "protocol.epochs=5")), recorder)

    trained = [point for point in recorder.points if point["epoch"]]
    best = max(trained, key=lambda point: point["validation"]["accuracy"])
    assert best["epoch"] == result["best"]["epoch"]
    assert best["test"]["accuracy"] == result["score"]


def test_time_to_target_is_censored_when_missed():
    """A target that no epoch reaches has neither epochs nor seconds."""
    result = train(make_spec("quadratic_deep", "sgd", ("lr=1e-9",)))

    assert not result["time_to_target"]["reached"]
    assert result["time_to_target"]["epochs"] is None


def test_fixed_parameters_stay_where_they_started():
    """γ and β keep their values through training, and running statistics do not."""
    spec = make_spec(ablation="fixed", words=("ablation.scale_init=0.5",))
    opened = session(spec)
    Trainer(opened, Recorder()).run()

    scales = [p.parameter for p in opened.built.parameters if p.role == "norm_scale"]
    shifts = [p.parameter for p in opened.built.parameters if p.role == "norm_shift"]
    assert all(bool((scale == 0.5).all()) for scale in scales)
    assert all(bool((shift == 0).all()) for shift in shifts)
    assert any(bool((buffer != 0).any()) for buffer in opened.network.buffers())


def test_bf16_keeps_weights_and_optimizer_state_in_float32():
    """Only products are rounded; everything kept is float32."""
    opened = session(make_spec("digits_cnn_bn", words=("protocol.precision=bf16",)))
    result = Trainer(opened, Recorder()).run()

    kept = [*opened.network.parameters()]
    kept += [v for s in opened.optimizer.state.values() for v in s.values() if v is not None]
    assert {torch.float32} == {tensor.dtype for tensor in kept}
    assert result["score"] > 0.8
