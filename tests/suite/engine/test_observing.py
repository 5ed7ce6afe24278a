"""Observers see the network at their moments, and the run does not notice them."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from normbench import Data, Dataset, Measure, Observer, Part, PluginError
from normbench.cadence import Cadence, asked_observers
from normbench.engine.observing import Observing, watch
from normbench.engine.session import assemble, open_session
from normbench.engine.trainer import Trainer
from normbench.errors import UsageError
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
VALUE = Measure(name="value", dims=("item",), summary="what is looked at")


def offer(name, probe, measures=(VALUE,)):
    """Add an observer to the catalogue under *name*."""
    factory = {"factory": lambda: probe} if not isinstance(probe, type) else {"factory": probe}
    observer = Observer(name=name, summary="for tests", measures=measures, **factory)
    CATALOGUE.add(observer, "tests", "file")


class Rude:
    """Breaks everything that it can reach."""

    def observe(self, view):
        """Overwrite copies, train them, and draw from every generator there is."""
        torch.manual_seed(1)
        random.seed(1)
        view.scores().loss.backward()
        for parameter in view.network.parameters():
            parameter.data.fill_(1e9)
        for buffer in view.network.buffers():
            buffer.zero_()
        for info in view.parameters:
            for value in view.state_of(info.name).values():
                if isinstance(value, torch.Tensor):
                    value.fill_(7)
            view.group_of(info.name)["lr"] = 5.0
        view.batch.inputs.zero_()
        view.network.eval()
        torch.rand(100)
        return {"value": torch.zeros(2)}


class Seen:
    """Keeps its views, and returns the sum of the batch and a number drawn."""

    def __init__(self):
        self.views = []

    def observe(self, view):
        """Return what must be the same, and what must not; then spoil the batch."""
        self.views.append(view)
        value = torch.stack((view.batch.inputs.sum(), torch.rand(())))
        view.batch.inputs.zero_()
        return {"value": value}


class Recorder:
    """A sink that keeps everything, and a checkpoint of every epoch."""

    def __init__(self, folder=None):
        self.points, self.folder, self.seen = [], folder, []

    def point(self, point):
        """Keep a curve point."""
        self.points.append(json.loads(json.dumps(point, allow_nan=False)))

    def progress(self, epoch, step, steps):
        """Take no note."""

    def moments(self, observer, epoch, moments):
        """Keep what an observer saw in an epoch."""
        self.seen.append((observer, epoch, moments))

    def checkpoint(self, write, epoch):
        """Keep the checkpoint of *epoch*."""
        if self.folder is not None:
            write(self.folder / f"{epoch}.pt")


def images(dataset, count=48):
    """Return random images in place of a dataset's files."""
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 256, (count, *dataset.shape), dtype=np.uint8)
    targets = np.arange(count, dtype=np.int64) % max(dataset.classes, 1)
    return Data(Part(inputs, targets), Part(inputs[:32], targets[:32]))


def session(problem, optimizer, *words, norm=None):
    """Return a session; on random images where the dataset needs files."""
    request = Request(problem=problem, optimizer=optimizer, norm=norm, words=words, seeds=[0])
    spec = resolve(request, CATALOGUE)[0]
    dataset = CATALOGUE.get(Dataset, spec.problem.dataset.name)
    if dataset.files:
        return assemble(spec, CATALOGUE, images(dataset), CPU)
    return open_session(spec, CATALOGUE, None, CPU)


def train(opened, observers=(), sink=None, kept=None, **resume):
    """Train *opened* under the eyes of *observers*; return the result and what was seen."""
    sink = sink or Recorder()
    watches = [watch(opened, CATALOGUE, spec) for spec in asked_observers(observers, CATALOGUE)]
    for each in watches:
        for observer, epoch, moments in kept or ():
            if observer == each.spec.name and epoch <= resume["epoch"]:
                each.kept.extend(moments)
    resume.pop("epoch", None)
    observing = Observing(opened, watches, sink)
    result = Trainer(opened, sink, checkpoint_seconds=0, observing=observing).run(**resume)
    return result, {each.spec.name: each.kept for each in watches}


offer("rude", Rude())
EVERYONE = (
    "rude:every_steps=1",
    "activations:every_steps=2:batch_size=4",
    "norm_parameters:every=0.1",
    "spheres:every_steps=1",
)
CASES = [
    ("digits_cnn_bn", "momentum", ("protocol.epochs=2",)),
    ("digits_cnn_bn", "sam", ()),
    ("digits_cnn_bn", "schedule_free_sgd", ()),
    ("digits_cnn", "adam", ("problem.augmentation=pad_crop:1,flip",)),
    ("fmnist_vae", "adam", ("problem.batch_size=24",)),
    ("cifar100_allcnnc_bn", "adamw", ("problem.batch_size=20",)),
]


