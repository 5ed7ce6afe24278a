"""One gather gives the batch that cropping and flipping image by image would give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from normbench import Dataset, Part, Rules, UsageError
from normbench.augmentation import Augmentation
from normbench.engine.augmentation import draw_geometry, draw_jitter, jitter
from normbench.engine.sources import Evaluation, ImageSource, Order, TableSource
from normbench.engine.split import split_indices
from normbench.streams import stream_seed

CPU = torch.device("cpu")
DATASET = Dataset(
    name="noise",
    summary="random images",
    shape=(6, 5, 3),
    classes=3,
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.3, 0.4),
)


def make_part(count=20, seed=0):
    """Return random images with their number as target."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, 6, 5, 3), dtype=np.uint8)
    return Part(images, np.arange(count, dtype=np.int64))


def make_source(augmentation, batch_size=4, rules=None, indices=None):
    """Return a source over a part whose training examples are *indices*."""
    part = make_part()
    order = Order(np.arange(20) if indices is None else indices, 7, batch_size, rules or Rules())
    return part, ImageSource(part, DATASET, order, batch_size, augmentation, CPU)


def normalized(images):
    """Return uint8 (B, H, W, C) images as float (B, C, H, W), the long way."""
    scaled = images.astype(np.float64) / 255
    return torch.from_numpy((scaled - DATASET.mean) / DATASET.std).permute(0, 3, 1, 2).float()


def cursor(position):
    """Return a position as the engine holds it."""
    return torch.tensor(position)


def test_batch_without_augmentation_is_the_normalized_images():
    """Every example of an epoch comes once, normalized, in channels_last."""
    part, source = make_source(Augmentation())
    source.start_epoch(1)
    batches = [source.batch(cursor(start), 4) for start in range(0, 20, 4)]

    order = torch.cat([batch.targets for batch in batches])
    images = torch.cat([batch.inputs for batch in batches])
    assert list(range(20)) == sorted(order.tolist())
    torch.testing.assert_close(normalized(part.inputs[order.numpy()]), images)
    assert batches[0].inputs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("pad", [0, 1, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_one_gather_equals_crop_and_flip_image_by_image(pad, flip):
    """Padding, cropping and mirroring each image by hand gives the same pixels."""
    indices = np.array([3, 5, 6, 11, 12, 17, 18, 19])
    augmentation = Augmentation(pad=pad, flip=flip)
    part, source = make_source(augmentation, indices=indices)
    source.start_epoch(2)
    batch = source.batch(cursor(4), 4)

    for image, number in zip(batch.inputs, batch.targets.tolist(), strict=True):
        candidates = _variants(part.inputs[number], pad, flip)
        assert any(torch.allclose(variant, image, atol=1e-5) for variant in candidates)
        assert number in indices


def _variants(image, pad, flip):
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    for mirrored in (padded, padded[:, ::-1]) if flip else (padded,):
        for down in range(2 * pad + 1):
            for right in range(2 * pad + 1):
                yield normalized(mirrored[None, down : down + 6, right : right + 5])[0]


def test_crops_and_flips_are_uniform():
    """Over many draws each offset and each side comes equally often."""
    augmentation = Augmentation(pad=2, flip=True)
    generator = torch.Generator().manual_seed(0)
    flip, down, right = draw_geometry(augmentation, 50_000, generator)

    assert flip.float().mean().item() == pytest.approx(0.5, abs=0.01)
    for offsets in (down, right):
        shares = torch.bincount(offsets, minlength=5) / len(offsets)
        torch.testing.assert_close(torch.full((5,), 0.2), shares, atol=0.01, rtol=0)


def test_one_switch_leaves_the_draws_of_the_others_alone():
    """Crops are the same with and without flips."""
    draws = [
        draw_geometry(Augmentation(pad=2, flip=flip), 100, torch.Generator().manual_seed(1))
        for flip in (False, True)
    ]

    assert torch.equal(draws[0][1], draws[1][1])
    assert torch.equal(draws[0][2], draws[1][2])


def test_epochs_differ_and_repeat_exactly():
    """An epoch's order depends on seed and epoch alone, not on what was drawn before."""
    _, one = make_source(Augmentation(pad=1, flip=True))
    _, two = make_source(Augmentation(pad=1, flip=True))
    for epoch in (1, 2):
        one.start_epoch(epoch)
    two.start_epoch(2)
    first, second = one.batch(cursor(0), 4), two.batch(cursor(0), 4)
    one.start_epoch(1)

    assert torch.equal(first.inputs, second.inputs)
    assert not torch.equal(first.targets, one.batch(cursor(0), 4).targets)


@pytest.mark.parametrize(
    ("drop_last", "steps", "examples", "last"), [(True, 6, 18, 3), (False, 7, 20, 2)]
)
def test_last_partial_batch_is_dropped_or_kept(drop_last, steps, examples, last):
    """Twenty examples in batches of three leave two."""
    _, source = make_source(Augmentation(), batch_size=3, rules=Rules(drop_last=drop_last))

    assert (steps, examples, last) == (source.steps, source.examples, source.last_size)


def test_unshuffled_order_is_the_official_one():
    """Without shuffling examples come as the dataset has them."""
    _, source = make_source(Augmentation(), rules=Rules(shuffle=False))
    source.start_epoch(3)

    assert [0, 1, 2, 3] == source.batch(cursor(0), 4).targets.tolist()


def test_table_source_gathers_rows():
    """A table's batch is its rows in the epoch's order."""
    inputs = np.arange(20, dtype=np.float32).reshape(10, 2)
    part = Part(inputs, np.arange(10, dtype=np.int64))
    source = TableSource(part, Order(np.arange(10), 0, 5, Rules()), 5, CPU)
    source.start_epoch(1)
    batch = source.batch(cursor(5), 5)

    assert torch.equal(torch.from_numpy(inputs)[batch.targets], batch.inputs)


def test_evaluation_yields_every_example_once_in_order():
    """The last batch is smaller, nothing is dropped and nothing augmented."""
    part = make_part()
    batches = list(Evaluation(part, DATASET, 8, CPU))

    assert [8, 8, 4] == [len(batch.targets) for batch in batches]
    images = torch.cat([batch.inputs for batch in batches])
    torch.testing.assert_close(normalized(part.inputs), images)


def test_jitter_with_neutral_factors_changes_nothing():
    """Factors of one leave the image as it is."""
    images = torch.rand(4, 6, 5, 3)

    torch.testing.assert_close(images, jitter(images, torch.ones(3, 4)))


def test_jitter_factors_lie_in_their_ranges():
    """Brightness within 63/255 of one, contrast in [0.2, 1.8], saturation in [0.5, 1.5]."""
    low = torch.tensor([1 - 63 / 255, 0.2, 0.5])[:, None]
    high = torch.tensor([1 + 63 / 255, 1.8, 1.5])[:, None]
    factors = draw_jitter(10_000, torch.Generator().manual_seed(0))

    assert bool(((factors >= low) & (factors <= high)).all())
    torch.testing.assert_close(torch.ones(3), factors.mean(1), atol=0.02, rtol=0)


def test_saturation_zero_gives_grey_and_contrast_zero_the_mean():
    """The two blends end where torchvision's do."""
    images = torch.rand(2, 6, 5, 3) * 0.5
    grey = jitter(images, torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]))
    flat = jitter(images, torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]))

    torch.testing.assert_close(grey[..., :1].expand_as(grey), grey)
    torch.testing.assert_close(flat[:, :1, :1].expand_as(flat), flat)


