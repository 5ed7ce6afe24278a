"""Rules that the five sources need: what each changes, and that nothing else moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from normbench import Dataset, Part, UsageError
from normbench.augmentation import Augmentation
from normbench.build import build_network
from normbench.data import Data
from normbench.engine.session import assemble, build_optimizer
from normbench.engine.sources import Evaluation, ImageSource, Order
from normbench.engine.split import split_train_part, train_test_split_indices
from normbench.planning import plan
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.rules import Rules
from normbench.streams import md5_seed

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
DIGITS = CATALOGUE.get(Dataset, "digits")
TARGETS = np.arange(400) % 4


def spec(*words: str, problem: str = "digits_cnn_bn", optimizer: str = "sgd", **options):
    """Return the first run of a request."""
    request = Request(problem=problem, optimizer=optimizer, words=words, **options)
    return resolve(request, CATALOGUE)[0]


def digits(count: int = 64) -> Data:
    """Return random images in the shape of digits."""
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    part = Part(images, np.arange(count) % 10)
    return Data(train=part, test=part)


@pytest.mark.parametrize(
    ("seed", "expected"),
    [(0, 4186399962), (1, 1869972635), (10, 3512985632), (15, 529477619)],
)
def test_md5_seeds_are_the_source_s(seed, expected):
    """Seeds are the low 32 bits of the MD5 of their decimal digits."""
    assert expected == md5_seed(seed)


def test_md5_seeds_of_the_first_tenthousands_differ():
    """The first two seeds that collide are 86786 and 88266."""
    assert 10_000 == len({md5_seed(seed) for seed in range(10_000)})
    assert md5_seed(86786) == md5_seed(88266)


def test_seed_rule_moves_every_stream():
    """Under the MD5 rule a seed starts from other initial values."""
    plain, md5 = spec(), spec("protocol.seed_rule=md5")
    weights = [build_network(each, CATALOGUE).network.conv1.weight for each in (plain, md5)]

    assert md5_seed(0) == md5.stream_root
    assert not torch.equal(*weights)


def test_split_of_revisiting_bn_initialization_is_scikit_learn_s():
    """The fixed split equals train_test_split with the MD5 of seed 0, 10 % of every class."""
    from sklearn.model_selection import train_test_split

    rules = Rules(validation_share=0.1, validation_rule="train_test_split")
    training, validation = split_train_part(rules, md5_seed(0), TARGETS, 4)
    _, expected = train_test_split(
        np.arange(400), test_size=0.1, random_state=4186399962, stratify=TARGETS
    )

    assert sorted(expected.tolist()) == validation.tolist()
    assert [10] * 4 == np.bincount(TARGETS[validation]).tolist()
    assert set(range(400)) == {*training.tolist(), *validation.tolist()}


def test_split_that_scikit_learn_refuses_is_explained():
    """A class with one example cannot be split, and the message names the rule that can."""
    with pytest.raises(UsageError, match="validation_rule=stratified"):
        train_test_split_indices(np.array([0, 0, 0, 1]), 0.5, 0, classes=2)


def test_leaking_split_trains_on_validation_examples():
    """With the leak about 1 - share of the validation part is trained on; without it none."""
    rules = Rules(validation_share=0.2)
    training, validation = split_train_part(rules, 0, TARGETS, 4)
    leaky, same = split_train_part(replace(rules, validation_leak=True), 0, TARGETS, 4)

    assert validation.tolist() == same.tolist()
    assert not set(training) & set(validation)
    assert 0.6 < len(set(leaky) & set(same)) / len(same) < 0.95


def test_crops_are_shared_within_a_batch():
    """One crop for a batch shifts all its images alike; each image's own crop does not."""
    images = np.zeros((32, 8, 8, 1), dtype=np.uint8)
    images[:, 4, 4] = 255
    part = Part(images, np.zeros(32, dtype=np.int64))
    order = Order(np.arange(32), 0, 8, Rules())
    positions = {}
    for crop_per in ("image", "batch"):
        source = ImageSource(part, DIGITS, order, 8, Augmentation(pad=2), CPU, crop_per=crop_per)
        source.start_epoch(1)
        batches = [source.batch(torch.tensor(8 * step), 8).inputs for step in range(4)]
        brightest = [batch.flatten(1).argmax(1).tolist() for batch in batches]
        positions[crop_per] = brightest

    assert all(len(set(batch)) == 1 for batch in positions["batch"])
    assert len({batch[0] for batch in positions["batch"]}) > 1
    assert any(len(set(batch)) > 1 for batch in positions["image"])