@pytest.mark.parametrize(("problem", "optimizer", "words"), CASES)
def test_observed_run_ends_in_the_same_bits(problem, optimizer, words):
    """Weights, buffers, scores and curves are those of the run that nobody looks at."""
    words = ("protocol.epochs=1", *words)
    timed = ("time", "train_seconds", "evaluation_seconds")
    alone, watched = Recorder(), Recorder()
    plain, _ = train(session(problem, optimizer, *words), sink=alone)
    seen, _ = train(session(problem, optimizer, *words), EVERYONE, watched)

    for key in ("weights_sha256", "score", "final", "best", "gradient_evaluations"):
        assert plain[key] == seen[key]
    for before, after in zip(alone.points, watched.points, strict=True):
        assert {**before, **dict.fromkeys(timed)} == {**after, **dict.fromkeys(timed)}


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_series_resumed_from_any_epoch_are_the_same_bytes(optimizer, tmp_path):
    """What observers remember between moments goes through the checkpoint."""
    observers = ("activations:every=0.3", "norm_parameters:every=0.3", "spheres:every=0.7")
    words = ("digits_cnn_bn", optimizer, "protocol.epochs=3")
    recorder = Recorder(tmp_path)
    result, whole = train(session(*words), observers, recorder)

    for checkpoint in sorted(tmp_path.glob("*.pt")):
        epoch = int(checkpoint.stem)
        arguments = {"epoch": epoch, "resume": checkpoint, "points": recorder.points[: epoch + 1]}
        again, resumed = train(session(*words), observers, kept=recorder.seen, **arguments)
        assert result["weights_sha256"] == again["weights_sha256"]
        for name, moments in whole.items():
            assert moments.to_bytes() == resumed[name].to_bytes()


CADENCES = [
    ({}, [0, 10, 20, 25]),
    ({"every": 0.5}, [0, 5, 10, 15, 20, 25]),
    ({"every": 0.25}, [0, 2, 5, 8, 10, 12, 15, 18, 20, 22, 25]),
    ({"every": 2.0}, [0, 20, 25]),
    ({"every": 0.01}, list(range(26))),
    ({"every_steps": 7}, [0, 7, 14, 21, 25]),
    ({"every_steps": 100}, [0, 25]),
]


@pytest.mark.parametrize(("given", "expected"), CADENCES)
def test_moments_lie_where_they_were_asked_for(given, expected):
    """The first and the last step are always among them, whatever the cadence."""
    cadence = Cadence(**{"every": 1.0, "every_steps": None, **given}, epoch_steps=10, last_step=25)

    assert expected == [step for step in range(26) if cadence.is_due(step)]


@pytest.mark.parametrize(
    ("epoch_steps", "expected"),
    [
        (40, [0, 120, 240, 250]),
        (99, [0, 198, 250]),
        (100, [0, 100, 200, 250]),
        (240, [0, 240, 250]),
    ],
)
def test_default_cadence_is_an_epoch_of_100_steps_or_more(epoch_steps, expected):
    """Where epochs are short a moment comes every few of them, and so stays cheap."""
    cadence = Cadence(every=None, every_steps=None, epoch_steps=epoch_steps, last_step=250)

    assert expected == [step for step in range(251) if cadence.is_due(step)]


def test_view_tells_where_the_run_is():
    """Epoch, step, learning rate, mode and batch are the moment's; random numbers are its own."""
    probe = Seen()
    offer("seen", probe)
    words = ("protocol.epochs=2", "protocol.schedule=linear", "lr=0.5", "momentum=0.5")
    opened = session("digits_cnn_bn", "momentum", *words)
    _, kept = train(opened, ("seen:every=0.5:batch_size=10",))

    steps = opened.source.steps
    assert [step / steps for step in kept["seen"].steps] == kept["seen"].epochs
    assert [0.0, 0.5, 1.0, 1.5, 2.0] == kept["seen"].epochs
    sums, drawn = np.stack(kept["seen"].arrays["value"]).T
    assert (1, 5) == (len(set(sums)), len(set(drawn)))
    for view in probe.views:
        name = view.parameters[0].name
        assert view.network.training
        assert 10 == len(view.batch.inputs)
        expected = 0.5 * (1 - max(view.step - 1, 0) / (2 * steps))
        assert expected == pytest.approx(view.group_of(name)["lr"], rel=1e-12)
    assert {} == probe.views[0].state_of(name) or view.step > 0


