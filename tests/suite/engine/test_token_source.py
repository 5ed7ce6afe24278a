"""A text is read as parallel streams, with a state carried along each of them."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench import Data, Dataset, Part, UsageError
from normbench.augmentation import Augmentation
from normbench.engine.evaluation import evaluate
from normbench.engine.session import assemble
from normbench.engine.sources import TokenEvaluation, TokenSource
from normbench.engine.split import split_tail
from normbench.engine.trainer import Trainer
from normbench.layers import bind_generator
from normbench.planning import plan
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.streams import stream_seed

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
WORDS = ("problem.batch_size=4", "protocol.epochs=2", "lr=0.5")


def numbered(count):
    """Return a text whose tokens are their places, each followed by the next."""
    places = np.arange(count + 1, dtype=np.int64)
    return Part(places[:-1], places[1:])


def verse(count):
    """Return a text that repeats a verse of twelve characters, and so can be learnt."""
    codes = np.resize(np.array([1, 5, 2, 0, 7, 5, 2, 3, 0, 9, 4, 6], dtype=np.int64), count + 1)
    return Part(codes[:-1], codes[1:])


def make_session(words=WORDS, seed=0, **request):
    """Return a session of the character model on a short text: 9 steps an epoch."""
    request = Request(
        problem="tolstoi_char_rnn", optimizer="sgd", words=list(words), seeds=[seed], **request
    )
    spec = resolve(request, CATALOGUE)[0]
    return assemble(spec, CATALOGUE, Data(verse(2100), verse(330)), CPU)


def cursor(position):
    """Return a position as the engine holds it."""
    return torch.tensor(position)


def test_each_stream_reads_on_where_it_stopped():
    """Row b of all windows together is the b-th part of the text, with the next token as target."""
    source = TokenSource(numbered(100), np.arange(100), 3, 4, CPU)
    source.start_epoch(1)
    batches = [source.batch(cursor(3 * step), 3) for step in range(source.steps)]

    inputs = torch.cat([batch.inputs for batch in batches], 1)
    targets = torch.cat([batch.targets for batch in batches], 1)
    assert torch.equal(torch.arange(96).view(3, 32), inputs)
    assert torch.equal(inputs + 1, targets)


@pytest.mark.parametrize(
    ("count", "steps", "examples"), [(96, 8, 96), (100, 8, 96), (107, 8, 96), (108, 9, 108)]
)
def test_tokens_too_few_for_a_step_are_left_out(count, steps, examples):
    """With 3 streams and windows of 4, a step needs 12 tokens; examples are tokens."""
    source = TokenSource(numbered(count), np.arange(count), 3, 4, CPU)

    assert (steps, examples, 3, 3) == (
        source.steps,
        source.examples,
        source.batch_size,
        source.last_size,
    )


def test_every_epoch_reads_the_same_windows():
    """There is no order to shuffle."""
    source = TokenSource(numbered(60), np.arange(60), 2, 5, CPU)
    source.start_epoch(1)
    first = source.batch(cursor(4), 2).inputs
    source.start_epoch(2)

    assert torch.equal(first, source.batch(cursor(4), 2).inputs)
    assert [10, 11, 12, 13, 14] == first[0].tolist()


@pytest.mark.parametrize(("count", "examples", "windows"), [(620, 600, [5, 5, 2]), (7, 7, [1])])
def test_evaluation_reads_fifty_streams(count, examples, windows):
    """All tokens but the rest of a division by 50 are read once; the last window is shorter."""
    part = TokenEvaluation(numbered(count), 5, CPU)
    batches = list(part)

    streams = min(50, count)
    assert examples == part.examples
    assert [(streams, width) for width in windows] == [tuple(b.inputs.shape) for b in batches]
    read = torch.cat([batch.inputs for batch in batches], 1)
    assert torch.equal(torch.arange(examples).view(streams, -1), read)


def test_validation_is_the_end_of_the_text():
    """The split is contiguous and the same for every seed."""
    training, validation = split_tail(2100, 0.1)

    assert list(range(1890)) == training.tolist()
    assert list(range(1890, 2100)) == validation.tolist()
    sessions = [make_session(seed=seed) for seed in (0, 1)]
    assert [1800, 1800] == [session.source.examples for session in sessions]
    firsts = [next(iter(session.parts["validation"])).inputs for session in sessions]
    assert torch.equal(*firsts)
    assert torch.equal(torch.from_numpy(verse(2100).inputs[1890:1894]), firsts[0][0])


def plain_epoch(network, session, epoch):
    """Train one epoch the plain way: a state that starts at zero and is detached at each step."""
    text, rate = verse(2100), 0.5
    inputs, targets = (torch.from_numpy(side[:1800]).view(4, 450) for side in vars(text).values())
    seed = stream_seed(0, "dropout", epoch)
    bind_generator(network, torch.Generator().manual_seed(seed))
    network.train()
    state = {}
    for start in range(0, 450, 50):
        logits, state = network(inputs[:, start : start + 50], state)
        network.zero_grad()
        window = targets[:, start : start + 50]
        F.cross_entropy(logits.flatten(0, 1), window.flatten()).backward()
        state = {name: part.detach() for name, part in state.items()}
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= rate * parameter.grad


def test_training_equals_a_plain_loop_with_carried_state():
    """Two epochs give the weights of a loop that carries the state and begins each epoch anew."""
    session = make_session()
    plain = copy.deepcopy(session.network)
    for epoch in (1, 2):
        session.loop.run_epoch(epoch, [1.0] * 9, lambda step, steps: None)
        plain_epoch(plain, session, epoch)

    for ours, theirs in zip(session.network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-7)


def test_training_without_the_state_is_another():
    """What is carried matters: with every window from zeros the weights differ."""
    carried, fresh = make_session(), make_session()
    forward = fresh.network.forward
    fresh.network.forward = lambda codes, state: forward(codes, {})
    for session in (carried, fresh):
        session.loop.run_epoch(1, [1.0] * 9, lambda step, steps: None)

    pairs = zip(carried.network.parameters(), fresh.network.parameters(), strict=True)
    assert not all(torch.allclose(one, two, atol=1e-5) for one, two in pairs)


def test_evaluation_carries_the_state_and_counts_every_token():
    """Loss and accuracy are those of whole streams read in one go, and the same each time."""
    session = make_session()
    network, part = session.network, session.parts["test"]
    first, again = (
        evaluate(network, session.task, part, precision="fp32", device=CPU) for _ in range(2)
    )

    text = verse(330)
    inputs, targets = (torch.from_numpy(s[:300]).view(50, 6) for s in vars(text).values())
    logits = network(inputs)[0].flatten(0, 1)
    loss = F.cross_entropy(logits.double(), targets.flatten()).item()
    assert first == again
    assert 300 == part.examples
    assert pytest.approx(loss, rel=1e-6) == first["loss"]
    right = (logits.argmax(1) == targets.flatten()).double().mean().item()
    assert pytest.approx(right) == first["accuracy"]


class Recorder:
    """A sink that keeps the curve and every checkpoint."""

    def __init__(self, folder):
        self.points, self.folder = [], folder

    def point(self, point):
        """Keep a curve point, which must be strict JSON."""
        self.points.append(json.loads(json.dumps(point, allow_nan=False)))

    def progress(self, epoch, step, steps):
        """Ignore progress."""

    def checkpoint(self, write, epoch):
        """Keep the checkpoint of *epoch*."""
        write(self.folder / f"{epoch}.pt")


@pytest.mark.parametrize("norm", ["none", "batch_norm"])
def test_resumed_run_ends_in_the_same_bits(norm, tmp_path):
    """A run resumed at any epoch has the weights and the score of the undisturbed one."""
    words = (*WORDS, "protocol.epochs=3")
    recorder = Recorder(tmp_path)
    whole = Trainer(make_session(words, norm=norm), recorder, checkpoint_seconds=0).run()
    for epoch in (1, 2):
        trainer = Trainer(make_session(words, norm=norm), Recorder(tmp_path))
        resumed = trainer.run(tmp_path / f"{epoch}.pt", recorder.points[: epoch + 1])
        assert whole["weights_sha256"] == resumed["weights_sha256"]
        assert whole["score"] == resumed["score"]


def test_character_model_learns_a_verse(tmp_path):
    """The loss falls from that of knowing nothing, log 83, to a fraction, and most are right."""
    words = ("problem.batch_size=4", "protocol.epochs=12", "lr=2.0")
    recorder = Recorder(tmp_path)
    result = Trainer(make_session(words), recorder).run()

    losses = [point["test"]["loss"] for point in recorder.points]
    assert pytest.approx(np.log(83), abs=0.2) == losses[0]
    assert losses[-1] < 0.5 * losses[0]
    assert result["score"] > 0.5
    assert {"loss", "accuracy"} == set(recorder.points[-1]["train"])


def test_train_subset_is_the_start_of_the_text():
    """A subset of the training part is contiguous too."""
    session = make_session((*WORDS, "protocol.train_subset=200"))

    read = torch.cat([batch.inputs for batch in session.parts["train_subset"]], 1)
    assert torch.equal(torch.from_numpy(verse(2100).inputs[:200]), read.flatten())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("problem.batch_size=60000",), "streams of 50 tokens need 3000000 tokens"),
        (("problem.augmentation=flip",), "holds no images"),
    ],
)
def test_requests_that_do_not_fit_a_text_are_refused(words, message, tmp_path):
    """Too many streams, and anything done to images, end before a run starts."""
    with pytest.raises(UsageError, match=message):
        plan(
            Request(problem="tolstoi_char_rnn", optimizer="sgd", words=list(words)),
            CATALOGUE,
            tmp_path,
        )


def test_text_too_short_for_a_step_is_refused():
    """A session whose training part gives no step says how many tokens one needs."""
    with pytest.raises(UsageError, match=r"problem\.batch_size=100 streams of 50 tokens"):
        make_session(("problem.batch_size=100",))


def test_words_fit_the_content_they_were_made_for():
    """Each word of augmentation is refused by contents that it cannot be applied to."""
    every = Augmentation(pad=2, flip=True, colour_jitter=True, resized_crop=True)

    assert ("random_resized_crop",) == every.unfit("images")
    assert ("pad_crop:2", "colour_jitter") == every.unfit("files")
    assert every.words == every.unfit("tokens")
    assert "tokens" == CATALOGUE.get(Dataset, "tolstoi").content
