"""What each source lays down, typed anew: every rule of one resolved cell for each dataset."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

from normbench import Dataset, UsageError
from normbench.engine.split import split_tail, split_train_part
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.specs import RunSpec

CATALOGUE = load_catalogue()
PUBLISHED = ("protocol.as_published=true",)
# Examples of each digit from 0 to 9; the other datasets' classes are alike in size, or many.
CLASS_SIZES = {
    "mnist": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "svhn": (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
}
# Compared by their effect: on epochs, on the validation part, on the factors of the schedule.
BY_EFFECT = {
    *("epochs", "epoch_share", "validation_share", "weight_decay", "as_published"),
    *("milestones", "step_factor", "final_factor", "warmup_factor", "evaluation_batch_size"),
}
COMMON = """
    first_seed=0 seed_rule=plain shuffle=True drop_last=False select=final decayed_roles=weight
    validation_rule=stratified validation_leak=False validation_driven_by=seed
    augment=True crop_per=image input_scaling=statistics evaluation_view=plain
    lr_batch_size=None lr_batch_rule=linear schedule=step schedule_per=epoch warmup_epochs=0
    evaluate_every=1 train_subset=0 precision=tf32 deterministic=True
"""
PROTOCOLS = {
    "beyond_batchnorm": """
        seeds=5 held_out=0 schedule_per=step input_scaling=half lr_batch_size=256
        decayed_roles=weight,bias,norm_scale,norm_shift,norm_other,gain
        batch_size=256 epochs=60 l2=1e-4 augmentation=flip
    """,
    "bn_init": """
        seeds=15 first_seed=1 seed_rule=md5 held_out=5000 select=best schedule=cosine
        validation_rule=train_test_split validation_driven_by=fixed network.init=kaiming_conv
        batch_size=128 epochs=180 l2=1e-4 augmentation=flip
    """,
    "dissect_bn": """
        seeds=10 held_out=10000 drop_last=True schedule=constant schedule_per=step
        l2=0 augmentation=pad_crop:2,flip,colour_jitter
    """,
    "spherical": """
        seeds=5 held_out=2500 validation_driven_by=fixed select=best
        decayed_roles=weight,bias,norm_scale,norm_shift,norm_other,gain
        batch_size=128 epochs=405 augmentation=pad_crop:4,flip
    """,
    "group_norm_study": """
        seeds=5 first_seed=1 held_out=0 lr_batch_size=32 decayed_roles=weight,bias
        batch_size=32 epochs=100 l2=2e-4 augmentation=pad_crop:4,flip
    """,
    "deepobs": """
        seeds=10 first_seed=42 held_out=10000 drop_last=True schedule=constant schedule_per=step
        l2=0 augmentation=
    """,
}
KERAS = """
    shuffle=False evaluation_view=shrunk crop_per=batch network.activation_order=before_norm
    network.init=keras network.shortcut=projection_without_norm
