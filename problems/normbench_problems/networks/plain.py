"""Plain CNNs of 10, 20 and 40 convolutions, without pooling between them.

Beyond BatchNorm: Towards a Unified Understanding of Normalization in Deep Learning. Lubana, Dick,
Tanaka. NeurIPS 2021, arXiv:2106.05956, which calls them VGG.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from normbench import Sites
from normbench_problems.networks.building import (
    Chain,
    GlobalMean,
    NormLayer,
    build,
    check_choice,
)
from normbench_problems.networks.initial_values import INITS

# Channels and stride of each convolution.
_Layout = Sequence[tuple[int, int]]


def _run(channels: int, count: int) -> list[tuple[int, int]]:
    """Return *count* convolutions of which the last halves the maps."""
    return [(channels, 1)] * (count - 1) + [(channels, 2)]


_PLAIN10 = [*_run(64, 2), *_run(128, 2), *_run(256, 2), *_run(512, 2), *[(512, 1)] * 2]
_PLAIN20 = [
    *_run(64, 4),
    *_run(128, 4),
    *_run(256, 4),
    *_run(256, 4),
    *[(512, 1)] * 4,
]
_PLAIN40 = [*_run(64, 8), *_run(128, 8), *_run(256, 8), *_run(512, 8), *[(512, 1)] * 8]


def plain10(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "weight_norms_only",
    init: str = "kaiming_conv",
) -> Plain:
    """Return the plain CNN of 10 convolutions: (N, 3, 32, 32) to (N, classes) logits.

    3×3 convolutions of 64, 64, 128, 128, 256, 256, 512, 512, 512, 512 channels, each followed by
    norm and ReLU; every second one up to the eighth has stride 2; then the mean over the 2×2
    positions and a dense layer. 10 norm sites. For 100 classes 9 453 348 parameters without norm,
    9 459 236 with batch normalization.

    Convolutions start Kaiming normal by fan-in with biases 0, the dense layer as torch's own.
    """
    return build(partial(Plain, _PLAIN10, classes=classes, init=init), sites, norm_layer, bias)


def plain20(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "weight_norms_only",
    init: str = "kaiming_conv",
) -> Plain:
    """Return the plain CNN of 20 convolutions: as :func:`plain10`.

    Four convolutions each of 64, 128, 256, 256 and 512 channels, the fourth of a run at stride 2
    but for the last run. 20 norm sites. For 100 classes 13 360 932 parameters without norm.
    """
    return build(partial(Plain, _PLAIN20, classes=classes, init=init), sites, norm_layer, bias)


def plain40(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "weight_norms_only",
    init: str = "kaiming_conv",
) -> Plain:
    """Return the plain CNN of 40 convolutions: as :func:`plain10`.

    Eight convolutions each of 64, 128, 256, 512 and 512 channels, the eighth of a run at stride 2
    but for the last run. 40 norm sites. For 100 classes 42 409 764 parameters without norm.
    """
    return build(partial(Plain, _PLAIN40, classes=classes, init=init), sites, norm_layer, bias)


class Plain(Chain):
    """Convolutions with norm and ReLU, the mean over all positions, and a dense layer."""

    def __init__(self, layout: _Layout, sites: Sites, classes: int, init: str) -> None:
        super().__init__()
        check_choice("init", init, INITS)
        self.init = init
        inputs = 3
        for number, (channels, stride) in enumerate(layout, start=1):
            conv = nn.Conv2d(inputs, channels, 3, stride, padding=1)
            self.add_site(sites, f"conv{number}", conv, nn.ReLU())
            inputs = channels
        self.add_module("mean", GlobalMean())
        self.add_module("dense", nn.Linear(inputs, classes))

    def initialise(self, layer: nn.Module) -> None:
        """Draw the initial values of one layer, where they are not torch's own."""
        INITS[self.init](layer)