def test_unknown_augmentation_lists_the_words():
    """A misspelt word is refused with all that exist."""
    with pytest.raises(UsageError, match=r"'pad_crop'.*pad_crop:PIXELS, flip, colour_jitter"):
        Augmentation.parse(("pad_crop",))


def test_split_is_stratified_and_driven_by_the_seed():
    """Each class gives its share, the parts are disjoint, and another seed splits otherwise."""
    targets = np.repeat(np.arange(4), 25)
    training, validation = split_indices(targets, 0.2, 0, classes=4)
    other = split_indices(targets, 0.2, 1, classes=4)[1]

    assert [5, 5, 5, 5] == np.bincount(targets[validation]).tolist()
    assert list(range(100)) == sorted([*training, *validation])
    assert validation.tolist() != other.tolist()
    assert validation.tolist() == split_indices(targets, 0.2, 0, classes=4)[1].tolist()


@pytest.mark.parametrize("epoch", [1, 2])
def test_crops_and_flips_are_those_that_were_drawn(epoch):
    """Each image is mirrored, moved down and moved right as the epoch's stream says."""
    augmentation = Augmentation(pad=2, flip=True)
    part, source = make_source(augmentation)
    source.start_epoch(epoch)
    seed = stream_seed(7, "augmentation", epoch)
    draws = draw_geometry(augmentation, 20, torch.Generator().manual_seed(seed))
    batch = source.batch(cursor(8), 4)

    assert len({draw.tobytes() for draw in torch.stack(draws).numpy()}) == 3
    for place, number in enumerate(batch.targets.tolist(), start=8):
        flip, down, right = (int(draw[place]) for draw in draws)
        padded = np.pad(part.inputs[number], ((2, 2), (2, 2), (0, 0)))
        shown = padded[:, ::-1] if flip else padded
        expected = normalized(shown[None, down : down + 6, right : right + 5])[0]
        torch.testing.assert_close(expected, batch.inputs[place - 8])


def test_colours_change_where_they_should():
    """With jitter on, pixels differ from the plain batch of the same epoch; crops stay."""
    plain = make_source(Augmentation(pad=1))[1]
    coloured = make_source(Augmentation(pad=1, colour_jitter=True))[1]
    for source in (plain, coloured):
        source.start_epoch(1)
    one, two = plain.batch(cursor(0), 4), coloured.batch(cursor(0), 4)

    assert torch.equal(one.targets, two.targets)
    assert not torch.allclose(one.inputs, two.inputs, atol=1e-3)
