"""Residual networks for CIFAR: ResNet-20, ResNet-56 and ResNet-18 with a CIFAR stem.

Deep Residual Learning for Image Recognition. He, Zhang, Ren, Sun. CVPR 2016, arXiv:1512.03385.
Shortcuts and initial values as in Spherical Perspective on Learning with Normalization Layers
(Roburin et al., arXiv:2006.13382): a projection and a norm where the shape changes, and torch's
own initial values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from normbench import Sites, UsageError
from normbench_problems.networks.building import NormLayer, build

INITS = ("torch", "kaiming")


def resnet20(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "never",
    width: int = 16,
    init: str = "torch",
) -> ResNet:
    """Return ResNet-20: (N, 3, 32, 32) to (N, classes) logits.

    A 3×3 convolution to *width* channels, three stages of three basic blocks with 1, 2 and 4 times
    as many at strides 1, 2 and 2, the mean over the positions, and a dense layer. A block is
    ReLU(norm(conv(ReLU(norm(conv(x))))) + shortcut(x)); the shortcut is x itself, or norm(1×1 conv)
    where the shape changes. 21 norm sites; a shortcut's comes after its block's own two. With batch
    normalization 272 474 parameters for 10 classes.

    Args:
        sites: The harness's norm sites.
        norm_layer: Without *sites*: called with the number of features at each site.
        classes: Number of classes.
        bias: Policy for biases of the convolutions.
        width: Channels of the first stage.
        init: ``torch``: torch's own initial values. ``kaiming``: those of Revisiting Batch
            Normalization Initialization (arXiv:2110.13989): convolutions Kaiming normal by fan-in,
            the dense layer uniform within ±√(6/fan-in), biases 0.
    """
    return _resnet(sites, norm_layer, bias, (3, 3, 3), classes=classes, width=width, init=init)


def resnet56(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "never",
    width: int = 16,
    init: str = "torch",
) -> ResNet:
    """Return ResNet-56: as :func:`resnet20`, with nine blocks in each stage and 57 norm sites.

    With batch normalization 855 770 parameters for 10 classes.
    """
    return _resnet(sites, norm_layer, bias, (9, 9, 9), classes=classes, width=width, init=init)


def resnet18(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    classes: int = 10,
    bias: str = "never",
    width: int = 64,
    init: str = "torch",
) -> ResNet:
    """Return ResNet-18 for small images: as :func:`resnet20`, with four stages of two blocks.

    The stem is a 3×3 convolution at stride 1 without pooling. 20 norm sites. With batch
    normalization 11 173 962 parameters for 10 classes.
    """
    return _resnet(sites, norm_layer, bias, (2, 2, 2, 2), classes=classes, width=width, init=init)


def _resnet(
    sites: Sites | None,
    norm_layer: NormLayer | None,
    bias: str,
    depths: Sequence[int],
    *,
    classes: int,
    width: int,
    init: str,
) -> ResNet:
    make = partial(ResNet, depths=depths, classes=classes, width=width, init=init)
    return build(make, sites, norm_layer, bias)


class ResNet(nn.Module):
    """A stem, stages of basic blocks, a global mean and a dense layer."""

    def __init__(
        self, sites: Sites, depths: Sequence[int], classes: int, width: int, init: str
    ) -> None:
        super().__init__()
        if init not in INITS:
            raise UsageError(f"init={init} is unknown: expected one of {', '.join(INITS)}.")
        self.init = init
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.stem_norm, self.stem_activation = sites.after(self.stem, nn.ReLU())
        self.blocks = nn.Sequential()
        channels = width
        for stage, depth in enumerate(depths):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                block = BasicBlock(sites, channels, width << stage, stride)
                self.blocks.add_module(f"stage{stage + 1}_block{index + 1}", block)
                channels = width << stage
        self.dense = nn.Linear(channels, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of (N, 3, H, W) images."""
        maps = self.stem_activation(self.stem_norm(self.stem(inputs)))
        return self.dense(self.blocks(maps).mean((2, 3)))  # type: ignore[no-any-return]

    def initialise(self, layer: nn.Module) -> None:
        """Draw the initial values of one layer, where they are not torch's own."""
        if self.init == "torch":
            return
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            bound = math.sqrt(6 / layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


class BasicBlock(nn.Module):
    """ReLU(norm2(conv2(activation(norm1(conv1(x))))) + shortcut(x))."""

    def __init__(self, sites: Sites, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.norm1, self.activation = sites.after(self.conv1, nn.ReLU())
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2, _ = sites.after(self.conv2)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride)
            norm, _ = sites.after(projection)
            self.shortcut.add_module("conv", projection)
            self.shortcut.add_module("norm", norm)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (N, outputs, H/stride, W/stride)."""
        maps = self.activation(self.norm1(self.conv1(inputs)))
        # In place only here: the sum is new, and no norm can have kept it.
        return F.relu(self.norm2(self.conv2(maps)) + self.shortcut(inputs), inplace=True)
