"""The residual, wide, plain and VGG networks: their published counts, shapes and sites."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torchvision
from torch import Tensor, nn

import normbench_problems
from normbench import Batch, UsageError
from normbench_problems.datasets.table import DATASETS
from normbench_problems.networks.vgg import Resize
from normbench_problems.table import PROBLEMS

DATA = {dataset.name: dataset for dataset in DATASETS}
C100 = {"classes": 100}
WIDE = {"classes": 100, "width": 32, "shortcut": "conv3x3", "bias": "weight_norms_only"}
PRE = {**WIDE, "activation_order": "pre", "final_norm": False}
STUDY = {"activation_order": "before_norm", "shortcut": "projection_without_norm"}
LARGE = {"classes": 1000, "stem": "large"}
LEARNT = {"learn_eps": True}
BEHIND = {"placement": "after_addition"}

# Network, its parameters, then the count by norm.
COUNTS = [
    ("plain10", C100, {"none": 9_453_348, "batch_norm": 9_459_236, "evonorm_s0": 9_462_180}),
    ("plain10", C100, {"filter_response_norm": 9_462_190, "weight_norm": 9_459_236}),
    ("plain20", C100, {"none": 13_360_932, "group_norm": 13_370_660, "evonorm_b0": 13_375_524}),
    ("plain20", C100, {"filter_response_norm": 13_375_544, "variance_norm": 13_370_660}),
    ("plain40", C100, {"none": 42_409_764, "layer_norm": 42_433_316, "evonorm_s0": 42_445_092}),
    ("plain40", C100, {"filter_response_norm": 42_445_132, "instance_norm": 42_433_316}),
    ("plain40", C100, {"scaled_weight_standardization": 42_433_316}),
    ("resnet56", WIDE, {"batch_norm": 3_505_924, "weight_norm": 3_505_924}),
    ("resnet56", WIDE, {"filter_response_norm": 3_510_045, "evonorm_b0": 3_509_604}),
    ("resnet56", {**WIDE, "skip_init": True}, {"group_norm": 3_505_951}),
    ("resnet56", PRE, {"batch_norm": 3_505_540, "weight_norm": 3_505_924}),
    ("resnet56", PRE, {"filter_response_norm": 3_509_565, "evonorm_s0": 3_509_316}),
    ("resnet20", STUDY, {"group_norm": 272_282, "batch_norm": 272_282}),
    ("resnet34", {}, {"batch_norm": 21_282_122}),
    ("resnet50", {}, {"batch_norm": 23_520_842}),
    ("resnet101", {}, {"batch_norm": 42_512_970}),
    ("resnet152", {}, {"batch_norm": 58_156_618}),
    ("resnet18", LARGE, {"batch_norm": 11_689_512}),
    ("resnet50", LARGE, {"batch_norm": 25_557_032}),
    ("vgg16", {}, {"batch_norm": 14_724_042}),
    ("vgg16", C100, {"batch_norm": 14_770_212}),
    ("vgg16_224", {}, {"none": 134_301_514}),
    ("vgg16_224", C100, {"none": 134_670_244}),
    ("vgg19_224", {}, {"none": 139_611_210}),
    ("vgg19_224", C100, {"none": 139_979_940}),
    ("wrn_16_4", {}, {"batch_norm": 2_748_890}),
    ("wrn_16_4", C100, {"batch_norm": 2_772_020}),
    ("wrn_40_4", C100, {"batch_norm": 8_972_340}),
]
# The published counts are of the published placements.
NORM_PARAMETERS = {
    "filter_response_norm": LEARNT,
    "evonorm_b0": BEHIND,
    "evonorm_s0": BEHIND,
}


@pytest.mark.parametrize(("name", "parameters", "counts"), COUNTS)
def test_published_parameter_counts(name, parameters, counts, blueprint):
    """Each network has the published number of parameters with each norm."""
    found = {
        norm: blueprint(
            name, norm, norm_parameters=NORM_PARAMETERS.get(norm), **parameters
        ).parameter_count
        for norm in counts
    }
    assert counts == found


SITES = {"resnet34": 36, "resnet50": 53, "resnet101": 104, "resnet152": 155, "wrn_40_4": 37}
SITES |= {"vgg16": 13, "vgg16_224": 15, "vgg19_224": 18, "plain10": 10, "plain40": 40}


@pytest.mark.parametrize("name", sorted(SITES))
def test_number_of_sites(name, blueprint):
    """Each network has as many norm sites as its table says."""
    network = next(n for n in normbench_problems.networks.table.NETWORKS if n.name == name)

    assert SITES[name] == len(blueprint(name).sites)
    assert f"{SITES[name]} norm sites" in network.summary


ORDERS = {
    "basic": ("resnet20", {}),
    "bottleneck": ("resnet50", {"width": 8}),
    "swapped": ("resnet20", STUDY),
    "pre": ("resnet20", {"activation_order": "pre"}),
    "pre_bottleneck": ("resnet50", {"width": 8, "activation_order": "pre"}),
    "shared": ("resnet20", {"activation_order": "pre", "shortcut": "preactivated"}),
    "wrn": ("wrn_16_4", {}),
    "plain": ("plain10", {}),
    "vgg": ("vgg16", {}),
}


@pytest.mark.parametrize("case", sorted(ORDERS))
def test_norms_act_in_the_order_of_their_sites(case, build):
    """The forward pass meets the norms in the order of their numbers, each at its width."""
    name, parameters = ORDERS[case]
    built = build(name, "batch_norm", **parameters)
    met: list[tuple[int, int]] = []
    modules = dict(built.network.named_modules())
    for site in built.sites:
        modules[site.norm].register_forward_hook(
            lambda _m, inputs, _o, index=site.index: met.append((index, inputs[0].shape[1]))
        )

    built.network(torch.zeros(2, 3, 32, 32))

    assert [(site.index, site.features) for site in built.sites] == met


def test_pre_activation_sites(build):
    """Two sites in each block, the shortcut's after them, and one behind the last block."""
    built = build("resnet20", "batch_norm", activation_order="pre")
    norms = [site.norm for site in built.sites]

    start = norms.index("blocks.stage2_block1.norm1")

    expected = ["norm1", "norm2", "shortcut.norm"]
    assert [f"blocks.stage2_block1.{name}" for name in expected] == norms[start : start + 3]
    assert [16, 32, 16] == [site.features for site in built.sites[start : start + 3]]
    assert ["stem_norm", "final_norm"] == [norms[0], norms[-1]]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_residual_networks_compute_what_torchvisions_do(name, build):
    """With torchvision's weights the large stem's logits are torchvision's."""
    built = build(name, "batch_norm", stem="large", width=64)
    reference = getattr(torchvision.models, name)(num_classes=10)
    pairs = zip(built.network.parameters(), reference.parameters(), strict=True)
    with torch.no_grad():
        for own, other in pairs:
            own.copy_(other)
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)

    expected = reference.double()(images)

    assert torch.allclose(expected, built.network.double()(images), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("depth", [16, 19])
def test_vgg_has_torchvisions_layers(depth, blueprint):
    """VGG at 224 pixels has torchvision's layers in torchvision's order."""
    with torch.device("meta"):
        reference = getattr(torchvision.models, f"vgg{depth}")(num_classes=10)

    network = blueprint(f"vgg{depth}_224").network

    expected = [parameter.shape for parameter in reference.parameters()]
    assert expected == [parameter.shape for parameter in network.parameters()]


def test_resize_keeps_pixel_centres():
    """A row of two pixels becomes four with weights of a quarter and three quarters."""
    row = torch.tensor([0.0, 4.0]).expand(1, 1, 2, 2)

    resized = Resize(4)(row)

    assert [0.0, 1.0, 3.0, 4.0] == resized[0, 0, 0].tolist()


SIDES = {
    "plain10": [32, 16, 16, 8, 8, 4, 4, 2, 2, 2],
    "vgg16": [32] * 2 + [16] * 2 + [8] * 3 + [4] * 3 + [2] * 3,
    "vgg16_224": [224] * 2 + [112] * 2 + [56] * 3 + [28] * 3 + [14] * 3,
    "resnet50": [32] * 11
    + [32, 16, 16, 16]
    + [16] * 9
    + [16, 8, 8, 8]
    + [8] * 15
    + [8, 4, 4, 4]
    + [4] * 6,
    "wrn_16_4": [32] * 6 + [16] * 5 + [8] * 5,
}


@pytest.mark.parametrize("name", sorted(SIDES))
def test_map_sides(name, blueprint):
    """Convolutions give maps of the published sides; a bottleneck strides in its 3×3."""
    network = blueprint(name).network
    sides: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, _i, output: sides.append(output.shape[-1]))

    network(torch.zeros(1, 3, 32, 32, device="meta"))

    assert SIDES[name] == sides


