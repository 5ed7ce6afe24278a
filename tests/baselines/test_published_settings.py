"""Known settings, typed anew from their sources and compared digit by digit."""

from __future__ import annotations

import math

import pytest

from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve

CATALOGUE = load_catalogue()
SETTINGS = {(s.protocol, s.problem, s.norm, s.optimizer): s for s in CATALOGUE.settings()}

# Weight decay, or β2/weight decay; unset: torch's default.
SPHERICAL_SETTINGS = """
            cifar10_resnet18 cifar10_resnet20 cifar10_vgg16  cifar100_resnet18 cifar100_vgg16
momentum    2.5e-4           2.5e-4           2.5e-4         5e-4              5e-4
sgd_mrt     2.5e-4           3.125e-5         6.25e-5        5e-4              1.25e-4
adam        .999/7.8125e-6   .99/5e-4         .999/3.125e-5  .999/1.25e-4      .99/6.25e-5
adamw       .99/6.25e-5      .99/unset        .999/2.5e-4    .99/1.25e-4       .99/1.5625e-5
adam_g      .99/5e-4         .99/5e-4         .999/5e-4      .99/5e-4          .99/5e-4
adam_s      .99/1.5625e-5    .99/5e-4         .999/3.125e-5  .99/1.25e-4       .99/6.25e-5
adam_srt    .99/7.8125e-6    .99/7.8125e-6    .999/1.5625e-5 .999/0            .99/7.8125e-6

            svhn_resnet18    svhn_vgg16       imagenet_resnet18
momentum    5e-4             5e-4             6.25e-5
sgd_mrt     5e-4             3.125e-5         6.25e-5
adam        .999/0           .99/0            .99/7.8125e-6
adamw       .999/7.8125e-6   .99/3.125e-5     -
adam_g      .99/5e-4         .99/5e-4         -
adam_s      .99/3.125e-5     .99/7.8125e-6    .99/1.5625e-5
adam_srt    .999/7.8125e-6   .999/2.5e-4      .999/7.8125e-6
"""
# Three digits of each learning rate.
DEEPOBS_RATES = """
                 sgd      momentum adam
quadratic_deep   1.58e-2  2.51e-3  3.98e-2
mnist_vae        3.98e-3  2.51e-5  1.58e-4
fmnist_2c2d      1.58e-1  2.51e-3  2.51e-4
cifar10_3c3d     6.31e-2  3.98e-4  3.98e-4
fmnist_vae       3.98e-3  1.00e-5  1.58e-4
cifar100_allcnnc 1.58e-1  3.98e-3  1.00e-3
svhn_wrn164      2.51e-2  6.31e-4  1.58e-4
tolstoi_char_rnn 1.58     3.98e-2  2.51e-3
"""
# Values of the setting; batch size and epochs it was committed for.
DISSECT_BN = {
    ("cifar10_3c3d", "sgd"): ({"lr": 0.022610510812765}, 128, 100),
    ("cifar100_3c3d", "sgd"): ({"lr": 0.016579130972807002}, 256, 350),
    ("cifar100_allcnnc", "sgd"): ({"lr": 0.016579130972807003}, 256, 500),
    ("cifar100_allcnnc", "adam"): (
        {
            "lr": 0.0005712829313120001,
            "beta1": 0.520979105520824,
            "beta2": 0.9426922726980611,
            "eps": 1e-8,
        },
        256,
        500,
    ),
}
BEYOND_NORMS = (
    *("none", "batch_norm", "variance_norm", "layer_norm", "instance_norm", "group_norm"),
    *("filter_response_norm", "evonorm_b0", "evonorm_s0"),
    *("weight_norm", "scaled_weight_standardization"),
)
# Where momentum of 0.9 starts at a learning rate of 0.1.
TENTHS = {
    "beyond_batchnorm": [
        (f"cifar{classes}_{network}", norm)
        for classes in (10, 100)
        for network in ("plain10", "plain20", "plain40", "resnet56_wide")
        for norm in BEYOND_NORMS
    ],
    "bn_init": [(f"cifar10_resnet{depth}", "batch_norm") for depth in (18, 34, 50, 101, 152)],
    "group_norm_study": [("cifar10_resnet20", norm) for norm in ("batch_norm", "group_norm")],
}


def cells(table: str) -> dict[tuple[str, str], str]:
    """Return what a table's parts, each with a header, hold by (row, column), less its gaps."""
    found = {}
    for part in table.strip("\n").split("\n\n"):
        header, *rows = (line.split() for line in part.splitlines())
        for name, *values in rows:
            found |= {(name, column): v for column, v in zip(header, values, strict=True)}
    return {place: value for place, value in found.items() if value != "-"}