def test_shrunk_view_puts_the_image_inside_a_border():
    """A padded and shrunk image keeps its size, and its outermost pixels are padding, 0."""
    part = Part(np.full((2, 8, 8, 1), 255, dtype=np.uint8), np.zeros(2, dtype=np.int64))
    (plain,) = Evaluation(part, DIGITS, 2, CPU)
    (shrunk,) = Evaluation(part, DIGITS, 2, CPU, shrink=4)

    assert plain.inputs.shape == shrunk.inputs.shape
    assert 0.0 == shrunk.inputs[:, :, 0].abs().max()
    torch.testing.assert_close(plain.inputs[:, :, 4, 4], shrunk.inputs[:, :, 4, 4])


def test_shrunk_view_needs_a_crop():
    """Without cropping there is no padding to evaluate with, and the message says so."""
    request = Request(
        problem="digits_cnn", optimizer="sgd", words=["protocol.evaluation_view=shrunk"]
    )
    with pytest.raises(UsageError, match=r"augmentation=pad_crop:4"):
        plan(request, CATALOGUE)


@pytest.mark.parametrize(("scaling", "low", "high"), [("none", 0.0, 1.0), ("half", -1.0, 1.0)])
def test_input_scaling_sets_the_range_of_pixels(scaling, low, high):
    """Black and white pixels arrive at the ends of the range."""
    words = (f"protocol.input_scaling={scaling}", "problem.batch_size=8")
    session = assemble(spec(*words), CATALOGUE, digits(), CPU)
    inputs = torch.cat([batch.inputs for batch in session.parts["test"]])

    assert pytest.approx([low, high]) == [inputs.min().item(), inputs.max().item()]


@pytest.mark.parametrize(("rule", "expected"), [("linear", 0.025), ("inverse", 0.4)])
def test_learning_rate_follows_the_batch_size(rule, expected):
    """At a quarter of the batch size the rate is a quarter, or by the inverse rule four times."""
    words = ("lr=0.1", "problem.batch_size=8", "protocol.lr_batch_size=32")
    session = assemble(spec(*words, f"protocol.lr_batch_rule={rule}"), CATALOGUE, digits(), CPU)

    assert [pytest.approx(expected)] * 4 == [g["lr"] for g in session.optimizer.param_groups]


def test_decayed_roles_decide_which_groups_decay():
    """Weight decay acts on the roles that are named and on no other."""
    words = ("problem.weight_decay=0.1", "protocol.decayed_roles=weight,norm_scale")
    session = assemble(spec(*words, "problem.batch_size=8"), CATALOGUE, digits(), CPU)
    decay = {group["role"]: group["weight_decay"] for group in session.optimizer.param_groups}

    assert {"weight": 0.1, "bias": 0.0, "norm_scale": 0.1, "norm_shift": 0.0} == decay


def test_input_norm_comes_first_and_leaves_other_values_alone():
    """A norm of the input has γ at scale_init·0.58 and a fixed β; all else starts unchanged."""
    plain = build_network(spec(), CATALOGUE)
    words = ("ablation.input_norm=batch_norm", "ablation.scale_init=0.1")
    built = build_network(spec(*words), CATALOGUE)
    parameters = dict(built.network.named_parameters())
    scale, shift = parameters["input_norm.weight"], parameters["input_norm.bias"]

    assert [pytest.approx(0.058)] == scale.tolist()
    assert (True, False, [0.0]) == (scale.requires_grad, shift.requires_grad, shift.tolist())
    for name, parameter in plain.network.named_parameters():
        if "norm" not in name:
            assert torch.equal(parameter, parameters[name])
    inputs = torch.randn(4, 1, 8, 8) * 7 + 3
    built.network.train()
    assert torch.allclose(built.network(inputs), built.network(5 * inputs - 2), atol=1e-4)