def _images(problem) -> Tensor:
    height, width, channels = DATA[problem.dataset].shape
    return torch.zeros(1, channels, height, width, device="meta")


IMAGE_PROBLEMS = [
    problem
    for problem in PROBLEMS
    if problem.name.startswith(("cifar", "svhn", "imagenet")) and not problem.base
]


@pytest.mark.parametrize("problem", IMAGE_PROBLEMS, ids=lambda problem: problem.name)
def test_every_parameter_takes_part(problem, blueprint):
    """One image of the problem's size gives logits of its classes and a gradient everywhere."""
    network = blueprint(problem.network, "group_norm", **problem.network_parameters).network

    logits = network(_images(problem))
    logits.sum().backward()

    assert (1, DATA[problem.dataset].classes) == logits.shape
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("case", sorted(ORDERS))
def test_networks_train(case, build):
    """A real step is finite and moves every parameter."""
    name, parameters = ORDERS[case]
    built = build(name, "batch_norm", **parameters)
    task = next(p for p in PROBLEMS if p.name == "cifar10_resnet20").load()()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 32, 32, generator=generator)

    scores = task(built.network, Batch(images, torch.arange(4)), {})
    scores.loss.backward()

    assert torch.isfinite(scores.loss)
    for info in built.parameters:
        assert torch.isfinite(info.parameter.grad).all(), info.name
        assert info.parameter.grad.any(), info.name