def test_runs_of_one_seed_are_shown_the_same_examples():
    """A swap of the norm leaves the batch alone; another seed has another."""
    first = session("digits_cnn", "sgd").probe_batch(16)
    normed = session("digits_cnn", "sgd", norm="group_norm").probe_batch(16)
    spec = resolve(Request(problem="digits_cnn", optimizer="sgd", seeds=[1]), CATALOGUE)[0]
    other = open_session(spec, CATALOGUE, None, CPU).probe_batch(16)

    assert torch.equal(first.inputs, normed.inputs)
    assert not torch.equal(first.inputs, other.inputs)


def test_batch_is_no_larger_than_the_training_part():
    """A part with fewer examples is shown whole."""
    opened = session("cifar100_allcnnc_bn", "sgd", "problem.batch_size=8")

    assert opened.source.examples // 8 * 8 <= len(opened.probe_batch(5000).inputs) <= 48


def test_global_generators_are_put_back():
    """Layers that draw from torch's own generator draw in training what they would have drawn."""
    opened = session("digits_cnn", "sgd")
    watches = [watch(opened, CATALOGUE, spec) for spec in asked_observers(["rude"], CATALOGUE)]
    before = torch.get_rng_state()
    Observing(opened, watches).begin()

    assert [0] == watches[0].kept.steps
    assert torch.equal(before, torch.get_rng_state())


def test_moments_behind_the_first_bad_step_are_dropped():
    """The last one kept is that of the network which went into the bad step."""
    opened = session("digits_cnn", "sgd", "protocol.epochs=2")
    specs = asked_observers(["norm_parameters:every_steps=1"], CATALOGUE)
    observing = Observing(opened, [watch(opened, CATALOGUE, spec) for spec in specs])
    observing.begin()
    observe = observing.start_epoch(1)
    for step in range(6):
        observe(step)
    observing.end_epoch(bad_step=4)

    assert [0, 1, 2, 3] == observing.watches[0].kept.steps


def test_diverged_run_keeps_what_was_seen_before():
    """Moments end before the step that diverged, and observers see no broken network."""
    result, kept = train(
        session("digits_cnn_bn", "sgd", "lr=1e30", "protocol.epochs=2"),
        ("activations:every_steps=1", "spheres:every_steps=1"),
    )

    assert "diverged" == result["outcome"]
    for moments in kept.values():
        assert moments.steps == list(range(len(moments.steps)))
        assert 1 <= len(moments.steps) <= result["diverged_at_step"]


class Broken:
    """Does what it is told to."""

    def __init__(self, returned):
        self._returned = returned

    def observe(self, view):
        """Return the next thing, or raise it."""
        returned = self._returned.pop(0) if len(self._returned) > 1 else self._returned[0]
        if isinstance(returned, Exception):
            raise returned
        return returned


MISTAKES = [
    ([KeyError("oops")], "failed at step 0: KeyError: 'oops'"),
    ([{}], "returned nothing, but describes value"),
    ([{"value": np.zeros(2), "more": np.zeros(2)}], "more must be in both or neither"),
    ([{"value": np.zeros((2, 2))}], r"returned value as float64 of shape \(2, 2\)"),
    ([{"value": np.zeros(2)}, {"value": np.zeros(3)}], r"of shape \(3,\)"),
    ([{"value": np.array([object()])}], "returned value as object"),
]


@pytest.mark.parametrize(("returned", "message"), MISTAKES)
def test_broken_observer_is_named(returned, message):
    """The error says which observer broke, what it gave, and what it describes."""
    name = f"broken_{random.getrandbits(64):x}"
    offer(name, Broken(list(returned)))

    with pytest.raises(PluginError, match=message) as caught:
        train(session("digits_cnn", "sgd", "protocol.epochs=1"), (f"{name}:every_steps=1",))
    assert name in str(caught.value)


WORDS = [
    ("activation", "Did you mean 'activations'"),
    ("activations:evry=1", "Did you mean 'every'"),
    ("activations:every=0", "at least 1e-06"),
    ("activations:every=x", "expected a number"),
    ("activations:every=1:every=2", "each parameter once"),
    ("activations:", "is not understood"),
    (":every=1", "is not understood"),
    ("activations:every=1:x", "is not understood"),
    ("activations:batch_size=1", "at least 2"),
]


@pytest.mark.parametrize(("word", "message"), WORDS)
def test_misspelt_request_is_refused(word, message):
    """An unknown observer or parameter, or a bad value, is answered with what would fit."""
    with pytest.raises(UsageError, match=message):
        asked_observers([word], CATALOGUE)


def test_observer_is_asked_for_once():
    """Two cadences of one observer in one request contradict each other."""
    with pytest.raises(UsageError, match="asked for twice"):
        asked_observers(["spheres", "spheres:every=2"], CATALOGUE)