"""
INVERSE, LEAKY = "lr_batch_rule=inverse", "validation_leak=True network.bias=unless_centred_dense"
# Problem, norm, optimizer, protocol; what is particular to the cell; what as_published changes.
CASES = [
    (
        "cifar10_plain10 batch_norm momentum beyond_batchnorm",
        "",
        f"{INVERSE} norm.running_mean_init=1 norm.running_variance=biased",
    ),
    (
        "cifar100_plain40 filter_response_norm momentum beyond_batchnorm",
        "warmup_epochs=5",
        f"{INVERSE} norm.learn_eps=True norm.eps=1e-5",
    ),
    (
        "cifar100_resnet56_wide group_norm momentum beyond_batchnorm",
        "",
        f"{INVERSE} norm.variance=unbiased norm.num_groups=32",
    ),
    (
        "cifar100_resnet56_wide evonorm_s0 momentum beyond_batchnorm",
        "",
        f"{INVERSE} norm.variance=unbiased norm.num_groups=32 norm.placement=after_addition",
    ),
    (
        "cifar100_resnet56_wide evonorm_b0 momentum beyond_batchnorm",
        "",
        f"{INVERSE} norm.variance=unbiased norm.placement=after_addition",
    ),
    ("cifar100_plain20 layer_norm momentum beyond_batchnorm", "", INVERSE),
    ("cifar10_resnet18 batch_norm momentum bn_init", "", "network.init=kaiming"),
    ("cifar100_resnet50 batch_norm momentum bn_init", "", "network.init=kaiming"),
    ("cifar10_3c3d batch_norm sgd dissect_bn", "batch_size=128 epochs=100", LEAKY),
    ("cifar100_3c3d batch_norm sgd dissect_bn", "batch_size=256 epochs=350", LEAKY),
    (
        "cifar100_allcnnc batch_norm adam dissect_bn",
        "batch_size=256 epochs=500 network.bias_init=0",
        LEAKY,
    ),
    ("cifar10_resnet20 batch_norm momentum spherical", "l2=2.5e-4", ""),
    ("cifar10_vgg16 batch_norm adam_g spherical", "l2=5e-4", "optimizer.channel_dims=0"),
    ("cifar100_vgg16 batch_norm adam_s spherical", "l2=6.25e-5", "optimizer.channel_dims=0"),
    (
        "svhn_resnet18 batch_norm adam_srt spherical",
        "l2=7.8125e-6 held_out=3662 input_scaling=none augmentation=",
        "optimizer.channel_dims=0",
    ),
    # Its epochs are the problem's: the source has none for it.
    (
        "imagenet_resnet18 batch_norm sgd_mrt spherical",
        "l2=6.25e-5 held_out=64058 batch_size=256 epochs=90 augmentation=random_resized_crop,flip",
        "optimizer.channel_dims=0",
    ),
    (
        "cifar10_resnet20 batch_norm momentum group_norm_study",
        "",
        f"{KERAS} norm.eps=1e-3 norm.momentum=0.01",
    ),
    (
        "cifar10_resnet20 group_norm momentum group_norm_study",
        "",
        f"{KERAS} network.zero_last_scale=True decayed_roles=weight,bias,norm_scale,norm_shift",
    ),
    ("quadratic_deep none sgd deepobs", "batch_size=128 epochs=100 held_out=0", None),
    # Rounded digit by digit, the share of 10 000 comes out one larger.
    ("mnist_vae none sgd deepobs", "batch_size=64 epochs=50 held_out=10001", None),
    ("fmnist_2c2d none sgd deepobs", "batch_size=128 epochs=100", None),
    (
        "cifar10_3c3d none sgd deepobs",
        "batch_size=128 epochs=100 l2=2e-3 augmentation=pad_crop:2,flip,colour_jitter",
        None,
    ),
    (
        "cifar100_allcnnc none sgd deepobs",
        "batch_size=256 epochs=350 l2=5e-4 augmentation=pad_crop:2,flip,colour_jitter",
        None,
    ),
    (
        "svhn_wrn164 batch_norm sgd deepobs",
        "batch_size=128 epochs=160 l2=5e-4 held_out=26032 augmentation=pad_crop:2,colour_jitter",
        None,
    ),
    ("tolstoi_char_rnn none sgd deepobs", "batch_size=50 epochs=200 held_out=653237", None),
]


def words(*texts: str) -> dict[str, Any]:
    """Return the values of texts of ``NAME=VALUE`` words; the last of a name counts."""
    pairs = [word.split("=") for text in texts for word in text.split()]
    return {name: value_of(name, text) for name, text in pairs}


def value_of(name: str, text: str) -> Any:
    """Return a word's value."""
    if name in ("augmentation", "decayed_roles"):
        return tuple(text.split(",")) if text else ()
    if name == "optimizer.channel_dims":
        return tuple(int(each) for each in text.split(","))
    try:
        return ast.literal_eval(text)
    except ValueError:
        return text


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
        "batch_size": training.batch_size,
        "epochs": resolved.epochs,
        "l2": resolved.optimizer.number("weight_decay"),
        "augmentation": training.augmentation,
        "held_out": held_out(resolved),
    }


def changed(values: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Return the values that differ from their base."""
    return {name: value for name, value in values.items() if value != base[name]}


@pytest.mark.parametrize(("cell", "particular", "_"), CASES)
def test_protocol_lays_down_what_its_source_does(cell, particular, _):
    """Every rule, and every parameter of network and norm that the protocol sets, is as written."""
    resolved, plain = spec(cell), spec(" ".join([*cell.split()[:3], "standard"]))
    set_here = {
        name: value
        for name, value in changed(parts(resolved), parts(plain)).items()
        if not name.startswith("optimizer.")
    }
    expected = words(COMMON, PROTOCOLS[cell.split()[-1]], particular)

    assert expected == {**effective(resolved), **set_here}


@pytest.mark.parametrize(("cell", "_", "expected"), CASES)
def test_as_published_changes_what_was_corrected(cell, _, expected):
    """as_published turns back these rules and parameters and no other; deepobs has none."""
    if expected is None:
        with pytest.raises(UsageError, match="holds no words"):
            spec(cell, *PUBLISHED)
        return
    corrected, published = spec(cell), spec(cell, *PUBLISHED)

    assert words(expected) == {
        **changed(effective(published), effective(corrected)),
        **changed(parts(published), parts(corrected)),
    }
