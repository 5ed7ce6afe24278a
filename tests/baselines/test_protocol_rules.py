"""What each source lays down, typed anew: every rule of one resolved cell for each dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from normbench import Dataset, UsageError
from normbench.engine.split import split_tail, split_train_part
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.schedules import epoch_factors
from normbench.specs import RunSpec

CATALOGUE = load_catalogue()
PUBLISHED = ("protocol.as_published=true",)
# Examples of each class where classes differ in size: digits from 0 to 9.
CLASS_SIZES = {
    "mnist": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "svhn": (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
}
# Compared by their effect: on epochs, on the validation part, on the factors of the schedule.
BY_EFFECT = {
    *("epochs", "epoch_share", "validation_share", "weight_decay", "as_published"),
    *("milestones", "step_factor", "final_factor", "warmup_factor", "evaluation_batch_size"),
}
COMMON: dict[str, Any] = {
    **{"first_seed": 0, "seed_rule": "plain", "augment": True, "crop_per": "image"},
    **{"validation_rule": "stratified", "validation_leak": False, "validation_driven_by": "seed"},
    **{"shuffle": True, "drop_last": False, "select": "final", "decayed_roles": ("weight",)},
    **{"input_scaling": "statistics", "evaluation_view": "plain", "warmup_epochs": 0.0},
    **{"lr_batch_size": None, "lr_batch_rule": "linear", "schedule": "step"},
    **{"schedule_per": "epoch", "evaluate_every": 1, "train_subset": 0},
    **{"precision": "tf32", "deterministic": True},
}
EVERY_ROLE = ("weight", "bias", "norm_scale", "norm_shift", "norm_other", "gain")
CROPPED, JITTERED = ("pad_crop:4", "flip"), ("pad_crop:2", "flip", "colour_jitter")


def trained(batch_size: int, epochs: int, l2: float, *augmentation: str) -> dict[str, Any]:
    """Return how a cell trains."""
    names = ("batch_size", "epochs", "l2", "augmentation")
    return dict(zip(names, (batch_size, epochs, l2, augmentation), strict=True))


BEYOND = {
    **{"seeds": 5, "held_out": 0, "schedule_per": "step", "decayed_roles": EVERY_ROLE},
    **{"input_scaling": "half", "lr_batch_size": 256, **trained(256, 60, 1e-4, "flip")},
}
BN_INIT = {
    **{"seeds": 15, "first_seed": 1, "seed_rule": "md5", "held_out": 5000, "select": "best"},
    **{"validation_rule": "train_test_split", "validation_driven_by": "fixed"},
    **{"schedule": "cosine", "network.init": "kaiming_conv", **trained(128, 180, 1e-4, "flip")},
}
DISSECT = {
    **{"seeds": 10, "held_out": 10_000, "schedule": "constant", "schedule_per": "step"},
    "drop_last": True,
}
SPHERICAL = {
    **{"seeds": 5, "held_out": 2500, "validation_driven_by": "fixed", "select": "best"},
    "decayed_roles": EVERY_ROLE,
}
GROUP_NORM = {
    **{"seeds": 5, "first_seed": 1, "held_out": 0, "lr_batch_size": 32},
    **{"decayed_roles": ("weight", "bias"), **trained(32, 100, 2e-4, *CROPPED)},
}
DEEPOBS = {**DISSECT, "first_seed": 42}
# Problem, norm, optimizer, protocol; what differs from COMMON; what as_published changes.
LEAKY = {"validation_leak": True, "network.bias": "unless_centred_dense"}
INVERSE = {"lr_batch_rule": "inverse"}
UNBIASED = {**INVERSE, "norm.variance": "unbiased"}
KERAS = {
    **{"shuffle": False, "evaluation_view": "shrunk", "crop_per": "batch"},
    **{"network.activation_order": "before_norm", "network.init": "keras"},
    "network.shortcut": "projection_without_norm",
}
CASES = {
    "cifar10_plain10 batch_norm momentum beyond_batchnorm": (
        BEYOND,
        {**INVERSE, "norm.running_mean_init": 1.0, "norm.running_variance": "biased"},
    ),
    "cifar100_plain40 filter_response_norm momentum beyond_batchnorm": (
        {**BEYOND, "warmup_epochs": 5.0},
        {**INVERSE, "norm.learn_eps": True, "norm.eps": 1e-5},
    ),
    "cifar100_resnet56_wide group_norm momentum beyond_batchnorm": (
        BEYOND,
        {**UNBIASED, "norm.num_groups": 32},
    ),
    "cifar100_resnet56_wide evonorm_s0 momentum beyond_batchnorm": (
        BEYOND,
        {**UNBIASED, "norm.num_groups": 32, "norm.placement": "after_addition"},
    ),
    "cifar100_resnet56_wide evonorm_b0 momentum beyond_batchnorm": (
        BEYOND,
        {**UNBIASED, "norm.placement": "after_addition"},
    ),
    "cifar100_plain20 layer_norm momentum beyond_batchnorm": (BEYOND, INVERSE),
    "cifar10_resnet18 batch_norm momentum bn_init": (BN_INIT, {"network.init": "kaiming"}),
    "cifar100_resnet50 batch_norm momentum bn_init": (BN_INIT, {"network.init": "kaiming"}),
    "cifar10_3c3d batch_norm sgd dissect_bn": (
        {**DISSECT, **trained(128, 100, 0.0, *JITTERED)},
        LEAKY,
    ),
    "cifar100_3c3d batch_norm sgd dissect_bn": (
        {**DISSECT, **trained(256, 350, 0.0, *JITTERED)},
        LEAKY,
    ),
    "cifar100_allcnnc batch_norm adam dissect_bn": (
        {**DISSECT, "network.bias_init": 0.0, **trained(256, 500, 0.0, *JITTERED)},
        LEAKY,
    ),
    "cifar10_resnet20 batch_norm momentum spherical": (
        {**SPHERICAL, **trained(128, 405, 2.5e-4, *CROPPED)},
        {},
    ),
    "cifar100_vgg16 batch_norm adam_s spherical": (
        {**SPHERICAL, **trained(128, 405, 6.25e-5, *CROPPED)},
        {"optimizer.channel_dims": (0,)},
    ),
    "svhn_resnet18 batch_norm adam_srt spherical": (
        {**SPHERICAL, "held_out": 3662, "input_scaling": "none", **trained(128, 405, 7.8125e-6)},
        {"optimizer.channel_dims": (0,)},
    ),
    # Its epochs are the problem's: the source does not say them.
    "imagenet_resnet18 batch_norm sgd_mrt spherical": (
        {
            **{**SPHERICAL, "held_out": 64_058},
            **trained(256, 90, 6.25e-5, "random_resized_crop", "flip"),
        },
        {"optimizer.channel_dims": (0,)},
    ),
    "cifar10_resnet20 batch_norm momentum group_norm_study": (
        GROUP_NORM,
        {**KERAS, "norm.eps": 1e-3, "norm.momentum": 0.01},
    ),
    "cifar10_resnet20 group_norm momentum group_norm_study": (
        GROUP_NORM,
        {
            **{**KERAS, "network.zero_last_scale": True},
            "decayed_roles": ("weight", "bias", "norm_scale", "norm_shift"),
        },
    ),
    "quadratic_deep none sgd deepobs": ({**DEEPOBS, "held_out": 0, **trained(128, 100, 0.0)}, None),
    "mnist_vae none sgd deepobs": ({**DEEPOBS, **trained(64, 50, 0.0)}, None),
    "fmnist_2c2d none sgd deepobs": ({**DEEPOBS, **trained(128, 100, 0.0)}, None),
    "cifar10_3c3d none sgd deepobs": ({**DEEPOBS, **trained(128, 100, 2e-3, *JITTERED)}, None),
    "cifar100_allcnnc none sgd deepobs": ({**DEEPOBS, **trained(256, 350, 5e-4, *JITTERED)}, None),
    "svhn_wrn164 batch_norm sgd deepobs": (
        {
            **{**DEEPOBS, "held_out": 26_032},
            **trained(128, 160, 5e-4, "pad_crop:2", "colour_jitter"),
        },
        None,
    ),
    "tolstoi_char_rnn none sgd deepobs": (
        {**DEEPOBS, "held_out": 653_237, **trained(50, 200, 0.0)},
        None,
    ),
}
DROPS = {0: 1, 134: 1, 135: 0.1, 224: 0.1, 225: 0.01, 314: 0.01, 315: 0.001, 404: 0.001}
THIRTIES = {0: 1, 29: 1, 30: 0.1, 59: 0.1, 60: 0.01, 89: 0.01, 90: 0.001, 99: 0.001}
# The annealed rate moves with the epochs, not within one; it would end at 1e-8 of a start at 0.1.
COSINE = {0: 1, 0.5: 1, 60: 0.75, 90: 0.5, 90.5: 0.5, 120: 0.25, 180: 1e-7}
WARM = {0: 0, 1: 0.2, 2.5: 0.5, 5: 1}
# Factors after so many epochs, corrected and as published.
FACTORS = {
    "cifar10_plain10 batch_norm momentum beyond_batchnorm": (
        {0: 1, 39.99: 1, 40: 0.1, 59.99: 0.1},
        {0: 1, 44.99: 1, 45: 0.1, 59.99: 0.1},
    ),
    "cifar10_plain10 filter_response_norm momentum beyond_batchnorm": (
        {**WARM, 39.99: 1, 40: 0.1},
        {**WARM, 44.99: 1, 45: 0.1},
    ),
    "cifar10_resnet18 batch_norm momentum bn_init": (COSINE, COSINE),
    "cifar10_3c3d batch_norm sgd dissect_bn": ({0: 1, 50: 1, 99.99: 1}, {0: 1, 99.99: 1}),
    "cifar10_resnet20 batch_norm momentum spherical": (DROPS, DROPS),
    "cifar10_resnet20 group_norm momentum group_norm_study": (THIRTIES, THIRTIES),
    "cifar10_3c3d none sgd deepobs": ({0: 1, 50: 1, 99.99: 1}, None),
}


def spec(cell: str, *words: str) -> RunSpec:
    """Return the first run of a cell."""
    problem, norm, optimizer, protocol = cell.split()
    names = {"problem": problem, "norm": norm, "optimizer": optimizer, "protocol": protocol}
    return resolve(Request(**names, words=words), CATALOGUE)[0]


def held_out(resolved: RunSpec) -> int:
    """Return how many training examples are held out."""
    dataset = CATALOGUE.get(Dataset, resolved.problem.dataset.name)
    rules = resolved.protocol.rules
    if sizes := CLASS_SIZES.get(dataset.name):
        targets = np.repeat(np.arange(10), sizes)
        return len(split_train_part(rules, 0, targets, 10)[1])
    return len(split_tail(dataset.train_size, rules.validation_share)[1])


def parts(resolved: RunSpec) -> dict[str, Any]:
    """Return the parameters of network, norm and optimizer."""
    owners = {
        "network": resolved.problem.network,
        "norm": resolved.norm,
        "optimizer": resolved.optimizer,
    }
    return {
        f"{kind}.{name}": value
        for kind, owner in owners.items()
        for name, value in owner.parameters.items()
    }


def effective(resolved: RunSpec) -> dict[str, Any]:
    """Return all that a protocol lays down beside the factors of its schedule."""
    rules, training = vars(resolved.protocol.rules), resolved.problem.training
    return {
        **{name: value for name, value in rules.items() if name not in BY_EFFECT},
        **trained(
            training.batch_size,
            resolved.epochs,
            resolved.optimizer.number("weight_decay"),
            *training.augmentation,
        ),
        "held_out": held_out(resolved),
    }


def changed(values: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Return the values that differ from their base."""
    return {name: value for name, value in values.items() if value != base[name]}


