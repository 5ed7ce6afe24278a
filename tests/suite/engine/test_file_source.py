"""Image files are decoded to torchvision's views, with numbers that depend on the run alone."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from torchvision.transforms import functional as transform

from normbench import Data, DataError, Dataset, Part, PluginError, Rules, UsageError
from normbench.augmentation import Augmentation
from normbench.engine.session import assemble
from normbench.engine.sources import Order
from normbench.engine.sources.decoding import centre_view, crop_box, random_view, read_image
from normbench.engine.sources.files import FileEvaluation, FileSource
from normbench.engine.sources.processes import loader_processes
from normbench.engine.trainer import Trainer
from normbench.planning import plan
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.streams import stream_seed

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
BOTH = Augmentation(flip=True, resized_crop=True)
SIZES = [(40, 60), (64, 48), (33, 33), (120, 50), (50, 120), (256, 224), (32, 31), (70, 70)]
DATASET = Dataset(
    name="photographs",
    summary="noise",
    content="files",
    shape=(32, 32, 3),
    classes=4,
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.3, 0.4),
)


def write_images(folder, sizes=SIZES):
    """Write one image of smooth noise for each (width, height) and return the part."""
    generator = np.random.default_rng(0)
    paths = []
    for number, size in enumerate(sizes):
        noise = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path)
        paths.append(str(path))
    return Part(np.array(paths), np.arange(len(sizes), dtype=np.int64) % 4)


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """Return eight images of different sizes."""
    return write_images(tmp_path_factory.mktemp("images"))


def normalized(pixels):
    """Return uint8 (B, H, W, C) images as float (B, C, H, W), the long way."""
    scaled = np.stack(pixels).astype(np.float64) / 255
    return torch.from_numpy((scaled - DATASET.mean) / DATASET.std).permute(0, 3, 1, 2).float()


def make_source(part, processes=0, words=BOTH, batch_size=3, seed=7):
    """Return a source over all of *part*; its last batch is partial."""
    order = Order(np.arange(len(part)), seed, batch_size, Rules(drop_last=False))
    return FileSource(part, DATASET, order, batch_size, words, CPU, processes=processes)


def epoch_of(source, epoch):
    """Return inputs and targets of all batches of *epoch*."""
    source.start_epoch(epoch)
    sizes = [source.batch_size] * (source.steps - 1) + [source.last_size]
    batches = [source.batch(torch.tensor(0), size) for size in sizes]
    assert sizes == [len(batch.targets) for batch in batches]
    return torch.cat([b.inputs for b in batches]), torch.cat([b.targets for b in batches])


@pytest.mark.parametrize("side", [32, 28, 224])
def test_evaluated_view_is_torchvisions(part, side):
    """Resized to side·256/224 and cut to the centre, to the last bit."""
    chain = Compose([Resize(round(side * 256 / 224)), CenterCrop(side)])
    for path in part.inputs:
        image = read_image(str(path))
        assert np.array_equal(np.asarray(chain(image)), centre_view(image, side))


def test_training_view_is_torchvisions_of_the_same_box(part):
    """Cropped, resized and mirrored as torchvision does with the numbers that were drawn."""
    seen = Counter()
    for seed, path in enumerate(part.inputs):
        image, numbers = read_image(str(path)), random.Random(seed)
        mirrored = numbers.random() < 0.5
        left, upper, right, lower = crop_box(image.width, image.height, numbers)
        box = (upper, left, lower - upper, right - left)
        expected = transform.resized_crop(image, *box, (32, 32), InterpolationMode.BILINEAR)
        expected = transform.hflip(expected) if mirrored else expected
        assert np.array_equal(np.asarray(expected), random_view(image, 32, BOTH, seed))
        seen[mirrored] += 1
    assert 2 == len(seen)


def test_one_switch_leaves_the_other_alone(part):
    """Without flips the crop is the same, without the crop the flip is; without both the centre."""
    image = read_image(str(part.inputs[0]))
    mirrored = next(seed for seed in range(9) if random.Random(seed).random() < 0.5)
    cropped, flipped, plain = (
        random_view(image, 32, words, mirrored)
        for words in (Augmentation(resized_crop=True), Augmentation(flip=True), Augmentation())
    )

    assert np.array_equal(cropped[:, ::-1], random_view(image, 32, BOTH, mirrored))
    assert np.array_equal(centre_view(image, 32)[:, ::-1], flipped)
    assert np.array_equal(centre_view(image, 32), plain)


@pytest.mark.parametrize("size", [(500, 400), (30, 400), (2000, 20), (1, 1)])
def test_boxes_lie_in_the_image(size):
    """Boxes hold 8 to 100 % of the area at ratios from 3:4 to 4:3, or are the central ones."""
    numbers = random.Random(0)
    boxes = [crop_box(*size, numbers) for _ in range(300)]
    width, height = size
    assert all(0 <= a < c <= width and 0 <= b < d <= height for a, b, c, d in boxes)
    ratios = [(c - a) / (d - b) for a, b, c, d in boxes]
    assert 0.7 < min(ratios) <= max(ratios) < 1.4
    if size == (500, 400):
        areas = [(c - a) * (d - b) / (width * height) for a, b, c, d in boxes]
        assert 0.07 < min(areas) < 0.15
        assert max(areas) > 0.8


def furthest_from_uniform(values, low, high):
    """Return the largest distance between distribution functions (Kolmogorov-Smirnov)."""
    expected = (np.sort(values) - low) / (high - low)
    steps = np.arange(len(values) + 1) / len(values)
    return max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max())


def test_boxes_are_distributed_as_torchvisions():
    """Area, logarithm of the ratio and place are uniform where every box fits: up to 3/4."""
    numbers, side = random.Random(0), 100_000
    boxes = np.array([crop_box(side, side, numbers) for _ in range(8000)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area = width * height / side**2
    fits = area < 3 / 4
    place = boxes[:, 0] / (side - width), boxes[:, 1] / (side - height)

    bound = 1.63 / np.sqrt(fits.sum())  # passed by 1 % of uniform samples
    ratio = np.log(width / height)[fits]
    assert furthest_from_uniform(ratio, np.log(3 / 4), np.log(4 / 3)) < bound
    assert furthest_from_uniform(area[fits], 0.08, 3 / 4) < bound
    assert all(furthest_from_uniform(share[fits], 0, 1) < bound for share in place)


def test_epoch_is_a_function_of_the_run(part):
    """Views and order are those that (seed, epoch, example) gives, normalized in channels_last."""
    source = make_source(part)
    inputs, targets = epoch_of(source, 2)
    order = Order(np.arange(8), 7, 3, Rules(drop_last=False)).draw(2).tolist()

    views = [
        random_view(
            read_image(str(part.inputs[example])),
            32,
            BOTH,
            stream_seed(7, "augmentation", 2, example),
        )
        for example in order
    ]
    torch.testing.assert_close(normalized(views), inputs)
    assert [number % 4 for number in order] == targets.tolist()
    assert (3, 2, 8) == (source.steps, source.last_size, source.examples)
    source.start_epoch(1)
    batch = source.batch(torch.tensor(0), 3)
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)


def test_processes_change_no_bit(part):
    """Several epochs, one of them broken off, equal those decoded in this process."""
    alone, beside = make_source(part), make_source(part, processes=2)
    beside.start_epoch(1)
    beside.batch(torch.tensor(0), 3)
    for epoch in (1, 2):
        for ours, theirs in zip(epoch_of(alone, epoch), epoch_of(beside, epoch), strict=True):
            assert torch.equal(ours, theirs)


def test_decoding_draws_nothing_from_other_streams(part):
    """Torch's and Python's global generators stay where they were."""
    before = torch.get_rng_state(), random.getstate()
    epoch_of(make_source(part), 1)
    list(FileEvaluation(part, DATASET, 3, CPU))

    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


@pytest.mark.parametrize("processes", [0, 2])
def test_evaluation_yields_every_image_once_in_order(part, processes):
    """The centre views, each time the same."""
    evaluation = FileEvaluation(part, DATASET, 3, CPU, processes=processes)
    views = normalized([centre_view(read_image(str(path)), 32) for path in part.inputs])
    for _ in range(2):
        batches = list(evaluation)
        assert [3, 3, 2] == [len(batch.targets) for batch in batches]
        torch.testing.assert_close(views, torch.cat([batch.inputs for batch in batches]))
    assert part.targets.tolist() == torch.cat([batch.targets for batch in batches]).tolist()


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA"])
def test_other_colour_modes_become_rgb(mode, tmp_path):
    """Grey, printed, indexed and transparent images are read too."""
    suffix = "jpg" if mode == "CMYK" else "png"
    path = tmp_path / f"image.{suffix}"
    Image.new("RGB", (40, 40), (200, 100, 50)).convert(mode).save(path)

    assert (32, 32, 3) == centre_view(read_image(str(path)), 32).shape


@pytest.mark.parametrize(
    ("damage", "processes"), [("truncated", 0), ("text", 0), ("text", 1), ("missing", 0)]
)
def test_broken_image_is_named(damage, processes, tmp_path):
    """A file that cannot be decoded ends the run with its path and what to do."""
    part = write_images(tmp_path)
    broken = tmp_path / "5.png"
    if damage == "truncated":
        broken.write_bytes(broken.read_bytes()[:2000])
    elif damage == "text":
        broken.write_text("<html>not found</html>")
    else:
        broken.unlink()

    # One line: the traceback of a loader process is not part of the message.
    with pytest.raises(DataError, match=r"^image .*5\.png cannot be read: .*unpack it again.*\Z"):
        epoch_of(make_source(part, processes), 1)
    with pytest.raises(DataError, match=r"5\.png"):
        list(FileEvaluation(part, DATASET, 3, CPU, processes=processes))


def test_loader_processes(monkeypatch):
    """The variable decides; without it none beside a processor, at most 16 beside a GPU."""
    monkeypatch.setenv("NORMBENCH_LOADER_PROCESSES", "3")
    assert 3 == loader_processes(CPU)
    monkeypatch.delenv("NORMBENCH_LOADER_PROCESSES")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(100)))
    assert 0 == loader_processes(CPU)
    assert 16 == loader_processes(torch.device("cuda"))
    monkeypatch.setenv("NORMBENCH_LOADER_PROCESSES", "many")
    with pytest.raises(UsageError, match="NORMBENCH_LOADER_PROCESSES=many: expected a whole num"):
        loader_processes(CPU)


def test_oblong_images_are_refused(part):
    """A dataset of files gives the side of a square."""
    dataset = Dataset(name="wide", summary="", content="files", shape=(32, 64, 3), classes=4)

    with pytest.raises(PluginError, match="expected square RGB images"):
        FileEvaluation(part, dataset, 3, CPU)


def test_words_for_images_in_memory_are_refused(tmp_path):
    """A request to pad image files ends before a run starts."""
    request = Request(
        problem="imagenet_resnet18", optimizer="sgd", words=["problem.augmentation=pad_crop:4"]
    )
    with pytest.raises(UsageError, match="expected words among random_resized_crop, flip"):
        plan(request, CATALOGUE, tmp_path)


class Recorder:
    """A sink that keeps the curve and every checkpoint."""

    def __init__(self, folder):
        self.points, self.folder = [], folder

    def point(self, point):
        """Keep a curve point."""
        self.points.append(point)

    def progress(self, epoch, step, steps):
        """Ignore progress."""

    def checkpoint(self, write, epoch):
        """Keep the checkpoint of *epoch*."""
        write(self.folder / f"{epoch}.pt")


def test_resumed_run_ends_in_the_same_bits_with_other_processes(part, tmp_path, monkeypatch):
    """ResNet-18 on photographs: resumed with two loader processes, the weights are the same."""
    words = ["problem.batch_size=2", "protocol.epochs=2", "network.width=16"]
    request = Request(
        problem="imagenet_resnet18",
        optimizer="momentum",
        norm="group_norm",
        words=[*words, "protocol.validation_share=0.5"],
        seeds=[0],
    )
    spec, data = resolve(request, CATALOGUE)[0], Data(part, part.take(np.arange(2)))
    recorder = Recorder(tmp_path)
    whole = Trainer(assemble(spec, CATALOGUE, data, CPU), recorder, checkpoint_seconds=0).run()
    monkeypatch.setenv("NORMBENCH_LOADER_PROCESSES", "2")
    session = assemble(spec, CATALOGUE, data, CPU)
    resumed = Trainer(session, Recorder(tmp_path)).run(tmp_path / "1.pt", recorder.points[:2])

    assert whole["weights_sha256"] == resumed["weights_sha256"]
    assert whole["score"] == resumed["score"]
    assert 2 == session.source.steps
