"""Parameter counts, map sizes, norm sites and roles of every network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normbench import GaussianNoise, Role
from normbench_problems.networks.table import NETWORKS

COUNTS = [
    ("net_3c3d", "none", None, {}, 895_210),
    ("net_3c3d", "batch_norm", None, {}, 896_266),
    ("net_3c3d", "batch_norm", None, {"bias": "unless_centred_dense"}, 896_554),
    ("net_3c3d", "none", None, {"classes": 100}, 918_340),
    ("net_3c3d", "batch_norm", None, {"classes": 100}, 919_396),
    ("net_3c3d", "batch_norm", None, {"classes": 100, "bias": "unless_centred_dense"}, 919_684),
    (
        "net_3c3d",
        "batch_norm",
        (0, 0, 1, 1, 1),
        {"classes": 100, "bias": "unless_centred_dense"},
        919_364,
    ),
    ("allcnnc", "none", None, {}, 1_387_108),
    ("allcnnc", "batch_norm", None, {}, 1_388_356),
    ("allcnnc", "batch_norm", None, {"bias": "always"}, 1_389_604),
    ("allcnnc", "batch_norm", (1, 0, 0, 0, 0, 0, 0, 0), {"bias": "always"}, 1_387_300),
    ("net_2c2d", "none", None, {}, 3_274_634),
    ("vae", "none", None, {}, 10_151_489),
    ("resnet20", "batch_norm", None, {}, 272_474),
    ("resnet56", "batch_norm", None, {}, 855_770),
    ("resnet18", "batch_norm", None, {}, 11_173_962),
    ("resnet18", "batch_norm", None, {"classes": 100}, 11_220_132),
    ("logreg", "none", None, {}, 7_850),
    ("mlp", "none", None, {}, 1_336_610),
    ("mlp", "batch_norm", None, {}, 1_338_210),
    ("quadratic", "none", None, {}, 100),
    ("digits_cnn", "none", None, {}, 21_546),
    ("digits_cnn", "batch_norm", None, {}, 21_626),
]


@pytest.mark.parametrize(("name", "norm", "mask", "parameters", "expected"), COUNTS)
def test_parameter_count(name, norm, mask, parameters, expected, build):
    """Each network has the published number of parameters, by norm, mask and bias policy."""
    assert expected == build(name, norm, mask, **parameters).parameter_count


SIDES = {
    "net_3c3d": [28, 14, 12, 6, 6, 3],
    "net_2c2d": [28, 14, 14, 7],
    "allcnnc": [32, 32, 16, 16, 16, 8, 6, 6, 6],
    "digits_cnn": [4, 4],
    "vae": [14, 7, 7, 14, 14, 14],
    "resnet18": [32] * 5 + [16] * 5 + [8] * 5 + [4] * 5,
}
INPUTS = {
    "net_2c2d": (1, 28),
    "vae": (1, 28),
    "digits_cnn": (1, 8),
    "logreg": (1, 28),
    "mlp": (1, 28),
}


def _images(name: str, count: int = 2) -> Tensor:
    channels, side = INPUTS.get(name, (3, 32))
    images = torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0))
    return images.contiguous(memory_format=torch.channels_last)


def _record_maps(network: nn.Module, kinds: tuple[type, ...]) -> list[Tensor]:
    maps: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(lambda _m, _i, output: maps.append(output))
    return maps


@pytest.mark.parametrize("name", sorted(SIDES))
def test_map_sides(name, build):
    """Convolutions and maxima give maps of the published sides, in forward order."""
    network = build(name).network
    maps = _record_maps(network, (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d))

    network(_images(name))

    assert SIDES[name] == [output.shape[-1] for output in maps]
    assert all(output.shape[-1] == output.shape[-2] for output in maps)


def _block_sites(stages: int, blocks: int, width: int) -> list[int]:
    """Return the features of a ResNet's sites: stem, then two per block, and a shortcut's."""
    features = [width]
    for stage in range(stages):
        projected = [width << stage] * 3 if stage else [width << stage] * 2
        features += projected + [width << stage] * (2 * (blocks - 1))
    return features


SITES = {
    "net_3c3d": [64, 96, 128, 512, 256],
    "net_2c2d": [32, 64, 1024],
    "allcnnc": [96, 96, 96, 192, 192, 192, 192, 192],
    "digits_cnn": [16, 32, 32],
    "vae": [64] * 6,
    "logreg": [],
    "mlp": [1000, 500, 100],
    "quadratic": [],
    "resnet20": _block_sites(3, 3, 16),
    "resnet56": _block_sites(3, 9, 16),
    "resnet18": _block_sites(4, 2, 64),
}


@pytest.mark.parametrize("name", sorted(SITES))
def test_sites_come_in_forward_order(name, build):
    """Norm sites have the published features, in the order in which the forward pass meets them."""
    built = build(name)
    fed = {site.layer: site.index for site in built.sites}
    called: list[int] = []
    for layer, module in built.network.named_modules():
        if layer in fed:
            module.register_forward_hook(lambda *_, index=fed[layer]: called.append(index))

    built.network(torch.zeros(2, 100) if name == "quadratic" else _images(name))

    assert SITES[name] == [site.features for site in built.sites]
    assert list(range(len(built.sites))) == called


def test_dense_sites(build):
    """A site is dense exactly where a linear layer feeds it."""
    kinds = [site.kind for site in build("net_3c3d").sites]
    assert ["conv", "conv", "conv", "dense", "dense"] == kinds


def test_shortcut_site_follows_its_block(build):
    """A shortcut's site comes after its block's own two."""
    layers = [site.layer for site in build("resnet20").sites]

    start = layers.index("blocks.stage2_block1.conv1")

    expected = ["conv1", "conv2", "shortcut.conv"]
    assert [f"blocks.stage2_block1.{name}" for name in expected] == layers[start : start + 3]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_roles(network, build, blueprint):
    """Matrices and kernels are weights, biases biases, and norms hold scales and shifts."""
    norm = "none" if network.name in ("quadratic", "logreg") else "batch_norm"
    built = (build if norm == "none" else blueprint)(network.name, norm)

    for info in built.parameters:
        is_bias = info.name.rpartition(".")[2].startswith("bias")
        kind = "shift" if is_bias else "scale"
        in_norm = "norm" in info.name
        bias = Role.BIAS if is_bias else Role.WEIGHT
        assert (Role(f"norm_{kind}") if in_norm else bias) == info.role, info.name
    assert len(list(built.network.parameters())) == len(built.parameters)


def test_logits_layer_is_never_normalized(build):
    """The layer that gives the logits feeds no norm site and keeps its bias."""
    for name, last in (("net_3c3d", "dense3"), ("allcnnc", "conv9"), ("resnet20", "dense")):
        built = build(name, "batch_norm")
        assert last not in {site.layer for site in built.sites}
        assert f"{last}.bias" in {info.name for info in built.parameters}


@pytest.mark.parametrize("name", ["net_3c3d", "net_2c2d", "allcnnc", "resnet20", "digits_cnn"])
def test_layout_stays_channels_last(name, build):
    """No layer turns channels_last maps into another layout, which would cost copies."""
    network = build(name, "batch_norm").network.to(memory_format=torch.channels_last)
    maps = _record_maps(network, (nn.Module,))

    network(_images(name))

    maps = [output for output in maps if output.dim() == 4]
    assert maps
    assert all(output.is_contiguous(memory_format=torch.channels_last) for output in maps)


def test_flatten_copies_nothing(build):
    """Between convolutions and dense layers channels_last maps are viewed, not copied."""
    network = build("net_3c3d").network
    maps = torch.rand(2, 128, 3, 3).contiguous(memory_format=torch.channels_last)

    flat = network.flatten(maps)

    assert maps.data_ptr() == flat.data_ptr()
    assert torch.equal(maps[1, :, 2, 1], flat[1, (2 * 3 + 1) * 128 : (2 * 3 + 2) * 128])


def test_vae_draws_from_its_generator(build):
    """The sample comes from the given generator, in evaluation too."""
    network = build("vae").network.eval()
    noise = next(module for module in network.modules() if isinstance(module, GaussianNoise))
    images = _images("vae")

    def decode(seed: int) -> Tensor:
        noise.generator = torch.Generator().manual_seed(seed)
        return network(images)[0]

    assert torch.equal(decode(0), decode(0))
    assert not torch.equal(decode(0), decode(1))