def test_input_norm_is_refused_where_there_are_no_images():
    """A table has no channels to normalize, and the message says which dataset it is."""
    request = spec("ablation.input_norm=batch_norm", problem="quadratic_deep")
    with pytest.raises(UsageError, match="quadratic_deep holds no images"):
        build_network(request, CATALOGUE)


def test_published_words_rank_below_the_user_s():
    """as_published changes what the source did, and the user's own word still wins."""
    words = ("protocol.as_published=true", "protocol.shuffle=true")
    published = spec(
        *words, problem="cifar10_resnet20", optimizer="momentum", protocol="group_norm_study"
    )

    assert "shrunk" == published.protocol.rules.evaluation_view
    assert published.protocol.rules.shuffle
    assert ("protocol.as_published=true",) == published.deviations
    assert {"eps": 0.001, "momentum": 0.01} == published.identity["norm"]["parameters"]


def test_published_words_give_a_row_of_their_own():
    """A row as published is no row of the corrected protocol, and says so."""
    cell = {"problem": "cifar10_resnet20", "protocol": "group_norm_study"}
    corrected, published = spec(**cell), spec("protocol.as_published=true", **cell)

    assert corrected.row != published.row
    assert () == corrected.deviations


def test_protocol_without_a_source_has_nothing_to_follow():
    """normbench's own protocol corrects nobody, and says so."""
    with pytest.raises(UsageError, match="protocol standard holds no words"):
        spec("protocol.as_published=true")


def test_protocol_words_apply_by_norm():
    """Beyond BatchNorm warms up with filter response normalization alone."""
    cell = {"problem": "cifar10_resnet56", "protocol": "beyond_batchnorm"}
    plain = spec(**cell)

    assert 0.0 == plain.protocol.rules.warmup_epochs
    assert (256, 60, ("flip",)) == (
        plain.problem.training.batch_size,
        plain.problem.training.epochs,
        plain.problem.training.augmentation,
    )
    assert 5.0 == spec(norm="filter_response_norm", **cell).protocol.rules.warmup_epochs


@pytest.mark.parametrize("mode", ["fixed", "fixed_gamma"])
def test_divisor_of_the_input_norm_makes_another_run(mode):
    """Where the sites' γ is fixed the input's still trains, so its learning rate counts."""
    words = ("ablation.input_norm=batch_norm",)
    slow = spec(*words, "ablation.scale_lr_divisor=100", ablation=mode)

    assert spec(*words, ablation=mode).fingerprint != slow.fingerprint
    assert (
        spec(ablation=mode).fingerprint
        == spec("ablation.scale_lr_divisor=100", ablation=mode).fingerprint
    )


def test_input_norm_stays_where_no_site_carries_one():
    """With a mask of zeros, or without a norm, the input's norm keeps its start and its rate."""
    words = ("ablation.input_norm=batch_norm", "ablation.scale_init=0.1")
    masked = spec(*words, sites=(0, 0, 0))
    plain = spec(*words, problem="digits_cnn")
    scale = dict(build_network(masked, CATALOGUE).network.named_parameters())["input_norm.weight"]

    assert masked.fingerprint == plain.fingerprint
    assert [pytest.approx(0.058)] == scale.tolist()


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("digits_cnn", ["protocol.crop_per=batch"]),
        ("digits_cnn_bn", ["ablation.input_scale_init=0.7"]),
        ("quadratic_deep", ["protocol.input_scaling=half"]),
        ("tolstoi_char_rnn", ["protocol.validation_leak=true"]),
        ("tolstoi_char_rnn", ["protocol.validation_rule=train_test_split"]),
        ("digits_cnn", ["protocol.lr_batch_rule=inverse"]),
        ("digits_cnn", ["protocol.validation_share=0", "protocol.validation_driven_by=fixed"]),
    ],
)
def test_fields_without_effect_make_no_other_run(problem, words):
    """What has nothing to act on neither tells a run from others nor shows up in its row."""
    changed, usual = spec(*words, problem=problem), spec(*words[:-1], problem=problem)

    assert usual.fingerprint == changed.fingerprint
    assert usual.deviations == changed.deviations


