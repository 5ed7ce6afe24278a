"""What would quietly spoil results: leaks between parts, wrong rates, unnoticed bad numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import normbench
from normbench import Data, Dataset, Optimizer, Parameter, Part, UsageError
from normbench.build import build_network
from normbench.engine.session import assemble, open_session
from normbench.engine.trainer import Trainer
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.schedules import epoch_factors, factor

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
COUNT = 200


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


def make_spec(problem="digits_cnn", optimizer="sgd", words=(), catalogue=CATALOGUE, **request):
    """Return one run of two epochs."""
    words = ["protocol.epochs=2", *words]
    request = {"seeds": [0], **request}
    return resolve(
        Request(problem=problem, optimizer=optimizer, words=words, **request), catalogue
    )[0]


def numbered():
    """Return digits-shaped images whose targets say which example they are."""
    images = np.random.default_rng(0).integers(0, 241, (COUNT, 8, 8, 1), dtype=np.uint8)
    return Data(
        Part(images, np.arange(COUNT) % 10), Part(images[:20], np.arange(20, dtype=np.int64) % 10)
    )


def opened(spec, catalogue=CATALOGUE, data=None):
    """Return a session, on numbered images unless other data are given."""
    return assemble(spec, catalogue, data or numbered(), CPU)


def keys(images):
    """Return images as a set of hashable contents."""
    return {image.numpy().tobytes() for image in images.contiguous()}


def training_images(session):
    """Return every image of the first epoch."""
    session.source.start_epoch(1)
    size = session.source.batch_size
    starts = torch.arange(session.source.steps) * size
    return keys(torch.cat([session.source.batch(start, size).inputs for start in starts]))


def part_images(session, name):
    """Return every image of an evaluated part."""
    return keys(torch.cat([batch.inputs for batch in session.parts[name]]))


def test_validation_examples_are_never_trained_on():
    """Training and validation share no image, and the training subset is of the training part."""
    words = ("problem.batch_size=5", "protocol.validation_share=0.2", "protocol.train_subset=40")
    session = opened(make_spec(words=words))
    trained, validation = training_images(session), part_images(session, "validation")

    assert (160, 40) == (len(trained), len(validation))
    assert not trained & validation
    assert part_images(session, "train_subset") <= trained


@pytest.mark.parametrize(("driven_by", "same"), [("seed", False), ("fixed", True)])
def test_split_follows_the_seed_or_is_fixed(driven_by, same):
    """The protocol says whether two seeds hold out the same examples."""
    words = (f"protocol.validation_driven_by={driven_by}", "protocol.validation_share=0.2")
    parts = [
        part_images(opened(make_spec(words=words, seeds=[seed])), "validation") for seed in (0, 1)
    ]

    assert same == (parts[0] == parts[1])


@pytest.mark.parametrize(("augment", "changed"), [("true", True), ("false", False)])
def test_augmentation_can_be_switched_off(augment, changed):
    """Without it every training image is one of the dataset."""
    words = ("problem.augmentation=pad_crop:2", f"protocol.augment={augment}")
    session = opened(make_spec(words=(*words, "protocol.train_subset=200")))
    part = part_images(session, "train_subset")

    assert changed == bool(training_images(session) - part)


def test_every_step_has_the_rate_of_its_schedule():
    """The optimizer sees lr times the factor of each step, and points report the next rate."""
    words = ("lr=0.5", "protocol.schedule=cosine", "protocol.warmup_epochs=0.5")
    spec = make_spec(words=words)
    session, recorder, seen = opened(spec), Recorder(), []
    step = session.optimizer.step

    def recording():
        seen.append(session.optimizer.param_groups[0]["lr"])
        return step()

    session.optimizer.step = recording
    Trainer(session, recorder).run()
    steps, rules = session.source.steps, spec.protocol.rules
    expected = [0.5 * f for epoch in (1, 2) for f in epoch_factors(rules, epoch, 2, steps)]

    assert expected == pytest.approx(seen)
    assert [0.5 * factor(rules, e, 2) for e in range(3)] == [p["lr"] for p in recorder.points]


def test_train_metrics_are_means_over_the_examples_trained():
    """With a learning rate of zero they equal an evaluation of the training part."""
    words = ("lr=0", "protocol.drop_last=false", "problem.batch_size=7")
    session, recorder = opened(make_spec(words=(*words, "protocol.train_subset=200"))), Recorder()
    Trainer(session, recorder).run()
    last = recorder.points[-1]

    assert last["train"]["loss"] == pytest.approx(last["train_subset"]["loss"], rel=1e-5)
    assert last["train"]["accuracy"] == pytest.approx(last["train_subset"]["accuracy"])


def test_evaluation_takes_place_when_it_is_due():
    """Every second epoch, and the last one always."""
    words = ("protocol.epochs=3", "protocol.evaluate_every=2")
    recorder = Recorder()
    Trainer(opened(make_spec(words=words)), recorder).run()

    assert [True, False, True, True] == ["test" in point for point in recorder.points]


def test_bad_parameter_ends_the_run_as_diverged():
    """A parameter that turns non-finite without a bad loss is noticed at the epoch's end."""
    session = opened(make_spec())
    unused = nn.Parameter(torch.tensor([math.nan]))
    session.network.register_parameter("unused", unused)
    recorder = Recorder()
    result = Trainer(session, recorder).run()

    assert ("diverged", session.source.steps) == (result["outcome"], result["diverged_at_step"])
    assert [0] == [point["epoch"] for point in recorder.points]