@pytest.mark.parametrize(("cell", "expected"), [(c, case[0]) for c, case in CASES.items()], ids=str)
def test_protocol_lays_down_what_its_source_does(cell, expected):
    """Every rule, and every parameter of network and norm that the protocol sets, is as written."""
    resolved, plain = spec(cell), spec(" ".join([*cell.split()[:3], "standard"]))
    set_here = {
        name: value
        for name, value in changed(parts(resolved), parts(plain)).items()
        if not name.startswith("optimizer.")
    }

    assert {**COMMON, **expected} == {**effective(resolved), **set_here}


@pytest.mark.parametrize(("cell", "expected"), [(c, case[1]) for c, case in CASES.items()], ids=str)
def test_as_published_changes_what_was_corrected(cell, expected):
    """as_published turns back these rules and parameters and no other; deepobs has none."""
    if expected is None:
        with pytest.raises(UsageError, match="holds no words"):
            spec(cell, *PUBLISHED)
        return
    corrected, published = spec(cell), spec(cell, *PUBLISHED)

    assert expected == {
        **changed(effective(published), effective(corrected)),
        **changed(parts(published), parts(corrected)),
    }


def factors(resolved: RunSpec, times: dict[float, float]) -> dict[float, float]:
    """Return the factor on the learning rate after so many epochs of 100 steps."""
    rules = resolved.protocol.rules
    steps = {time: divmod(round(100 * time), 100) for time in times}
    return {
        time: epoch_factors(rules, 1 + epoch, resolved.epochs, 100)[step]
        for time, (epoch, step) in steps.items()
    }


