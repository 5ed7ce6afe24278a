"""Options of residual networks: gains and scales at 0, shortcuts, orders, scale invariance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import normbench_problems
from normbench import Role, UsageError
from normbench.initial_values import initialise
from normbench_problems.networks.initial_values import INITS
from normbench_problems.networks.residual import ORDERS, SHORTCUTS, STEMS
from normbench_problems.networks.table import NETWORKS


def _logits(network, count=4, side=32):
    images = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network(images.to(next(network.parameters()).dtype))


def _residual_convs(network):
    return [m for name, m in network.named_modules() if name.endswith(("conv1", "conv2"))]


CLOSED = [
    ({"skip_init": True}, "batch_norm"),
    ({"skip_init": True}, "none"),
    ({"skip_init": True, "activation_order": "pre"}, "group_norm"),
    ({"zero_last_scale": True}, "batch_norm"),
    ({"zero_last_scale": True}, "group_norm"),
    ({"zero_last_scale": True}, "weight_norm"),
    ({"zero_last_scale": True, "activation_order": "before_norm"}, "group_norm"),
]


@pytest.mark.parametrize(("options", "norm"), CLOSED)
def test_blocks_start_as_their_shortcuts(options, norm, build):
    """With a gain or a last scale of 0, what the residuals compute does not reach the logits."""
    network = build("resnet20", norm, width=8, **options).network
    initialise(network, 0)
    before = _logits(network)
    convs = _residual_convs(network)
    for conv in convs:
        weight = conv.parametrizations.weight.original if norm == "weight_norm" else conv.weight
        nn.init.normal_(weight)

    assert 18 == len(convs)
    assert torch.equal(before, _logits(network))


def test_skip_gains_are_gains(build):
    """Each block has one number of role gain, which starts at 0 and learns at once."""
    built = build("resnet20", "batch_norm", skip_init=True)
    initialise(built.network, 0)
    gains = [info for info in built.parameters if info.role is Role.GAIN]

    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    built.network(images).square().sum().backward()

    assert 9 == len(gains)
    assert all(info.parameter.shape == () and not info.parameter.any() for info in gains)
    assert all(info.parameter.grad.any() for info in gains)


def test_only_the_last_scales_start_at_zero(build):
    """zero_last_scale leaves shifts, other norms and shortcuts alone, and norms without scale."""
    built = build("resnet20", "batch_norm", zero_last_scale=True)
    initialise(built.network, 0)

    zero = [
        info.name
        for info in built.parameters
        if info.role is Role.NORM_SCALE and not info.parameter.any()
    ]

    expected = [f"blocks.stage{s}_block{b}.norm2.weight" for s in (1, 2, 3) for b in (1, 2, 3)]
    assert expected == zero
    plain = build("resnet20", "none", zero_last_scale=True).network
    initialise(plain, 0)
    assert all(parameter.any() for parameter in plain.parameters())


def test_shared_shortcut_starts_behind_the_first_activation(build):
    """shortcut=preactivated convolves ReLU(norm(x)); shortcut=projection a norm of x itself."""
    block = build("wrn_16_4", "batch_norm").network.blocks.stage2_block1
    maps = torch.randn(2, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    seen = []
    block.shortcut.conv.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))

    with torch.no_grad():
        block(maps)

    assert torch.equal(torch.relu(block.norm1(maps)), seen[0])


def test_order_of_the_group_norm_study(build):
    """before_norm puts the norm behind the activation, and none into a shortcut."""
    network = build(
        "resnet20", "batch_norm", activation_order="before_norm", shortcut="projection_without_norm"
    ).network

    block = network.blocks.stage2_block1

    assert ["conv1", "activation1", "norm1", "conv2", "norm2"] == block.path
    assert ["conv"] == [name for name, _ in block.shortcut.named_children()]
    assert isinstance(network.stem_activation, nn.Identity)


INVARIANT = {
    "basic": ("resnet20", {"width": 4}),
    "bottleneck": ("resnet50", {"width": 4}),
    "swapped": ("resnet20", {"width": 4, "activation_order": "before_norm"}),
    "pre": ("resnet20", {"width": 4, "activation_order": "pre"}),
    "pre_without": (
        "resnet20",
        {"width": 4, "activation_order": "pre", "shortcut": "projection_without_norm"},
    ),
    "shared": ("resnet20", {"width": 4, "activation_order": "pre", "shortcut": "preactivated"}),
    "wrn": ("wrn_16_4", {}),
}


@pytest.mark.parametrize("case", sorted(INVARIANT))
def test_invariances_are_true_and_complete(case, build):
    """Exactly the convolutions whose output meets a norm alone may be rescaled by channel."""
    name, options = INVARIANT[case]
    built = build(name, "batch_norm", norm_parameters={"eps": 1e-12}, **options)
    initialise(built.network, 0)
    network = built.network.double()
    before = _logits(network, 2, 16)
    for info in built.parameters:
        weight = info.parameter
        if info.role is not Role.WEIGHT or weight.dim() != 4:
            continue
        kept = weight.detach().clone()
        factors = torch.linspace(0.5, 2.0, len(weight), dtype=weight.dtype).view(-1, 1, 1, 1)
        with torch.no_grad():
            weight.mul_(factors)
        same = torch.allclose(before, _logits(network, 2, 16), rtol=1e-6, atol=1e-6)
        with torch.no_grad():
            weight.copy_(kept)
        assert (info.invariance is not None) == same, info.name


REFUSED = [
    ({"shortcut": "preactivated"}, "Give activation_order=pre"),
    ({"final_norm": False}, "final_norm=false does not fit activation_order=post"),
    ({"zero_last_scale": True, "activation_order": "pre"}, "Give skip_init=true"),
    ({"activation_order": "before_norm", "bias": "always"}, "Give bias=never"),
    ({"activation_order": "behind"}, "expected one of post, pre, before_norm"),
    ({"shortcut": "zero"}, "expected one of projection, conv3x3"),
    ({"stem": "medium"}, "expected one of small, large"),
    ({"init": "he"}, "expected one of torch, kaiming"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_words_that_do_not_fit_are_refused(options, message):
    """Each word that is unknown or contradicts another is named, with what would do."""
    with pytest.raises(UsageError, match=message):
        normbench_problems.resnet20(**options)


def test_tables_offer_the_words_of_the_code():
    """What normbench describe lists for initial values, shortcut, order and stem is what exists."""
    network = next(network for network in NETWORKS if network.name == "resnet20")
    offered = {parameter.name: parameter.choices for parameter in network.parameters}

    assert tuple(INITS) == offered["init"]
    assert (SHORTCUTS, ORDERS, STEMS) == (
        offered["shortcut"],
        offered["activation_order"],
        offered["stem"],
    )


def test_zero_last_scale_without_the_harness():
    """Torch's own norms start at 0 behind each residual, all others at 1."""
    network = normbench_problems.resnet20(
        norm_layer=nn.BatchNorm2d, zero_last_scale=True, skip_init=True
    )
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]

    assert 21 == len(norms)
    assert 9 == sum(not norm.weight.any() for norm in norms)