@pytest.mark.parametrize(("at", "step"), [(0, 0), (1, 6)])
def test_bad_evaluation_ends_the_run_as_diverged(at, step):
    """A loss that is not finite in evaluation alone counts, before training too."""
    session = opened(make_spec(words=("problem.batch_size=30",)))
    evaluations, call = [], type(session.task).__call__

    class Spoiled(type(session.task)):
        def __call__(self, network, batch, state):
            scores = call(self, network, batch, state)
            if not network.training:
                evaluations.append(1)
                if len(evaluations) > 3 * at:
                    scores.sums[0] = math.inf
            return scores

    session.task.__class__ = Spoiled
    recorder = Recorder()
    result = Trainer(session, recorder).run()

    assert ("diverged", step) == (result["outcome"], result["diverged_at_step"])
    assert at == len(recorder.points)


def test_target_is_found_once_and_survives_a_resume(tmp_path):
    """The first epoch that reaches it counts, also when a checkpoint lies between."""
    words = ("lr=0.2", "protocol.epochs=8", "protocol.schedule=constant")
    spec = make_spec("digits_cnn_bn", words=words)
    metric = type(spec.problem.metric)(**{**vars_of(spec.problem.metric), "target": 0.9})
    object.__setattr__(spec.problem, "metric", metric)
    recorder = Recorder(tmp_path)
    whole = Trainer(open_session(spec, CATALOGUE, None, CPU), recorder, checkpoint_seconds=0).run()
    reached = next(p["epoch"] for p in recorder.points if p["test"]["accuracy"] >= 0.9)
    resumed = Trainer(open_session(spec, CATALOGUE, None, CPU), Recorder()).run(
        tmp_path / "7.pt", recorder.points[:8]
    )

    assert reached == whole["time_to_target"]["epochs"]
    assert whole["time_to_target"] == resumed["time_to_target"]


def vars_of(metric):
    """Return the fields of a frozen description."""
    return {name: getattr(metric, name) for name in metric.__dataclass_fields__}


class TwoCalls(torch.optim.SGD):
    """An optimizer that evaluates its closure twice and expects the same loss both times."""

    losses: list

    def step(self, closure=None):
        """Evaluate twice at the same weights, then step."""
        first, second = closure(), closure()
        self.losses.append((first.item(), second.item()))
        return super().step()


def two_calls(groups, *, lr):
    """Return the optimizer."""
    optimizer = TwoCalls(groups, lr=lr)
    optimizer.losses = []
    return optimizer


@pytest.mark.parametrize("dropout", [normbench.Dropout, nn.Dropout])
def test_closure_sees_one_batch_and_moves_statistics_once(dropout):
    """Both evaluations draw the same masks; the running statistics are those of the first."""
    catalogue = load_catalogue()
    lr = Parameter(name="lr", kind="float", default=0.1, summary="rate", low=0)
    catalogue.add(
        Optimizer(
            name="two_calls", summary="t", factory=two_calls, parameters=(lr,), needs_closure=True
        ),
        "test",
        "test",
    )
    sessions = {}
    for name in ("two_calls", "sgd"):
        spec = make_spec("digits_cnn_bn", name, ("lr=0.1",), catalogue)
        sessions[name] = opened(spec, catalogue)
        # Behind all norms, so that one norm's batch is the same for both optimizers' first step.
        sessions[name].network.dense2 = nn.Sequential(dropout(0.5), sessions[name].network.dense2)
        Trainer(sessions[name], Recorder()).run()
    calls = sessions["two_calls"]
    means = {k: v for k, v in calls.network.named_buffers() if k.endswith("running_mean")}

    assert all(first == second for first, second in calls.optimizer.losses)
    assert 2 * len(calls.optimizer.losses) == calls.loop.gradient_evaluations
    for name, mean in sessions["sgd"].network.named_buffers():
        if name in means:
            torch.testing.assert_close(mean, means[name])


def test_layers_of_one_shape_start_differently():
    """Each layer has a stream of its own."""
    network = build_network(make_spec("cifar10_resnet20"), CATALOGUE).network
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]
    same_shape = [weight for weight in weights if weight.shape == weights[1].shape]

    assert len(same_shape) > 2
    assert not any(torch.equal(same_shape[0], other) for other in same_shape[1:])


@pytest.mark.parametrize("deterministic", [True, False])
def test_determinism_is_what_the_protocol_says(deterministic):
    """The switch reaches torch."""
    words = (f"protocol.deterministic={str(deterministic).lower()}",)
    opened(make_spec(words=words))

    assert deterministic == torch.are_deterministic_algorithms_enabled()


def test_result_says_what_it_cost():
    """Memory, speed and steps are measured, not filled in."""
    result = Trainer(opened(make_spec()), Recorder()).run()

    assert result["peak_memory_mb"] > 50
    assert result["images_per_second"] > 0
    assert result["steps"] == result["gradient_evaluations"] > 0


def test_best_without_validation_is_refused():
    """A score that nobody could compute is never published."""
    words = ("protocol.select=best", "protocol.validation_share=0.001")
    session = opened(make_spec(words=words))

    with pytest.raises(UsageError, match="the result has no test_accuracy"):
        Trainer(session, Recorder()).run()


def test_test_scores_do_not_depend_on_the_evaluation_batch():
    """Where layers draw noise in evaluation, the batches are of one fixed size."""
    dataset = CATALOGUE.get(Dataset, "fmnist")
    images = np.random.default_rng(0).integers(0, 256, (300, *dataset.shape), dtype=np.uint8)
    data = Data(Part(images, np.arange(300) % 10), Part(images[:200], np.arange(200) % 10))
    losses = []
    for size in ("null", "7"):
        words = (f"protocol.evaluation_batch_size={size}", "protocol.epochs=1")
        spec = make_spec("fmnist_vae", "adam", words)
        losses.append(Trainer(opened(spec, data=data), Recorder()).run()["final"]["test"]["loss"])

    assert losses[0] == losses[1]