def test_published_words_of_an_optimizer_win_and_leave_the_setting_published():
    """The paper's channel dims are taken as published, and its setting is still its own."""
    cell = {"problem": "cifar10_resnet20", "optimizer": "adam_srt", "protocol": "spherical"}
    corrected, published = spec(**cell), spec("protocol.as_published=true", **cell)

    assert (None, (0,)) == tuple(
        each.optimizer.parameters["channel_dims"] for each in (corrected, published)
    )
    assert "published" == corrected.setting_origin


def test_published_norm_values_keep_the_published_setting():
    """What the source gave the norm does not make its own learning rate untuned."""
    cell = {"problem": "cifar10_resnet20", "optimizer": "momentum", "protocol": "group_norm_study"}

    assert "published" == spec("protocol.as_published=true", **cell).setting_origin


@pytest.mark.parametrize(
    ("problem", "protocol", "norm"),
    [
        ("cifar10_3c3d_bn", "bn_init", "batch_norm"),
        ("cifar10_vgg16", "group_norm_study", "group_norm"),
    ],
)
def test_published_words_that_a_network_lacks_are_left_out(problem, protocol, norm):
    """A cell that the source never had takes of its words those that it has parameters for."""
    published = spec("protocol.as_published=true", problem=problem, protocol=protocol, norm=norm)

    assert ("protocol.as_published=true",) == published.deviations


def test_published_number_of_groups_gives_way_to_another_spelling():
    """A group size of the user's is not joined by the source's number of groups."""
    published = spec(
        "protocol.as_published=true",
        "norm.group_size=4",
        problem="cifar100_plain10",
        protocol="beyond_batchnorm",
        norm="group_norm",
    )

    assert {"group_size": 4, "variance": "unbiased"} == published.identity["norm"]["parameters"]


def test_validation_part_is_in_ascending_order():
    """Both parts list their examples in the order of the file."""
    for rule in ("stratified", "train_test_split"):
        rules = Rules(validation_share=0.2, validation_rule=rule)
        for part in split_train_part(rules, 0, TARGETS, 4):
            assert sorted(part.tolist()) == part.tolist()


def test_gain_decays_where_it_is_named_alone():
    """The gain of SkipInit decays only under a protocol that says so."""
    words = ("network.skip_init=true", "problem.weight_decay=0.1", "problem.batch_size=8")
    decays = []
    for roles in ("weight", "weight,gain"):
        run = spec(*words, f"protocol.decayed_roles={roles}", problem="cifar10_resnet20")
        groups = build_optimizer(run, build_network(run, CATALOGUE), CATALOGUE)[0].param_groups
        decays.append({group["role"]: group["weight_decay"] for group in groups}["gain"])

    assert [0.0, 0.1] == decays


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (["ablation.input_norm=bogus"], {}, "unknown norm 'bogus'"),
        (["ablation.input_norm=group_norm"], {}, "does not fit an input of 1 channels"),
        (["ablation.input_norm=weight_norm"], {}, "does not fit an input of 1 channels"),
        (["ablation.input_norm=none"], {}, "leaves the input as it is"),
        (["problem.batch_size=1"], {}, "problem.batch_size to 2 or more"),
        (["norm.virtual_batch_size=31"], {"norm": "ghost_batch_norm"}, "virtual_batch_size"),
        (["ablation.scale_lr_divisor=10"], {"optimizer": "lbfgs"}, "lbfgs|LBFGS"),
    ],
)
def test_what_cannot_train_is_refused_before_it_starts(words, options, message):
    """What only a built network shows is found while planning, not by a worker."""
    request = {"problem": "digits_cnn_bn", "optimizer": "sgd", "words": words, **options}
    with pytest.raises(UsageError, match=message):
        plan(Request(**request), CATALOGUE)