def on_grid(lr: float) -> float:
    """Return the learning rate of DeepOBS's grid that rounds to *lr*."""
    return 10 ** (round(5 * math.log10(lr)) / 5)


def expected_spherical(optimizer: str, text: str) -> dict[str, float]:
    """Return the values of a cell of the table of hyper-parameters."""
    *beta2, decay = text.split("/")
    lr = {"momentum": 0.1, "sgd_mrt": 0.1, "adam_g": 0.01}.get(optimizer, 0.001)
    values = {"lr": lr, "beta2": float(beta2[0])} if beta2 else {"lr": lr, "momentum": 0.9}
    return values if decay == "unset" else {**values, "weight_decay": float(decay)}


def expected_settings() -> dict[tuple[str, str, str, str], dict[str, float]]:
    """Return the values of all settings that the sources give."""
    expected = {
        (protocol, problem, norm, "momentum"): {"lr": 0.1, "momentum": 0.9}
        for protocol, places in TENTHS.items()
        for problem, norm in places
    }
    for (problem, optimizer), (values, _, _) in DISSECT_BN.items():
        expected["dissect_bn", problem, "batch_norm", optimizer] = values
    for (optimizer, problem), text in cells(SPHERICAL_SETTINGS).items():
        values = expected_spherical(optimizer, text)
        expected["spherical", problem, "batch_norm", optimizer] = values
    for (problem, optimizer), text in cells(DEEPOBS_RATES).items():
        momentum = {"momentum": 0.99} if optimizer == "momentum" else {}
        values = {"lr": on_grid(float(text)), **momentum}
        norm = "batch_norm" if problem == "svhn_wrn164" else "none"
        expected["deepobs", problem, norm, optimizer] = values
    return expected


EXPECTED_SETTINGS = expected_settings()


def test_no_setting_is_missing_or_added():
    """The settings on offer are those of the sources, none for an ablation."""
    assert EXPECTED_SETTINGS.keys() == SETTINGS.keys()
    assert {()} == {tuple(setting.ablation) for setting in SETTINGS.values()}


@pytest.mark.parametrize("place", EXPECTED_SETTINGS, ids="-".join)
def test_setting_has_the_values_of_its_source(place):
    """Every hyper-parameter equals the published one; DeepOBS's rates lie on its grid."""
    assert pytest.approx(EXPECTED_SETTINGS[place], rel=1e-10, abs=0) == SETTINGS[place].values


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (("spherical", "cifar10_resnet20", "batch_norm", "adamw"), (0.9, 0.99, 1e-8, 0.01)),
        (("spherical", "svhn_vgg16", "batch_norm", "adam_srt"), (0.9, 0.999, 1e-8, 2.5e-4)),
        (("deepobs", "fmnist_2c2d", "none", "adam"), (0.9, 0.999, 1e-8, 0.0)),
        (("deepobs", "cifar10_3c3d", "none", "adam"), (0.9, 0.999, 1e-8, 2e-3)),
    ],
)
def test_what_a_setting_leaves_out_is_the_source_s_default(place, expected):
    """β1 is 0.9, and AdamW's unset weight decay torch's 0.01."""
    protocol, problem, norm, optimizer = place
    request = Request(problem=problem, norm=norm, optimizer=optimizer, protocol=protocol)
    values = resolve(request, CATALOGUE)[0].optimizer.parameters

    assert expected == tuple(values[name] for name in ("beta1", "beta2", "eps", "weight_decay"))


@pytest.mark.parametrize(("place", "committed"), DISSECT_BN.items(), ids=str)
def test_setting_of_dissect_bn_says_what_it_was_committed_for(place, committed):
    """The remark names batch size and epochs."""
    _, batch_size, epochs = committed
    problem, optimizer = place
    setting = SETTINGS["dissect_bn", problem, "batch_norm", optimizer]

    assert f"for batch size {batch_size} and {epochs} epochs" in setting.source


def test_budgets_are_those_of_the_sources():
    """DeepOBS chose among 36 learning rates with one seed; nobody else says how many seeds."""
    for (protocol, *_), setting in SETTINGS.items():
        if protocol == "deepobs":
            assert "36 learning rates, log-spaced, 1 seed" in setting.source
        else:
            assert "an unknown number of seeds" in setting.source