@pytest.mark.parametrize("case", sorted(ORDERS))
def test_layout_stays_channels_last(case, build):
    """No layer turns channels_last maps into another layout, which would cost copies."""
    name, parameters = ORDERS[case]
    network = build(name, "batch_norm", **parameters).network.to(memory_format=torch.channels_last)
    maps: list[Tensor] = []
    for module in network.modules():
        module.register_forward_hook(lambda _m, _i, output: maps.append(output))

    images = torch.rand(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    network(images)

    maps = [output for output in maps if output.dim() == 4]
    assert maps
    assert all(output.is_contiguous(memory_format=torch.channels_last) for output in maps)


def test_mask_error_names_the_right_length(build):
    """A mask for another network is answered with the number of digits that fit."""
    with pytest.raises(UsageError, match="has 3 digits, but wrn_16_4 has 13 norm sites"):
        build("wrn_16_4", "batch_norm", (1, 0, 1))


def test_weight_norm_has_no_place_behind_the_last_sum(build):
    """A norm on weights is refused where no layer is, with the site to leave out."""
    with pytest.raises(UsageError, match=r"site 12 .* put 0 in place 13"):
        build("wrn_16_4", "weight_norm")

    built = build("wrn_16_4", "weight_norm", (1,) * 12 + (0,))
    assert [f"conv{n}" for n in (1, 2)] == [
        info.name.split(".")[2]
        for info in built.parameters
        if "original" in info.name and "stage2_block1" in info.name
    ]


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "wrn_16_4", "plain10"])
def test_plain_use(name):
    """Without the harness a network takes any constructor of norms."""
    with torch.device("meta"):
        make = getattr(normbench_problems, name)
        network = make(norm_layer=partial(nn.GroupNorm, 8), classes=7)

    assert (2, 7) == network(torch.zeros(2, 3, 32, 32, device="meta")).shape
    assert any(isinstance(module, nn.GroupNorm) for module in network.modules())