@pytest.mark.parametrize("cell", FACTORS)
def test_learning_rate_falls_when_the_source_s_does(cell):
    """The schedule's factors are the source's at the chosen epochs, corrected and as published."""
    for words, expected in zip(((), PUBLISHED), FACTORS[cell], strict=True):
        if expected is not None:
            assert pytest.approx(expected, rel=1e-6) == factors(spec(cell, *words), expected)


@pytest.mark.parametrize(
    ("cell", "batch_size", "corrected", "published"),
    [
        ("cifar100_plain10 batch_norm momentum beyond_batchnorm", 256, 0.1, 0.1),
        ("cifar100_plain10 batch_norm momentum beyond_batchnorm", 16, 0.00625, 1.6),
        ("cifar10_resnet20 group_norm momentum group_norm_study", 32, 0.1, 0.1),
        ("cifar10_resnet20 group_norm momentum group_norm_study", 2, 0.00625, 0.00625),
        ("cifar10_resnet18 batch_norm momentum bn_init", 64, 0.1, 0.1),
    ],
)
def test_learning_rate_follows_the_batch_size_as_in_the_source(
    cell, batch_size, corrected, published
):
    """Both studies of batch sizes scale the rate of 0.1; one of them the wrong way round."""
    size = f"problem.batch_size={batch_size}"
    rates = [spec(cell, size, *words).learning_rate for words in ((), PUBLISHED)]

    assert [corrected, published] == pytest.approx(rates)