# Standard deviation of a convolution with fan-in 144 and fan-out 288, and of a dense layer 200 to
# 100; the latter 0.041 is torch's own 1/√(3·200).
SPREADS = {
    "torch": (1 / math.sqrt(3 * 144), 1 / math.sqrt(3 * 200)),
    "kaiming": (math.sqrt(2 / 144), math.sqrt(2 / 200)),
    "kaiming_conv": (math.sqrt(2 / 144), 1 / math.sqrt(3 * 200)),
    "kaiming_fan_out": (math.sqrt(2 / 288), 1 / math.sqrt(3 * 200)),
    "keras": (math.sqrt(2 / 144), math.sqrt(2 / 300)),
    "xavier": (math.sqrt(2 / 432), math.sqrt(2 / 300)),
    "xavier_uniform": (math.sqrt(2 / 432), math.sqrt(2 / 300)),
}


@pytest.mark.parametrize("init", sorted(INITS))
def test_spread_of_initial_values(init):
    """Each way of drawing has its published standard deviation, and biases at 0 where it says."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Conv2d(16, 32, 3), nn.Linear(200, 100)
        for layer in layers:
            INITS[init](layer)

    for expected, layer in zip(SPREADS[init], layers, strict=True):
        assert expected == pytest.approx(layer.weight.std().item(), rel=0.05)
    assert (init == "torch") == bool(layers[0].bias.any())
    assert init.startswith(("torch", "kaiming_")) == bool(layers[1].bias.any())


def test_keras_values_are_cut_off():
    """he_normal draws nothing beyond two standard deviations of the uncut distribution."""
    layer = nn.Conv2d(16, 32, 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        INITS["keras"](layer)

    bound = 2 * math.sqrt(2 / 144) / 0.87962566103423978
    assert 0.95 * bound < layer.weight.abs().max() <= bound
