"""VGG-16 for small images, and VGG-16 and VGG-19 at their original 224 pixels.

Very Deep Convolutional Networks for Large-Scale Image Recognition. Simonyan, Zisserman. ICLR 2015,
arXiv:1409.1556.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench import Dropout, Sites
from normbench_problems.networks.building import (
    Chain,
    Flatten,
    NormLayer,
    build,
    check_choice,
)
from normbench_problems.networks.initial_values import INITS

_CHANNELS = (64, 128, 256, 512, 512)
_VGG16 = (2, 2, 3, 3, 3)
_VGG19 = (2, 2, 4, 4, 4)


def vgg16(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "never",
    init: str = "torch",
) -> Vgg:
    """Return VGG-16 for small images: (N, 3, 32, 32) to (N, classes) logits.

    3×3 convolutions, 2 of 64 channels, 2 of 128, 3 of 256, 3 of 512 and 3 of 512, each followed by
    norm and ReLU, with a 2×2 maximum behind each run; then one dense layer, and no dropout. As in
    Spherical Perspective on Learning with Normalization Layers (arXiv:2006.13382). 13 norm sites.
    With batch normalization 14 724 042 parameters for 10 classes, 14 770 212 for 100.

    Initial values are torch's own, unless *init* says otherwise.
    """
    return build(partial(Vgg, _VGG16, classes=classes, init=init), sites, norm_layer, bias)


def vgg16_224(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "unless_centred",
    init: str = "xavier",
) -> Vgg224:
    """Return VGG-16 at 224 pixels: (N, 3, H, W) to (N, classes) logits.

    The images are resized bilinearly to 224×224. Convolutions as in :func:`vgg16`, then dense
    layers of 4096, 4096 and *classes* units with ReLU and dropout 0.5 between. Norm sites 0 to 12
    lie behind the convolutions, 13 and 14 behind the first two dense layers, each before its ReLU.
    Without norm 134 301 514 parameters for 10 classes, 134 670 244 for 100.

    Convolutions start Xavier normal, dense layers Xavier uniform, biases at 0, as in DeepOBS
    (arXiv:1903.05499).
    """
    return build(partial(Vgg224, _VGG16, classes=classes, init=init), sites, norm_layer, bias)


def vgg19_224(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "unless_centred",
    init: str = "xavier",
) -> Vgg224:
    """Return VGG-19 at 224 pixels: as :func:`vgg16_224`, with 16 convolutions and 18 norm sites.

    The last three runs have 4 convolutions. Without norm 139 611 210 parameters for 10 classes,
    139 979 940 for 100.
    """
    return build(partial(Vgg224, _VGG19, classes=classes, init=init), sites, norm_layer, bias)


class _Convolutions(Chain):
    """Runs of convolutions with norm and ReLU, each run closed by a maximum."""

    init: str

    def add_runs(self, sites: Sites, runs: Sequence[int]) -> None:
        """Append the convolutions, numbered through."""
        inputs, number = 3, 1
        for run, (channels, count) in enumerate(zip(_CHANNELS, runs, strict=True), start=1):
            for _ in range(count):
                conv = nn.Conv2d(inputs, channels, 3, padding=1)
                self.add_site(sites, f"conv{number}", conv, nn.ReLU())
                inputs, number = channels, number + 1
            self.add_module(f"pool{run}", nn.MaxPool2d(2))
        self.add_module("flatten", Flatten())

    def initialise(self, layer: nn.Module) -> None:
        """Draw the initial values of one layer, where they are not torch's own."""
        INITS[self.init](layer)


class Vgg(_Convolutions):
    """The network of :func:`vgg16`."""

    def __init__(self, runs: Sequence[int], sites: Sites, classes: int, init: str) -> None:
        super().__init__()
        check_choice("init", init, INITS)
        self.init = init
        self.add_runs(sites, runs)
        self.add_module("dense", nn.Linear(512, classes))


class Vgg224(_Convolutions):
    """The network of :func:`vgg16_224`."""

    def __init__(self, runs: Sequence[int], sites: Sites, classes: int, init: str) -> None:
        super().__init__()
        check_choice("init", init, INITS)
        self.init = init
        self.add_module("resize", Resize(224))
        self.add_runs(sites, runs)
        self.add_site(sites, "dense1", nn.Linear(7 * 7 * 512, 4096), nn.ReLU())
        self.add_module("dropout1", Dropout(0.5))
        self.add_site(sites, "dense2", nn.Linear(4096, 4096), nn.ReLU())
        self.add_module("dropout2", Dropout(0.5))
        self.add_module("dense3", nn.Linear(4096, classes))


class Resize(nn.Module):
    """Resize (N, C, H, W) bilinearly to *side* × *side*, pixel centres kept in proportion."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (N, C, side, side)."""
        return F.interpolate(inputs, self.side, mode="bilinear", align_corners=False)

    def extra_repr(self) -> str:
        """Return the side for the printed module."""
        return f"side={self.side}"
